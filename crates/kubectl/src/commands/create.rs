//! `create`: objects from files, and namespaces, config maps and secrets from the command line.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::apply::with_last_applied;
use super::report::{DryRun, Output, Validation};
use crate::error::{Error, Result, fail};
use crate::kubeconfig::Connection;
use crate::resources::Resource;
use crate::rest::Query;
use crate::select::Files;
use crate::session::{Item, Session};

#[derive(Args, Debug)]
pub struct Create {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    files: Files,
    /// Keep what is created in an annotation, so that `apply` can go on from it
    #[arg(long, global = true)]
    save_config: bool,
    #[command(flatten)]
    validation: Validation,
    #[command(flatten)]
    output: Output,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Create a namespace
    #[command(alias = "ns")]
    Namespace { name: String },
    /// Create a config map of files and literals
    #[command(name = "configmap", alias = "cm")]
    ConfigMap(Data),
    /// Create a secret
    Secret {
        #[command(subcommand)]
        kind: Secret,
    },
}

#[derive(Subcommand, Debug)]
enum Secret {
    /// Of files and literals
    Generic(Data),
}

#[derive(Args, Debug)]
struct Data {
    name: String,
    /// A key and its value, as KEY=VALUE; may be repeated
    #[arg(long)]
    from_literal: Vec<String>,
    /// A file, as FILE or KEY=FILE, or a folder; may be repeated
    #[arg(long)]
    from_file: Vec<String>,
    /// A file of lines KEY=VALUE; may be repeated
    #[arg(long)]
    from_env_file: Vec<String>,
    /// The secret's type
    #[arg(long = "type", default_value = "")]
    kind: String,
}

impl Create {
    pub async fn run(self, connection: &Connection) -> Result<()> {
        match &self.what {
            Some(what) => self.one(what, connection).await,
            None if self.files.filename.is_empty() => fail("must specify one of -f and -k"),
            None => self.read_files(&Session::open(connection).await?).await,
        }
    }

    async fn read_files(&self, session: &Session) -> Result<()> {
        let mut reporter = self.output.reporter()?;
        let query = self.query()?;
        let manifests = self.files.read()?;
        if manifests.is_empty() {
            return fail("no objects passed to create");
        }
        let (items, mut errors) = session.items_of(manifests).await;
        for item in items {
            let created = if reporter.dry_run == DryRun::Client {
                Ok(self.saved(item.object.clone()))
            } else {
                let path = query.on(&item.resource.collection(&item.namespace));
                session.client.post(&path, &self.saved(item.object.clone())).await
            };
            match created.map_err(|e| e.when("creating", &item.source)) {
                Ok(object) => reporter.report(&item.resource, &name_of(&object, &item), &object, "created")?,
                Err(error) => errors.push(error),
            }
        }
        Error::gather(errors)
    }

    async fn one(&self, what: &What, connection: &Connection) -> Result<()> {
        let (resource, mut object) = match what {
            What::Namespace { name } => (
                resource("namespaces", "Namespace", false),
                json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}),
            ),
            What::ConfigMap(data) => (resource("configmaps", "ConfigMap", true), data.config_map()?),
            What::Secret { kind: Secret::Generic(data) } => (resource("secrets", "Secret", true), data.secret()?),
        };
        if let (true, Some(namespace)) = (resource.namespaced, &connection.namespace) {
            object["metadata"]["namespace"] = namespace.clone().into();
        }
        let mut reporter = self.output.reporter()?;
        let name = object["metadata"]["name"].as_str().unwrap_or("").to_owned();
        object = self.saved(object);
        if reporter.dry_run != DryRun::Client {
            let session = Session::open(connection).await?;
            let path = self.query()?.on(&resource.collection(&session.namespace));
            object = session.client.post(&path, &object).await.map_err(|error| match (error, what) {
                (Error::Refused(refusal), What::ConfigMap(_)) if refusal.reason != "Invalid" => {
                    Error::Message(format!("failed to create configmap: {}", refusal.message))
                }
                (Error::Refused(refusal), What::Secret { .. }) if refusal.reason != "Invalid" => {
                    Error::Message(format!("failed to create secret {}", refusal.message))
                }
                (error, _) => error,
            })?;
        }
        reporter.report(&resource, &name, &object, "created")
    }

    fn query(&self) -> Result<Query> {
        self.validation.on(self.output.on(Query::new().with("fieldManager", "kubectl-create")))
    }

    fn saved(&self, object: Value) -> Value {
        if self.save_config { with_last_applied(object) } else { object }
    }
}

