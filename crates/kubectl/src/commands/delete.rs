//! `delete`: asks the server to delete objects, and waits until they are gone.

use std::time::Duration;

use clap::{Args, ValueEnum};
use futures::StreamExt;
use serde_json::{Value, json};

use super::report::{DryRun, suffix};
use crate::error::{Error, Result, fail};
use crate::printer::{say, say_line};
use crate::rest::{JSON, Query};
use crate::select::{Files, Finder, Selectors};
use crate::session::{Item, Session};

const FORCE_WARNING: &str = "Warning: Immediate deletion does not wait for confirmation that the running resource has been \
    terminated. The resource may continue to run on the cluster indefinitely.";

#[derive(Args, Debug)]
pub struct Delete {
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
    /// Seconds that the object has to end by itself; -1 for its own default
    #[arg(long, default_value_t = -1, allow_negative_numbers = true)]
    grace_period: i64,
    /// The shortest grace period: one second
    #[arg(long)]
    now: bool,
    /// Remove the object from the API at once, without waiting for what it stands for
    #[arg(long)]
    force: bool,
    /// What happens to the objects that belong to it
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "background", default_missing_value = "background")]
    cascade: Cascade,
    /// Wait until the objects are gone
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = true, default_missing_value = "true",
        action = clap::ArgAction::Set)]
    wait: bool,
    /// How long to wait, such as 30s; 0 for as long as it takes
    #[arg(long, default_value = "0s")]
    timeout: String,
    /// No error for an object that does not exist
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    ignore_not_found: Option<bool>,
    /// Instead of a message: name
    #[arg(short, long, default_value = "", hide_default_value = true)]
    output: String,
    /// Only say what would be done
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "none", default_missing_value = "client",
        hide_default_value = true)]
    dry_run: DryRun,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Cascade {
    #[value(alias = "true")]
    Background,
    #[value(alias = "false")]
    Orphan,
    Foreground,
}

impl Delete {
    pub async fn run(self, session: &Session) -> Result<()> {
        let grace = self.grace_seconds()?;
        let timeout = crate::duration::parse(&self.timeout).ok_or_else(|| {
            Error::Message(format!(
                "invalid argument {:?} for \"--timeout\" flag: it must be a duration such as 30s",
                self.timeout
            ))
        })?;
        if !matches!(self.output.as_str(), "" | "name") {
            return fail(format!("unexpected -o output mode: {}. We only support '-o name'", self.output));
        }
        if self.all && !self.selectors.selector.is_empty() {
            return fail("setting 'all' parameter but found a non empty selector.");
        }
        if grace == Some(0) && self.force {
            eprintln!("{FORCE_WARNING}");
        }
        let finder = Finder {
            session,
            files: &self.files,
            arguments: &self.arguments,
            selectors: &self.selectors,
            all: self.all,
            all_namespaces: self.all_namespaces,
        };
        let (items, mut errors) = finder.named().await?;
        if items.is_empty() && errors.is_empty() {
            say_line("No resources found")?;
        }
        let ignore = self.ignore_not_found.unwrap_or(self.all);
        let mut going = Vec::new();
        for item in items {
            match self.one(session, &item, grace).await {
                Ok(uid) => going.push((item, uid)),
                Err(error) if ignore && error.is_not_found() => {}
                Err(error) => errors.push(error.when("deleting", &item.source)),
            }
        }
        if self.wait && self.dry_run == DryRun::None {
            for (item, uid) in going {
                if let Err(error) = gone(session, &item, &uid, timeout).await {
                    errors.push(error);
                }
            }
        }
        Error::gather(errors)
    }

    fn grace_seconds(&self) -> Result<Option<i64>> {
        match (self.grace_period, self.now, self.force) {
            (0.., true, _) => fail("--now and --grace-period cannot be specified together"),
            (1.., _, true) => fail("--force and --grace-period greater than 0 cannot be specified together"),
            (_, true, _) => Ok(Some(1)),
            (_, _, true) => Ok(Some(0)),
            // What runs must not be lost by accident: at once needs --force.
            (0, ..) => Ok(Some(1)),
            (1.., ..) => Ok(Some(self.grace_period)),
            _ => Ok(None),
        }
    }

    /// Asks for the deletion; the answer is the object's uid.
    async fn one(&self, session: &Session, item: &Item, grace: Option<i64>) -> Result<String> {
        let mut uid = String::new();
        if self.dry_run != DryRun::Client {
            let policy = match self.cascade {
                Cascade::Background => "Background",
                Cascade::Orphan => "Orphan",
                Cascade::Foreground => "Foreground",
            };
            let mut options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": policy});
            if let Some(grace) = grace {
                options["gracePeriodSeconds"] = grace.into();
            }
            let query = Query::new().with_some("dryRun", if self.dry_run == DryRun::Server { "All" } else { "" });
            let answer = session.client.delete(&query.on(&item.path()), &options).await?;
            // A status about the object, or the object that is on its way.
            let of = |value: &Value| value["uid"].as_str().map(str::to_owned);
            uid = of(&answer["details"]).or_else(|| of(&answer["metadata"])).unwrap_or_default();
        }
        if self.output == "name" {
            say_line(&item.label())?;
            return Ok(uid);
        }
        let force = if grace == Some(0) { "force " } else { "" };
        let from = if item.resource.namespaced { format!(" from {} namespace", item.namespace) } else { String::new() };
        say(&format!("{} {:?} {force}deleted{from}{}\n", item.resource.label(), item.name, suffix(self.dry_run)))?;
        Ok(uid)
    }
}

/// Until no object of this uid is there. Whatever takes its place is another object.
pub async fn gone(session: &Session, item: &Item, uid: &str, timeout: Duration) -> Result<()> {
    let vanished = async {
        loop {
            let current = match session.client.get(&item.path()).await {
                Ok(current) => current,
                Err(error) if error.is_not_found() => return Ok(()),
                Err(error) => return Err(error),
            };
            let is_other = |object: &Value| !uid.is_empty() && object["metadata"]["uid"] != uid;
            if is_other(&current) {
                return Ok(());
            }
            let query = Query::new()
                .with("watch", "true")
                .with("fieldSelector", format!("metadata.name={}", item.name))
                .with_some("resourceVersion", current["metadata"]["resourceVersion"].as_str().unwrap_or(""));
            let path = query.on(&item.resource.collection(&item.namespace));
            let mut events = session.client.watch(&path, JSON).await?;
            while let Some(event) = events.next().await {
                let event = event?;
                if event["type"] == "DELETED" || event["type"] != "ERROR" && is_other(&event["object"]) {
                    return Ok(());
                }
                if event["type"] == "ERROR" {
                    break;
                }
            }
            // The watch ended, or was too old: look again.
        }
    };
    if timeout.is_zero() {
        return vanished.await;
    }
    tokio::time::timeout(timeout, vanished).await.unwrap_or_else(|_| {
        fail(format!("timed out waiting for the condition on {}/{}", item.resource.qualified(), item.name))
    })
}
