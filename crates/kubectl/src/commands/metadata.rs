//! What `label` and `annotate` share: `KEY=VALUE` and `KEY-` on one map of the metadata.

use clap::Args;
use serde_json::{Map, Value, json};

use super::report::{DryRun, Output};
use crate::error::{Error, Result, fail};
use crate::printer::say;
use crate::rest::{MERGE, Query};
use crate::select::{Files, Finder, Selectors};
use crate::session::{Item, Session};

#[derive(Args, Debug)]
pub struct Change {
    /// TYPE NAME... or TYPE/NAME..., and KEY=VALUE to set or KEY- to remove
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
    /// Replace values that are there
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true",
        action = clap::ArgAction::Set)]
    overwrite: bool,
    /// Show what is there, change nothing
    #[arg(long)]
    list: bool,
    /// Only if the object still has this version
    #[arg(long, default_value = "", hide_default_value = true)]
    resource_version: String,
    #[command(flatten)]
    output: Output,
}

/// The words for the map that is changed.
pub struct Words {
    pub field: &'static str,
    pub one: &'static str,
    pub set: &'static str,
    pub removed: &'static str,
    pub nothing: &'static str,
}

#[derive(Debug, Default, PartialEq)]
struct Wanted {
    set: Vec<(String, String)>,
    remove: Vec<String>,
}

/// Arguments up to the first that sets or removes name objects.
fn part(arguments: &[String]) -> (Vec<String>, Vec<String>) {
    let is_change = |a: &String| a.contains('=') || a.ends_with('-') && a.len() > 1;
    let at = arguments.iter().position(is_change).unwrap_or(arguments.len());
    (arguments[..at].to_vec(), arguments[at..].to_vec())
}

fn wanted(changes: &[String], words: &Words) -> Result<Wanted> {
    let mut wanted = Wanted::default();
    for change in changes {
        match (change.split_once('='), change.strip_suffix('-')) {
            (Some((key, value)), _) if !key.is_empty() => wanted.set.push((key.into(), value.into())),
            (None, Some(key)) if !key.is_empty() => wanted.remove.push(key.into()),
            _ => return fail(format!("invalid {} spec: {change}", words.one)),
        }
    }
    match wanted.set.iter().find(|(key, _)| wanted.remove.contains(key)) {
        Some((key, _)) => fail(format!("cannot modify a {} and remove it in the same command: {key}", words.one)),
        None => Ok(wanted),
    }
}

impl Change {
    pub async fn run(self, session: &Session, words: &Words) -> Result<()> {
        let mut reporter = self.output.reporter()?;
        let (arguments, changes) = part(&self.arguments);
        let wanted = wanted(&changes, words)?;
        if changes.is_empty() && !self.list {
            return fail(format!("at least one {} update is required", words.one));
        }
        let finder = Finder {
            session,
            files: &self.files,
            arguments: &arguments,
            selectors: &self.selectors,
            all: self.all || self.list,
            all_namespaces: self.all_namespaces,
        };
        let (items, mut errors) = finder.find().await?;
        for item in items {
            if self.list {
                let held = item.object["metadata"][words.field].as_object().into_iter().flatten();
                say(&held.map(|(k, v)| format!("{k}={}\n", v.as_str().unwrap_or(""))).collect::<String>())?;
                continue;
            }
            match self.one(session, &item, &wanted, words).await {
                Ok((object, done)) => reporter.report(&item.resource, &item.name, &object, done)?,
                Err(error) => errors.push(error),
            }
        }
        Error::gather(errors)
    }

    async fn one(
        &self,
        session: &Session,
        item: &Item,
        wanted: &Wanted,
        words: &Words,
    ) -> Result<(Value, &'static str)> {
        let held = &item.object["metadata"][words.field];
        let value = |key: &str| held.get(key).and_then(Value::as_str);
        let overwritten = wanted.set.iter().filter(|(key, new)| value(key).is_some_and(|old| old != new));
        if let Some((key, _)) = overwritten.into_iter().next().filter(|_| !self.overwrite) {
            let old = value(key).unwrap_or("");
            return fail(match words.one {
                "label" => format!("'{key}' already has a value ({old}), and --overwrite is false"),
                _ => format!(
                    "--overwrite is false but found the following declared {}(s): '{key}' already has a value ({old})",
                    words.one
                ),
            });
        }
        let mut fields = Map::new();
        for key in &wanted.remove {
            match value(key) {
                Some(_) => drop(fields.insert(key.clone(), Value::Null)),
                None if words.one == "label" => eprintln!("label {key:?} not found."),
                None => {}
            }
        }
        let removes = !fields.is_empty();
        let sets = wanted.set.iter().filter(|(key, new)| value(key) != Some(new.as_str()));
        fields.extend(sets.map(|(key, new)| (key.clone(), new.clone().into())));
        let done = match (fields.is_empty(), removes && wanted.set.is_empty()) {
            (true, _) => words.nothing,
            (_, true) => words.removed,
            _ => words.set,
        };
        if fields.is_empty() || self.output.dry_run == DryRun::Client {
            return Ok((item.object.clone(), done));
        }
        let mut patch = json!({"metadata": {words.field: fields}});
        if !self.resource_version.is_empty() {
            patch["metadata"]["resourceVersion"] = self.resource_version.clone().into();
        }
        let query = self.output.on(Query::new()
            .with("fieldManager", format!("kubectl-{}", if words.one == "label" { "label" } else { "annotate" })));
        Ok((session.client.patch(&query.on(&item.path()), MERGE, &patch).await?, done))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_name_objects_first() {
        let texts = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
        for (arguments, objects) in
            [(&["pods", "a", "x=1", "y-"][..], 2), (&["pods/a-b", "x-"], 1), (&["pods", "a"], 2)]
        {
            let (named, changes) = part(&texts(arguments));
            assert_eq!((named.len(), changes.len()), (objects, arguments.len() - objects), "{arguments:?}");
        }
        let told = |changes: &[&str]| wanted(&texts(changes), &super::super::label::WORDS).map_err(|e| e.to_string());
        assert_eq!(
            told(&["x=1=2", "y-"]),
            Ok(Wanted { set: vec![("x".into(), "1=2".into())], remove: vec!["y".into()] })
        );
        assert_eq!(told(&["x=1", "z"]), Err("invalid label spec: z".into()));
        assert_eq!(told(&["x=1", "x-"]), Err("cannot modify a label and remove it in the same command: x".into()));
    }
}
