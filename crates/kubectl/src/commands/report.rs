//! What commands that change objects say of each, and the flags for it: `-o`, `--dry-run`, `--validate`.

use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::error::{Result, fail};
use crate::printer::{Format, say, without_managed_fields};
use crate::resources::Resource;
use crate::rest::Query;

#[derive(Clone, Copy, Debug, Default, PartialEq, ValueEnum)]
pub enum DryRun {
    #[default]
    None,
    Client,
    Server,
}

#[derive(Args, Clone, Debug)]
pub struct Output {
    /// Instead of a message: json, yaml, name, jsonpath=TEMPLATE
    #[arg(short, long, global = true, value_name = "FORMAT")]
    pub output: Option<String>,
    /// Only say what would be done: `client` asks nobody, `server` has the server check it
    #[arg(long, global = true, value_name = "HOW", num_args = 0..=1, require_equals = true, default_value = "none",
        default_missing_value = "client", hide_default_value = true)]
    pub dry_run: DryRun,
    /// Show the bookkeeping of server-side apply too
    #[arg(long, global = true)]
    pub show_managed_fields: bool,
}

#[derive(Args, Clone, Debug)]
pub struct Validation {
    /// What the server does about unknown and duplicate fields: strict, warn or ignore
    #[arg(long, global = true, num_args = 0..=1, require_equals = true, default_value = "strict", default_missing_value = "strict")]
    pub validate: String,
}

impl Validation {
    pub fn on(&self, query: Query) -> Result<Query> {
        let word = match self.validate.as_str() {
            "strict" | "true" => "Strict",
            "warn" => "Warn",
            "ignore" | "false" => "Ignore",
            other => {
                return fail(format!(
                    "invalid - validate option {other:?}; must be one of: strict (or true), warn, ignore (or false)"
                ));
            }
        };
        Ok(query.with("fieldValidation", word))
    }
}

impl Output {
    pub fn on(&self, query: Query) -> Query {
        if self.dry_run == DryRun::Server { query.with("dryRun", "All") } else { query }
    }

    pub fn reporter(&self) -> Result<Reporter> {
        let format = Format::parse(self.output.as_deref())?;
        if format == Format::Wide {
            return fail(
                "unable to match a printer suitable for the output format \"wide\", allowed formats are: json,jsonpath,jsonpath-as-json,jsonpath-file,name,yaml",
            );
        }
        Ok(Reporter { format, dry_run: self.dry_run, managed_fields: self.show_managed_fields, said: 0 })
    }
}

pub struct Reporter {
    format: Format,
    pub dry_run: DryRun,
    managed_fields: bool,
    said: usize,
}

impl Reporter {
    /// `pod/a created`, or the object in the format that was asked for.
    pub fn report(&mut self, resource: &Resource, name: &str, object: &Value, done: &str) -> Result<()> {
        let shown = if self.managed_fields { object.clone() } else { without_managed_fields(object.clone()) };
        self.said += 1;
        match self.format.render(&shown)? {
            Some(text) if self.format == Format::Yaml && self.said > 1 => say(&format!("---\n{text}")),
            Some(text) => say(&text),
            None if self.format == Format::Name => say(&format!("{}/{name}\n", resource.label())),
            None => say(&format!("{}/{name} {done}{}\n", resource.label(), suffix(self.dry_run))),
        }
    }
}

pub fn suffix(dry_run: DryRun) -> &'static str {
    match dry_run {
        DryRun::None => "",
        DryRun::Client => " (dry run)",
        DryRun::Server => " (server dry run)",
    }
}
