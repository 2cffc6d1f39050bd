//! What is asked: files of YAML, each a list of steps.
//!
//! - `do`: method and path; `body`: an object is sent as JSON, a text as it is; `type` and `accept`: media types, JSON by default;
//!   `for`: read a watch for so many milliseconds; `keep`: names for parts of the answer, which `$(name)` stands for later; `with`: further
//!   fields of the body; `note`: tells it from others of the same path.
//! - `each` and `steps`: the steps again for each row of a table; `$name` stands for a cell. `each: samples` are good objects of all kinds that
//!   the older server has too: `$object`, `$path` of the collection, `$name`, `$kind`.

mod samples;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::server::Server;

pub struct Script {
    pub name: String,
    pub steps: Vec<Step>,
}

/// A request.
#[derive(Debug)]
pub struct Step {
    pub title: String,
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
    pub keep: BTreeMap<String, String>,
    pub stop_after: Option<Duration>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    r#do: String,
    #[serde(default)]
    body: Value,
    /// Fields that are added to the body.
    #[serde(default)]
    with: Map<String, Value>,
    r#type: Option<String>,
    accept: Option<String>,
    #[serde(default)]
    keep: BTreeMap<String, String>,
    r#for: Option<u64>,
    /// Told beside the request, where more than one is the same.
    #[serde(default)]
    note: Value,
}

impl Script {
    pub async fn read_all(folder: &Path, only: &[String], theirs: &mut Server) -> Result<Vec<Self>> {
        let mut names: Vec<String> = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            names.extend(name.strip_suffix(".yaml").map(str::to_owned));
        }
        names.sort();
        if let Some(absent) = only.iter().find(|name| !names.contains(name)) {
            bail!("there is no {absent}.yaml in {}", folder.display());
        }
        names.retain(|name| only.is_empty() || only.contains(name));
        let samples = samples::read(theirs).await?;
        let mut scripts = Vec::new();
        for name in names {
            let path = folder.join(format!("{name}.yaml"));
            let text = std::fs::read_to_string(&path)?;
            let written: Vec<Value> = serde_yaml::from_str(&text).with_context(|| path.display().to_string())?;
            let mut steps = Vec::new();
            expand(&written, &Map::new(), &samples, &mut steps).with_context(|| path.display().to_string())?;
            scripts.push(Self { name, steps });
        }
        Ok(scripts)
    }
}

fn expand(written: &[Value], cells: &Map<String, Value>, samples: &[Value], steps: &mut Vec<Step>) -> Result<()> {
    for step in written {
        let Some(each) = step.get("each") else {
            let mut step = step.clone();
            fill(&mut step, cells);
            steps.push(Step::read(step)?);
            continue;
        };
        let rows =
            if each == "samples" { samples } else { each.as_array().context("each: must be a list")?.as_slice() };
        let below = step["steps"].as_array().context("steps: must be a list")?;
        for row in rows {
            let mut cells = cells.clone();
            let mut row = row.clone();
            fill(&mut row, &cells);
            cells.extend(row.as_object().context("each: must be a list of maps")?.clone());
            expand(below, &cells, samples, steps)?;
        }
    }
    Ok(())
}

/// Puts cells where their names stand.
fn fill(value: &mut Value, cells: &Map<String, Value>) {
    match value {
        Value::String(text) => {
            if let Some(cell) = text.strip_prefix('$').and_then(|name| cells.get(name)) {
                *value = cell.clone();
                return;
            }
            for (name, cell) in cells {
                if let Some(cell) = cell.as_str() {
                    *text = text.replace(&format!("${name}"), cell);
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|value| fill(value, cells)),
        Value::Object(fields) => {
            for (mut key, mut value) in std::mem::take(fields) {
                for (name, cell) in cells.iter().filter_map(|(name, cell)| Some((name, cell.as_str()?))) {
                    key = key.replace(&format!("${name}"), cell);
                }
                fill(&mut value, cells);
                fields.insert(key, value);
            }
        }
        _ => {}
    }
}

impl Step {
    fn read(step: Value) -> Result<Self> {
        let told = step.to_string();
        let mut written: Written = serde_json::from_value(step).with_context(|| told.clone())?;
        if let Value::Object(fields) = &mut written.body {
            fields.append(&mut written.with);
        }
        let (method, path) = written.r#do.split_once(' ').with_context(|| format!("no METHOD PATH: {told}"))?;
        let body = match &written.body {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            body => body.to_string(),
        };
        let default = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let mut headers = vec![("accept".to_owned(), written.accept.unwrap_or_else(|| "application/json".into()))];
        headers.push(("user-agent".into(), "compare/1".into()));
        let kind = written.r#type.unwrap_or_else(|| if body.is_empty() { String::new() } else { default.to_owned() });
        if !kind.is_empty() {
            headers.push(("content-type".into(), kind));
        }
        let note = match &written.note {
            Value::Null => String::new(),
            Value::String(note) => format!(" ({note})"),
            note => format!(" ({note})"),
        };
        Ok(Self {
            title: format!("{}{note}", written.r#do),
            method: method.to_owned(),
            path: path.to_owned(),
            headers,
            body,
            keep: written.keep,
            stop_after: written.r#for.map(Duration::from_millis),
        })
    }
}