/// The server may have made the name up.
fn name_of(object: &Value, item: &Item) -> String {
    object["metadata"]["name"].as_str().unwrap_or(&item.name).to_owned()
}

fn resource(plural: &str, kind: &str, namespaced: bool) -> Resource {
    let (plural, kind) = (plural.to_owned(), kind.to_owned());
    Resource { version: "v1".into(), plural, kind, namespaced, ..Resource::default() }
}

impl Data {
    fn config_map(&self) -> Result<Value> {
        let (mut data, mut binary) = (Map::new(), Map::new());
        for (key, bytes) in self.entries()? {
            match String::from_utf8(bytes) {
                Ok(text) => data.insert(key, text.into()),
                Err(error) => binary.insert(key, STANDARD.encode(error.as_bytes()).into()),
            };
        }
        let mut object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": self.name}});
        for (field, entries) in [("data", data), ("binaryData", binary)] {
            if !entries.is_empty() {
                object[field] = entries.into();
            }
        }
        Ok(object)
    }

    fn secret(&self) -> Result<Value> {
        let entries = self.entries()?.into_iter().map(|(key, bytes)| (key, STANDARD.encode(bytes).into()));
        let data: Map<String, Value> = entries.collect();
        let mut object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": self.name}});
        if !data.is_empty() {
            object["data"] = data.into();
        }
        if !self.kind.is_empty() {
            object["type"] = self.kind.clone().into();
        }
        Ok(object)
    }

    fn entries(&self) -> Result<Vec<(String, Vec<u8>)>> {
        let mut entries: Vec<(String, Vec<u8>)> = Vec::new();
        let mut add = |key: String, value: Vec<u8>| {
            if entries.iter().any(|(known, _)| *known == key) {
                return fail(format!("cannot add key {key:?}, another key by that name already exists"));
            }
            entries.push((key, value));
            Ok(())
        };
        for literal in &self.from_literal {
            match literal.split_once('=') {
                Some((key, value)) if !key.is_empty() => add(key.into(), value.trim_matches(['\'', '"']).into())?,
                _ => return fail(format!("invalid literal source {literal}, expected key=value")),
            }
        }
        for named in &self.from_file {
            let (key, path) = named.split_once('=').map_or((None, named.as_str()), |(key, path)| (Some(key), path));
            let path = Path::new(path);
            let file_name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if !path.is_dir() {
                add(key.map_or_else(|| file_name(path), str::to_owned), contents(path)?)?;
                continue;
            }
            if key.is_some() {
                return fail(format!("cannot give a key name for a directory path: {named}"));
            }
            let mut files: Vec<_> = std::fs::read_dir(path)?.filter_map(|e| e.ok().map(|e| e.path())).collect();
            files.sort();
            for file in files.into_iter().filter(|file| file.is_file()) {
                add(file_name(&file), contents(&file)?)?;
            }
        }
        for file in &self.from_env_file {
            let text = String::from_utf8_lossy(&contents(Path::new(file))?).into_owned();
            for line in text.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with('#')) {
                let (key, value) = line.split_once('=').map_or_else(
                    || (line.to_owned(), std::env::var(line).unwrap_or_default()),
                    |(key, value)| (key.to_owned(), value.to_owned()),
                );
                add(key, value.into_bytes())?;
            }
        }
        Ok(entries)
    }
}

fn contents(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| Error::Message(format!("error reading {}: {e}", path.display())))
}
