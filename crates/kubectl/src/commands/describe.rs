//! `describe`: objects with what belongs to them. How each kind is told is in `describer`.

use clap::Args;

use crate::describer::Describer;
use crate::error::{Error, Result, fail};
use crate::printer::say;
use crate::rest::Query;
use crate::select::{self, Files, Selectors, Target};
use crate::session::{Item, Session};

#[derive(Args, Debug)]
pub struct Describe {
    /// TYPE, TYPE NAME..., TYPE NAME-PREFIX or TYPE/NAME...
    arguments: Vec<String>,
    #[command(flatten)]
    files: Files,
    /// Only objects whose labels match, such as app=x,tier!=y
    #[arg(short = 'l', long, default_value = "", hide_default_value = true)]
    selector: String,
    /// Of all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// With the events; of several objects only if this says so
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    show_events: Option<bool>,
}

impl Describe {
    pub async fn run(self, session: &Session) -> Result<()> {
        if self.arguments.is_empty() && self.files.filename.is_empty() {
            return fail(
                "You must specify the type of resource to describe. Use \"kubectl api-resources\" for a complete list of supported \
                 resources.",
            );
        }
        let (items, mut errors) = self.find(session).await?;
        if items.is_empty() && errors.is_empty() {
            let place =
                if self.all_namespaces { String::new() } else { format!(" in {} namespace", session.namespace) };
            eprintln!("No resources found{place}.");
        }
        let describer = Describer { session, show_events: self.show_events.unwrap_or(items.len() == 1) };
        for (at, item) in items.iter().enumerate() {
            match describer.describe(item).await {
                Ok(text) if at > 0 => say(&format!("\n\n{text}"))?,
                Ok(text) => say(&text)?,
                Err(error) => errors.push(error),
            }
        }
        Error::gather(errors)
    }

    async fn find(&self, session: &Session) -> Result<(Vec<Item>, Vec<Error>)> {
        let (mut items, mut errors) = (Vec::new(), Vec::new());
        if !self.files.filename.is_empty() {
            let (named, wrong) = session.items_of(self.files.read()?).await;
            errors = wrong;
            for item in named {
                match session.client.get(&item.path()).await {
                    Ok(object) => items.push(Item { object, ..item }),
                    Err(error) => errors.push(error),
                }
            }
            return Ok((items, errors));
        }
        let targets = select::parse(session.discovery().await?, &self.arguments)?;
        let prefix_allowed = self.arguments.len() == 2 && !self.arguments[0].contains('/');
        let query = Selectors { selector: self.selector.clone(), ..Selectors::default() }.query();
        for target in targets {
            let resource = target.resource().clone();
            let namespace =
                if resource.namespaced && !self.all_namespaces { session.namespace.clone() } else { String::new() };
            let outcome = match target {
                Target::All { .. } => select::list(session, &resource, &namespace, &query).await,
                Target::One { .. } if !self.selector.is_empty() => {
                    return fail("name cannot be provided when a selector is specified");
                }
                Target::One { name, .. } => match session.client.get(&resource.object(&namespace, &name)).await {
                    Ok(object) => Ok(vec![Item { resource, namespace, name, source: String::new(), object }]),
                    // A name that nothing has may be the beginning of some.
                    Err(missing) if missing.is_not_found() && prefix_allowed => {
                        let mut found = select::list(session, &resource, &namespace, &Query::new()).await?;
                        found.retain(|item| item.name.starts_with(&name));
                        if found.is_empty() { Err(missing) } else { Ok(found) }
                    }
                    Err(error) => Err(error),
                },
            };
            match outcome {
                Ok(found) => items.extend(found),
                Err(error) => errors.push(error),
            }
        }
        Ok((items, errors))
    }
}
