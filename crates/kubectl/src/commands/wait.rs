//! `wait`: until objects are deleted, created, or have a condition or a field's value.

use std::time::Duration;

use clap::Args;
use futures::StreamExt;
use serde_json::Value;

use super::delete::gone;
use crate::error::{Error, Result, fail};
use crate::printer::jsonpath::Template;
use crate::printer::say;
use crate::rest::{JSON, Query};
use crate::select::{Files, Finder, Selectors};
use crate::session::{Item, Session};

/// `--timeout` below zero.
const A_WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

#[derive(Args, Debug)]
pub struct Wait {
    /// TYPE NAME..., TYPE/NAME... or TYPE with -l or --all
    arguments: Vec<String>,
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    selectors: Selectors,
    /// All objects of the type in the namespace
    #[arg(long)]
    all: bool,
    /// In all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// delete, create, condition=NAME[=VALUE] or jsonpath='{PATH}'[=VALUE]
    #[arg(long = "for", value_name = "WHAT")]
    what: String,
    /// How long to wait; 0 for one look, below zero for a week
    #[arg(long, default_value = "30s", allow_hyphen_values = true)]
    timeout: String,
}

#[derive(Debug, PartialEq)]
enum Wish {
    Delete,
    Create,
    Condition { name: String, value: String },
    Field { template: Template, value: Option<String> },
}

impl Wish {
    fn parse(text: &str) -> Result<Self> {
        if let Some(condition) = text.strip_prefix("condition=") {
            let (name, value) = condition.split_once('=').unwrap_or((condition, "true"));
            return Ok(Self::Condition { name: name.to_lowercase(), value: value.to_lowercase() });
        }
        if let Some(text) = text.strip_prefix("jsonpath=") {
            let text = text.trim_matches('\'');
            let end = text.rfind('}').map_or(text.len(), |at| at + 1);
            let (path, value) = text.split_at(end);
            let template = Template::parse_relaxed(path.trim_end_matches('\''))
                .map_err(|e| Error::Message(format!("error parsing jsonpath {path}: {e}")))?;
            let value = value.trim_start_matches('\'').strip_prefix('=').map(str::to_owned);
            return Ok(Self::Field { template, value });
        }
        match text.to_lowercase().as_str() {
            "delete" => Ok(Self::Delete),
            "create" => Ok(Self::Create),
            _ => fail(format!("unrecognized condition: {text:?}")),
        }
    }

    fn holds(&self, object: &Value) -> bool {
        match self {
            Self::Delete => false,
            Self::Create => true,
            Self::Condition { name, value } => {
                let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
                let lower = |value: &Value| value.as_str().unwrap_or("").to_lowercase();
                conditions.into_iter().any(|c| lower(&c["type"]) == *name && lower(&c["status"]) == *value)
            }
            Self::Field { template, value } => match value {
                Some(value) => template.render(object).is_ok_and(|found| found == *value),
                None => template.find(object).is_ok_and(|found| !found.is_empty()),
            },
        }
    }
}

impl Wait {
    pub async fn run(self, session: &Session) -> Result<()> {
        let wish = Wish::parse(&self.what)?;
        let timeout = match self.timeout.strip_prefix('-') {
            Some(_) => A_WEEK,
            None => crate::duration::parse(&self.timeout).ok_or_else(|| {
                Error::Message(format!(
                    "invalid argument {:?} for \"--timeout\" flag: it must be a duration such as 30s",
                    self.timeout
                ))
            })?,
        };
        let finder = Finder {
            session,
            files: &self.files,
            arguments: &self.arguments,
            selectors: &self.selectors,
            all: self.all,
            all_namespaces: self.all_namespaces,
        };
        let (items, mut errors) = match wish {
            Wish::Create => finder.named().await?,
            _ => finder.find().await?,
        };
        if wish == Wish::Delete {
            // What is gone already is what was waited for.
            errors.retain(|error| !error.is_not_found());
        } else if items.is_empty() && errors.is_empty() {
            return fail("no matching resources found");
        }
        for item in items {
            let limit = timeout.max(Duration::from_millis(1));
            let outcome = match &wish {
                Wish::Delete => {
                    gone(session, &item, item.object["metadata"]["uid"].as_str().unwrap_or(""), limit).await
                }
                wish => tokio::time::timeout(limit, until(session, &item, wish)).await.unwrap_or_else(|_| {
                    fail(format!("timed out waiting for the condition on {}/{}", item.resource.qualified(), item.name))
                }),
            };
            match outcome {
                Ok(()) => {
                    let done = if wish == Wish::Delete { "deleted" } else { "condition met" };
                    say(&format!("{} {done}\n", item.label()))?;
                }
                Err(error) => errors.push(error),
            }
        }
        Error::gather(errors)
    }
}

async fn until(session: &Session, item: &Item, wish: &Wish) -> Result<()> {
    if wish.holds(&item.object) && !item.object.is_null() && *wish != Wish::Create {
        return Ok(());
    }
    loop {
        // A watch without a version begins with what is there, so nothing is missed in between.
        let query = Query::new().with("watch", "true").with("fieldSelector", format!("metadata.name={}", item.name));
        let mut events = session.client.watch(&query.on(&item.resource.collection(&item.namespace)), JSON).await?;
        while let Some(event) = events.next().await {
            let event = event?;
            if matches!(event["type"].as_str(), Some("ADDED" | "MODIFIED")) && wish.holds(&event["object"]) {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn wishes() {
        let pod = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
        for (text, holds) in [
            ("condition=Ready", true),
            ("condition=ready=false", false),
            ("jsonpath={.status.phase}=Running", true),
            ("jsonpath='{.status.phase}'=Pending", false),
            ("jsonpath={.status.phase}", true),
            ("jsonpath={.status.nope}", false),
            ("create", true),
            ("delete", false),
        ] {
            assert_eq!(Wish::parse(text).unwrap().holds(&pod), holds, "{text}");
        }
        assert_eq!(Wish::parse("x").unwrap_err().to_string(), "unrecognized condition: \"x\"");
    }
}
