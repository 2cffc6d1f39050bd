//! `patch`: a patch from the command line, sent as it is.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::report::{DryRun, Output};
use crate::error::{Error, Result, fail};
use crate::rest::{JSON_PATCH, MERGE, Query, STRATEGIC};
use crate::select::{Files, Finder, Selectors};
use crate::session::Session;

#[derive(Args, Debug)]
pub struct Patch {
    /// TYPE NAME or TYPE/NAME
    arguments: Vec<String>,
    #[command(flatten)]
    files: Files,
    /// The patch, as JSON or YAML
    #[arg(short, long, default_value = "", hide_default_value = true)]
    patch: String,
    /// A file with the patch
    #[arg(long)]
    patch_file: Option<PathBuf>,
    /// What kind of patch it is
    #[arg(long = "type", default_value = "strategic")]
    kind: Kind,
    /// Of this subresource: status or scale
    #[arg(long, default_value = "", hide_default_value = true)]
    subresource: String,
    #[command(flatten)]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Kind {
    Json,
    Merge,
    Strategic,
}

impl Patch {
    pub async fn run(self, session: &Session) -> Result<()> {
        let text = match (&self.patch_file, self.patch.as_str()) {
            (Some(file), "") => std::fs::read_to_string(file)
                .map_err(|e| Error::Message(format!("unable to read patch file {}: {e}", file.display())))?,
            (Some(_), _) => return fail("cannot specify --patch and --patch-file together"),
            (None, "") => return fail("must specify --patch or --patch-file containing the contents of the patch"),
            (None, text) => text.to_owned(),
        };
        let patch: Value = api::yaml::read(text.as_bytes(), &mut Vec::new())
            .map_err(|e| Error::Message(format!("unable to parse {text:?}: yaml: {e}")))?;
        let kind = match self.kind {
            Kind::Json => JSON_PATCH,
            Kind::Merge => MERGE,
            Kind::Strategic => STRATEGIC,
        };
        let mut reporter = self.output.reporter()?;
        let selectors = Selectors::default();
        let finder = Finder {
            session,
            files: &self.files,
            arguments: &self.arguments,
            selectors: &selectors,
            all: false,
            all_namespaces: false,
        };
        let (items, mut errors) = finder.find().await?;
        let query = self.output.on(Query::new().with("fieldManager", "kubectl-patch"));
        let sub = if self.subresource.is_empty() { String::new() } else { format!("/{}", self.subresource) };
        for item in items {
            if reporter.dry_run == DryRun::Client {
                reporter.report(&item.resource, &item.name, &item.object, "patched")?;
                continue;
            }
            match session.client.patch(&query.on(&(item.path() + &sub)), kind, &patch).await {
                Ok(object) => {
                    let same = object["metadata"]["resourceVersion"] == item.object["metadata"]["resourceVersion"];
                    let done = if same { "patched (no change)" } else { "patched" };
                    reporter.report(&item.resource, &item.name, &object, done)?;
                }
                Err(error) => errors.push(error),
            }
        }
        Error::gather(errors)
    }
}
