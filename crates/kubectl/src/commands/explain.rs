//! `explain`: the documentation of a resource's fields, out of the server's OpenAPI document.

use clap::Args;
use serde_json::Value;

use crate::error::{Result, fail};
use crate::printer::say;
use crate::resources::Resource;
use crate::session::Session;

const WIDTH: usize = 80;

#[derive(Args, Debug)]
pub struct Explain {
    /// TYPE or TYPE.FIELD.FIELD
    path: String,
    /// All fields below, without their descriptions
    #[arg(long)]
    recursive: bool,
    /// As this version has it, such as v1 or apps/v1
    #[arg(long, default_value = "", hide_default_value = true)]
    api_version: String,
}

impl Explain {
    pub async fn run(self, session: &Session) -> Result<()> {
        let mut words = self.path.split('.');
        let name = words.next().unwrap_or("");
        let discovery = session.discovery().await?;
        let found = discovery.find(name)?;
        let resource = match self.api_version.as_str() {
            "" => found,
            version => match discovery.of_kind(version, &found.kind) {
                Some(resource) => resource,
                None => return fail(format!("couldn't find resource for \"{version}, Kind={}\"", found.kind)),
            },
        };
        let root = if resource.group.is_empty() { "api" } else { "apis" };
        let document = session.client.get(&format!("/openapi/v3/{root}/{}", resource.api_version())).await?;
        let Some(mut schema) = schema_of(&document, resource) else {
            return fail(format!("GVR ({}) not found in OpenAPI schema", resource.qualified()));
        };
        let mut field: Option<(&str, &Value)> = None;
        for word in words.filter(|word| !word.is_empty()) {
            let Some(property) = structure(&document, schema)["properties"].get(word) else {
                say(&heading(resource))?;
                return fail(format!("field {word:?} does not exist"));
            };
            field = Some((word, property));
            schema = property;
        }
        let mut out = heading(resource);
        if let Some((name, property)) = field {
            out += &format!("FIELD: {name} <{}>{}\n", type_of(&document, property), enumeration(property));
            out += "\n\n";
        }
        out += "DESCRIPTION:\n";
        let own = schema["description"].as_str().unwrap_or("");
        let inner = structure(&document, schema);
        let of_type = inner["description"].as_str().unwrap_or("");
        let described = [own, if own == of_type { "" } else { of_type }].into_iter().filter(|text| !text.is_empty());
        let described: Vec<String> = described.map(|text| wrap(text, 4)).collect();
        out += &if described.is_empty() { "    <empty>\n".to_owned() } else { described.concat() };
        out += "    \n";
        if inner["properties"].is_object() {
            out += "FIELDS:\n";
            self.fields(&document, inner, 1, &mut Vec::new(), &mut out);
        }
        out += "\n";
        say(&out)
    }

    fn fields(&self, document: &Value, schema: &Value, level: usize, above: &mut Vec<String>, out: &mut String) {
        let indent = " ".repeat(level * 2);
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let required = schema["required"].as_array().is_some_and(|required| required.iter().any(|r| r == name));
            let required = if required { " -required-" } else { "" };
            out.push_str(&format!("{indent}{name}\t<{}>{required}\n", type_of(document, property)));
            if !self.recursive {
                out.push_str(&wrap(property["description"].as_str().unwrap_or("<no description>"), level * 2 + 2));
                out.push('\n');
                continue;
            }
            let inner = structure(document, property);
            let reference = reference(property).unwrap_or("").to_owned();
            // A type that holds itself, such as a schema, is told once.
            if inner["properties"].is_object() && !above.contains(&reference) {
                above.push(reference);
                self.fields(document, inner, level + 1, above, out);
                above.pop();
            }
        }
    }
}

fn heading(resource: &Resource) -> String {
    let group = if resource.group.is_empty() { String::new() } else { format!("GROUP:      {}\n", resource.group) };
    format!("{group}KIND:       {}\nVERSION:    {}\n\n", resource.kind, resource.version)
}

fn schema_of<'a>(document: &'a Value, resource: &Resource) -> Option<&'a Value> {
    let is_it = |kind: &Value| {
        kind["kind"] == *resource.kind && kind["version"] == *resource.version && kind["group"] == *resource.group
    };
    let schemas = document["components"]["schemas"].as_object()?;
    schemas
        .values()
        .find(|schema| schema["x-kubernetes-group-version-kind"].as_array().into_iter().flatten().any(is_it))
}

/// `$ref`, which may hide in `allOf`, in the items of a list or the values of a map.
fn reference(schema: &Value) -> Option<&str> {
    let own = |schema: &Value| schema["$ref"].as_str().is_some();
    if own(schema) {
        return schema["$ref"].as_str();
    }
    let nested = schema["allOf"].as_array().and_then(|all| all.iter().find(|schema| own(schema)));
    if let Some(nested) = nested {
        return nested["$ref"].as_str();
    }
    ["items", "additionalProperties"].into_iter().find_map(|field| schema.get(field).and_then(reference))
}

/// The type behind a reference, or the schema itself.
fn structure<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let target = reference(schema).and_then(|r| document.pointer(r.trim_start_matches('#')));
    target.unwrap_or(schema)
}

fn type_of(document: &Value, schema: &Value) -> String {
    if schema["type"] == "array" {
        return format!("[]{}", type_of(document, &schema["items"]));
    }
    if schema["additionalProperties"].is_object() {
        return format!("map[string]{}", type_of(document, &schema["additionalProperties"]));
    }
    if let Some(reference) = reference(schema) {
        let target = structure(document, schema);
        return match target["type"].as_str() {
            Some(kind) if kind != "object" => kind.to_owned(),
            _ => reference.rsplit('.').next().unwrap_or("Object").to_owned(),
        };
    }
    match schema["type"].as_str() {
        Some("object") | None => "Object".into(),
        Some(kind) => kind.to_owned(),
    }
}

fn enumeration(schema: &Value) -> String {
    let values: Vec<&str> = schema["enum"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if values.is_empty() { String::new() } else { format!("\nENUM:\n    {}", values.join("\n    ")) }
}

/// Paragraphs broken at words, each line indented.
fn wrap(text: &str, indent: usize) -> String {
    let pad = " ".repeat(indent);
    let mut out = String::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split(' ') {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > WIDTH - indent {
                out += &format!("{pad}{line}\n");
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        out += &format!("{pad}{line}\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn types_are_told_shortly() {
        let document = json!({"components": {"schemas": {"a.Spec": {"type": "object", "properties": {}}, "a.Time": {"type": "string"}}}});
        let spec = json!({"allOf": [{"$ref": "#/components/schemas/a.Spec"}]});
        for (schema, told) in [
            (json!({"type": "string"}), "string"),
            (json!({"type": "array", "items": spec}), "[]Spec"),
            (json!({"type": "object", "additionalProperties": {"type": "string"}}), "map[string]string"),
            (json!({"$ref": "#/components/schemas/a.Time"}), "string"),
            (spec.clone(), "Spec"),
        ] {
            assert_eq!(type_of(&document, &schema), told, "{schema}");
        }
        assert_eq!(wrap(&"word ".repeat(20), 4).lines().map(str::len).max(), Some(78));
    }
}
