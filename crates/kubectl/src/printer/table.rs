//! The server's `meta.k8s.io/v1` Table as lines of text. Which cells there are is the server's part.

use std::fmt::Write;

use serde_json::Value;

use super::columns::Columns;

#[derive(Clone, Debug, Default)]
pub struct Options {
    pub wide: bool,
    pub no_headers: bool,
    pub namespace: bool,
    /// `pod/` before each name.
    pub prefix: String,
    pub show_labels: bool,
    pub label_columns: Vec<String>,
}

/// Prints tables of one resource, one behind the other; the columns are named once.
pub struct TablePrinter {
    options: Options,
    columns: Columns,
    /// Of the last table that had some: those of a watch's later events are empty.
    definitions: Vec<Value>,
    headed: bool,
}

impl TablePrinter {
    pub fn new(options: Options) -> Self {
        let headed = options.no_headers;
        Self { options, columns: Columns::of_table(), definitions: Vec::new(), headed }
    }

    pub fn render(&mut self, table: &Value) -> String {
        if let Some(definitions) = table["columnDefinitions"].as_array().filter(|d| !d.is_empty()) {
            self.definitions.clone_from(definitions);
        }
        let shown: Vec<usize> = (0..self.definitions.len()).filter(|&at| self.is_shown(at)).collect();
        let mut text = String::new();
        if !std::mem::replace(&mut self.headed, true) {
            self.headers(&shown, &mut text);
        }
        for row in table["rows"].as_array().into_iter().flatten() {
            self.row(row, &shown, &mut text);
        }
        self.columns.align(&text)
    }

    fn is_shown(&self, at: usize) -> bool {
        self.options.wide || self.definitions[at]["priority"].as_i64().unwrap_or(0) == 0
    }

    fn headers(&self, shown: &[usize], text: &mut String) {
        let mut cells: Vec<String> = Vec::new();
        if self.options.namespace {
            cells.push("NAMESPACE".into());
        }
        cells.extend(shown.iter().map(|&at| self.definitions[at]["name"].as_str().unwrap_or("").to_uppercase()));
        // A label's column is called by what stands behind its prefix.
        let short = |key: &String| key.rsplit('/').next().unwrap_or(key).to_uppercase();
        cells.extend(self.options.label_columns.iter().map(short));
        if self.options.show_labels {
            cells.push("LABELS".into());
        }
        line(&cells, text);
    }

    fn row(&self, row: &Value, shown: &[usize], text: &mut String) {
        let metadata = &row["object"]["metadata"];
        let mut cells = Vec::new();
        if self.options.namespace {
            cells.push(metadata["namespace"].as_str().unwrap_or("").to_owned());
        }
        for (place, &at) in shown.iter().enumerate() {
            let cell = plain(&row["cells"][at]);
            let is_name = place == 0 && !self.options.prefix.is_empty();
            cells.push(if is_name { format!("{}/{cell}", self.options.prefix) } else { cell });
        }
        for key in &self.options.label_columns {
            cells.push(metadata["labels"][key].as_str().unwrap_or("").to_owned());
        }
        if self.options.show_labels {
            cells.push(labels(&metadata["labels"]));
        }
        line(&cells, text);
    }
}

fn line(cells: &[String], text: &mut String) {
    let _ = writeln!(text, "{}", cells.join("\t"));
}

/// `a=1,b=2`, or `<none>`.
pub fn labels(labels: &Value) -> String {
    let pairs: Vec<String> =
        labels.as_object().into_iter().flatten().map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or(""))).collect();
    if pairs.is_empty() { "<none>".into() } else { pairs.join(",") }
}

/// A cell in one line; a tab or a line's end would break the table.
fn plain(cell: &Value) -> String {
    let text = match cell {
        Value::String(text) => text.clone(),
        Value::Null => "<nil>".into(),
        other => other.to_string(),
    };
    match text.find(['\n', '\r', '\u{c}']) {
        Some(end) => format!("{}...", &text[..end]),
        None => text.replace('\t', " "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use serde_json::json;

    fn table() -> Value {
        let row = |name: &str, ready: &str, ip: &str| {
            json!({"cells": [name, ready, 3, ip],
                "object": {"metadata": {"namespace": "default", "labels": {"app": name, "x.io/tier": "web"}}}})
        };
        json!({"columnDefinitions": [{"name": "Name"}, {"name": "Ready"}, {"name": "Restarts"}, {"name": "IP", "priority": 1}],
            "rows": [row("frontend-9jlvh", "1/1", "10.0.0.1"), row("b", "0/1", "10.0.0.2\nx")]})
    }

    fn printed(options: Options) -> String {
        TablePrinter::new(options).render(&table())
    }

    #[test]
    fn tables() {
        expect![[r#"
            NAME             READY   RESTARTS
            frontend-9jlvh   1/1     3
            b                0/1     3
        "#]]
        .assert_eq(&printed(Options::default()));
        expect![[r#"
            NAMESPACE   NAME                 READY   RESTARTS   IP
            default     pod/frontend-9jlvh   1/1     3          10.0.0.1
            default     pod/b                0/1     3          10.0.0.2...
        "#]]
        .assert_eq(&printed(Options { wide: true, namespace: true, prefix: "pod".into(), ..Options::default() }));
        expect![[r#"
            frontend-9jlvh   1/1   3     web   app=frontend-9jlvh,x.io/tier=web
            b                0/1   3     web   app=b,x.io/tier=web
        "#]]
        .assert_eq(&printed(Options {
            no_headers: true,
            show_labels: true,
            label_columns: vec!["x.io/tier".into()],
            ..Options::default()
        }));
    }

    #[test]
    fn the_columns_are_named_once() {
        let mut printer = TablePrinter::new(Options::default());
        printer.render(&table());
        let event = json!({"columnDefinitions": null, "rows": [{"cells": ["b", "1/1", 0, "x"], "object": {}}]});
        assert_eq!(printer.render(&event), "b                1/1     0\n");
    }
}
