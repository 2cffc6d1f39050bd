//! `scale`: the number of replicas, through the scale subresource.

use clap::Args;

use super::report::{DryRun, Output};
use crate::error::{Error, Result, fail};
use crate::rest::Query;
use crate::select::{Files, Finder, Selectors};
use crate::session::{Item, Session};

/// How often a change that another one overtook is tried again.
const ATTEMPTS: usize = 5;

#[derive(Args, Debug)]
pub struct Scale {
    /// TYPE NAME..., TYPE/NAME... or TYPE with -l or --all
    arguments: Vec<String>,
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    selectors: Selectors,
    /// All objects of the type in the namespace
    #[arg(long)]
    all: bool,
    /// How many there shall be
    #[arg(long, allow_negative_numbers = true)]
    replicas: i64,
    /// Only if there are so many now; -1 for any number
    #[arg(long, default_value_t = -1, allow_negative_numbers = true)]
    current_replicas: i64,
    /// Only if the object still has this version
    #[arg(long, default_value = "", hide_default_value = true)]
    resource_version: String,
    #[command(flatten)]
    output: Output,
}

impl Scale {
    pub async fn run(self, session: &Session) -> Result<()> {
        if self.replicas < 0 {
            return fail("The --replicas=COUNT flag is required, and COUNT must be greater than or equal to 0");
        }
        let mut reporter = self.output.reporter()?;
        let finder = Finder {
            session,
            files: &self.files,
            arguments: &self.arguments,
            selectors: &self.selectors,
            all: self.all,
            all_namespaces: false,
        };
        let (items, mut errors) = finder.find().await?;
        if items.is_empty() && errors.is_empty() {
            return fail("no objects passed to scale");
        }
        if items.len() > 1 && !self.resource_version.is_empty() {
            return fail("cannot use --resource-version with multiple resources");
        }
        for item in items {
            match self.one(session, &item).await {
                Ok(()) => reporter.report(&item.resource, &item.name, &item.object, "scaled")?,
                Err(error) => errors.push(error),
            }
        }
        Error::gather(errors)
    }

    async fn one(&self, session: &Session, item: &Item) -> Result<()> {
        let path = item.path() + "/scale";
        for attempt in 1.. {
            let mut scale = session.client.get(&path).await?;
            let now = scale["spec"]["replicas"].as_i64().unwrap_or(0);
            if self.current_replicas >= 0 && now != self.current_replicas {
                return fail(format!("Expected replicas to be {}, was {now}", self.current_replicas));
            }
            let version = scale["metadata"]["resourceVersion"].as_str().unwrap_or("");
            if !self.resource_version.is_empty() && version != self.resource_version {
                return fail(format!("Expected resource version to be {}, was {version}", self.resource_version));
            }
            if self.output.dry_run == DryRun::Client {
                return Ok(());
            }
            scale["spec"]["replicas"] = self.replicas.into();
            match session.client.put(&self.output.on(Query::new()).on(&path), &scale).await {
                Err(error) if error.is_conflict() && attempt < ATTEMPTS && self.resource_version.is_empty() => continue,
                outcome => return outcome.map(|_| ()),
            }
        }
        unreachable!("the last attempt returns")
    }
}
