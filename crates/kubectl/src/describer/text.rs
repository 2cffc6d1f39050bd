//! The notation of descriptions: indented `Name:` and value with a tab between, lists below each other.

use std::fmt::{Display, Write};

use serde_json::Value;

#[derive(Default)]
pub struct Text {
    text: String,
    level: usize,
}

impl Text {
    /// A line without an indent of its own; tabs are kept.
    pub fn raw(&mut self, line: impl Display) {
        let _ = writeln!(self.text, "{line}");
    }

    /// A line at the level of now.
    pub fn line(&mut self, line: impl Display) {
        let _ = writeln!(self.text, "{:1$}{line}", "", self.level * 2);
    }

    /// `Name:` and value.
    pub fn field(&mut self, name: &str, value: impl Display) {
        self.line(format_args!("{name}:\t{value}"));
    }

    pub fn inside(&mut self, body: impl FnOnce(&mut Self)) {
        self.level += 1;
        body(self);
        self.level -= 1;
    }

    /// A container or volume below the title of its section. In a pod's template, which is indented itself, upstream moves
    /// only the names by one space.
    pub fn entry(&mut self, name: &str, body: impl FnOnce(&mut Self)) {
        let level = self.level;
        self.raw(format_args!("{}{name}:", if level == 0 { "  " } else { "   " }));
        self.level = 2;
        body(self);
        self.level = level;
    }

    /// `Labels:` with `key=value` below each other.
    pub fn map(&mut self, title: &str, map: &Value, separator: &str) {
        let mut title = format!("{title}:");
        let mut empty = true;
        for (key, value) in map.as_object().into_iter().flatten() {
            let value = plain(value);
            self.line(format_args!("{title}\t{key}{separator}{}", value.trim_end_matches('\n').replace('\n', "\\n")));
            title.clear();
            empty = false;
        }
        if empty {
            self.line(format_args!("{title}\t<none>"));
        }
    }

    pub fn labels(&mut self, object: &Value) {
        self.map("Labels", &object["metadata"]["labels"], "=");
    }

    pub fn annotations(&mut self, object: &Value) {
        let mut annotations = object["metadata"]["annotations"].clone();
        if let Some(map) = annotations.as_object_mut() {
            map.remove("kubectl.kubernetes.io/last-applied-configuration");
        }
        let mut title = "Annotations:";
        for (key, value) in annotations.as_object().into_iter().flatten() {
            let value = plain(value);
            // What is long or has lines of its own stands below its name.
            if value.trim_end().contains('\n') || value.len() + key.len() + 2 > 140 {
                self.line(format_args!("{title}\t{key}:"));
                for line in value.trim_end().lines() {
                    self.line(format_args!("\t  {}", shorten(line)));
                }
            } else {
                self.line(format_args!("{title}\t{key}: {}", value.trim_end()));
            }
            title = "";
        }
        if !title.is_empty() {
            self.line(format_args!("{title}\t<none>"));
        }
    }

    pub fn into_string(self) -> String {
        self.text
    }
}

fn shorten(line: &str) -> String {
    const MOST: usize = 140 - 2;
    if line.chars().count() <= MOST { line.to_owned() } else { line.chars().take(MOST).chain("...".chars()).collect() }
}

/// A string as it is, nothing for null, else JSON.
pub fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

pub fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

pub fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

pub fn or_none(text: &str) -> &str {
    if text.is_empty() { "<none>" } else { text }
}

pub fn title(word: &str) -> String {
    match word {
        "True" | "true" => "True".into(),
        "False" | "false" => "False".into(),
        other => other.into(),
    }
}
