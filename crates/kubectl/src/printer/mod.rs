//! How objects and messages reach standard output: the formats of `-o`. Does not fetch anything.

pub mod columns;
pub mod jsonpath;
pub mod table;

use std::io::Write;

use api::yaml;
use serde::Serialize;
use serde_json::{Value, json};

use crate::error::{Error, Result, fail};

const FORMATS: &str = "json,jsonpath,jsonpath-as-json,jsonpath-file,name,wide,yaml";

#[derive(Clone, Debug, PartialEq)]
pub enum Format {
    Table,
    Wide,
    Json,
    Yaml,
    Name,
    JsonPath(jsonpath::Template),
    JsonPathAsJson(jsonpath::Template),
}

impl Format {
    /// `-o`'s value; None where it was not given.
    pub fn parse(text: Option<&str>) -> Result<Self> {
        let Some(text) = text else { return Ok(Self::Table) };
        let (name, template) = text.split_once('=').unwrap_or((text, ""));
        let jsonpath = |template: &str| {
            if template.is_empty() {
                return fail(format!(
                    "template format specified but no template given, as in -o {name}='{{.metadata.name}}'"
                ));
            }
            jsonpath::Template::parse(template)
                .map_err(|e| Error::Message(format!("error parsing jsonpath {template}, {e}")))
        };
        match name {
            "" => Ok(Self::Table),
            "wide" => Ok(Self::Wide),
            "json" => Ok(Self::Json),
            "yaml" => Ok(Self::Yaml),
            "name" => Ok(Self::Name),
            "jsonpath" => Ok(Self::JsonPath(jsonpath(template)?)),
            "jsonpath-as-json" => Ok(Self::JsonPathAsJson(jsonpath(template)?)),
            "jsonpath-file" => {
                let text = std::fs::read_to_string(template)
                    .map_err(|e| Error::Message(format!("error reading --template {template}, {e}")))?;
                Ok(Self::JsonPath(jsonpath(&text)?))
            }
            _ => fail(format!(
                "unable to match a printer suitable for the output format {name:?}, allowed formats are: {FORMATS}"
            )),
        }
    }

    /// The server makes the rows.
    pub fn is_table(&self) -> bool {
        matches!(self, Self::Table | Self::Wide)
    }

    /// An object in a format that shows it as it is; None where the format is a table's or `name`.
    pub fn render(&self, object: &Value) -> Result<Option<String>> {
        Ok(Some(match self {
            Self::Table | Self::Wide | Self::Name => return Ok(None),
            Self::Json => pretty(object) + "\n",
            Self::Yaml => yaml::render(object),
            Self::JsonPath(template) => template.render(object).map_err(Error::Message)?,
            Self::JsonPathAsJson(template) => {
                let found = template.find(object).map_err(Error::Message)?;
                pretty(&Value::Array(found)) + "\n"
            }
        }))
    }
}

/// JSON with four spaces, as upstream prints it.
pub fn pretty(value: &Value) -> String {
    let mut out = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, formatter);
    value.serialize(&mut serializer).expect("a value in memory can be written");
    String::from_utf8(out).expect("JSON is UTF-8")
}

/// Without the bookkeeping of server-side apply, which few want to see.
pub fn without_managed_fields(mut object: Value) -> Value {
    let strip = |object: &mut Value| {
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("managedFields");
        }
    };
    strip(&mut object);
    if let Some(items) = object.get_mut("items").and_then(Value::as_array_mut) {
        items.iter_mut().for_each(strip);
    }
    object
}

/// Several objects as the one that `-o json` and its like show.
pub fn list_of(items: Vec<Value>) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": items})
}

/// To standard output, at once.
pub fn say(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

pub fn say_line(text: &str) -> Result<()> {
    say(&format!("{text}\n"))
}
