//! JSON values as YAML in upstream's notation: sorted keys, lists not indented, strings quoted only where YAML would read
//! them as something else. (A general YAML writer quotes and folds otherwise, and people compare these texts.)

use serde_json::Value;

use super::resolve::reads_as_other;

pub fn render(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(object) if !object.is_empty() => write_object(value, 0, &mut out),
        Value::Array(items) if !items.is_empty() => write_array(value, 0, &mut out),
        _ => {
            out.push_str(&scalar(value, 0, 0));
            out.push('\n');
        }
    }
    out
}

fn pad(indent: usize, out: &mut String) {
    out.extend(std::iter::repeat_n(' ', indent));
}

fn write_object(value: &Value, indent: usize, out: &mut String) {
    for (at, (key, value)) in value.as_object().into_iter().flatten().enumerate() {
        // The first key of a list's item stands behind its dash.
        if at > 0 || out.is_empty() || out.ends_with('\n') {
            pad(indent, out);
        }
        out.push_str(&string(key, 0, usize::MAX));
        out.push(':');
        write_value(value, indent, out);
    }
}

fn write_array(value: &Value, indent: usize, out: &mut String) {
    for (at, item) in value.as_array().into_iter().flatten().enumerate() {
        if at > 0 || out.is_empty() || out.ends_with('\n') {
            pad(indent, out);
        }
        out.push('-');
        match item {
            Value::Object(object) if !object.is_empty() => {
                out.push(' ');
                write_object(item, indent + 2, out);
            }
            Value::Array(items) if !items.is_empty() => {
                out.push(' ');
                write_array(item, indent + 2, out);
            }
            _ => write_value(item, indent, out),
        }
    }
}

fn write_value(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Object(object) if !object.is_empty() => {
            out.push('\n');
            write_object(value, indent + 2, out);
        }
        Value::Array(items) if !items.is_empty() => {
            out.push('\n');
            write_array(value, indent, out);
        }
        _ => {
            let column = out.len() - out.rfind('\n').map_or(0, |at| at + 1);
            out.push(' ');
            out.push_str(&scalar(value, indent + 2, column + 1));
            out.push('\n');
        }
    }
}

fn scalar(value: &Value, indent: usize, column: usize) -> String {
    match value {
        Value::String(text) => string(text, indent, column),
        Value::Array(_) => "[]".into(),
        Value::Object(_) => "{}".into(),
        other => other.to_string(),
    }
}

/// `column` is where the text begins: plain and quoted lines are folded once they pass the 80th.
fn string(text: &str, indent: usize, column: usize) -> String {
    let printable = text.chars().all(|c| c == '\n' || (!c.is_control() && c != '\u{feff}' && c != '\u{85}'));
    if !printable || text.starts_with([' ', '\n']) && text.contains('\n') || text.contains(" \n") {
        return double_quoted(text);
    }
    if text.contains('\n') {
        return literal(text, indent);
    }
    if reads_as_other(text) {
        return double_quoted(text);
    }
    if needs_quotes(text) {
        return fold(&format!("'{}'", text.replace('\'', "''")), indent, column);
    }
    fold(text, indent, column)
}

/// Lines break at single spaces behind the 80th column.
fn fold(text: &str, indent: usize, column: usize) -> String {
    if column == usize::MAX {
        return text.to_owned();
    }
    let letters: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = column;
    for (i, &c) in letters.iter().enumerate() {
        let inside = i > 0 && i + 1 < letters.len();
        let alone = inside && letters[i - 1] != ' ' && letters[i + 1] != ' ';
        if c == ' ' && alone && at > 80 {
            out.push('\n');
            pad(indent, &mut out);
            at = indent;
        } else {
            out.push(c);
            at += 1;
        }
    }
    out
}

fn literal(text: &str, indent: usize) -> String {
    let keep = match (text.ends_with('\n'), text.ends_with("\n\n")) {
        (_, true) => "+",
        (true, _) => "",
        _ => "-",
    };
    let mut out = format!("|{keep}");
    for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
        out.push('\n');
        if !line.is_empty() {
            pad(indent.max(2), &mut out);
            out.push_str(line);
        }
    }
    out
}

fn double_quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\u{1b}' => out.push_str("\\e"),
            '\0' => out.push_str("\\0"),
            c if u32::from(c) < 0x100 && c.is_control() => out.push_str(&format!("\\x{:02X}", u32::from(c))),
            '\u{feff}' => out.push_str("\\uFEFF"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn needs_quotes(text: &str) -> bool {
    let first = text.chars().next().unwrap_or(' ');
    let second = text.chars().nth(1);
    text.starts_with(' ')
        || text.ends_with(' ')
        || "#,[]{}&*!|>'\"%@`".contains(first)
        || ("-?:".contains(first) && second.is_none_or(|c| c == ' '))
        || text.starts_with("---")
        || text.starts_with("...")
        || text.contains(": ")
        || text.ends_with(':')
        || text.contains(" #")
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use serde_json::json;

    fn read(text: &str) -> Value {
        crate::yaml::read(text.as_bytes(), &mut Vec::new()).unwrap_or_else(|e| panic!("{e}\n{text}"))
    }

    #[test]
    fn an_object() {
        let object = json!({"metadata": {"name": "a", "labels": {}, "creationTimestamp": "2026-11-20T17:10:44Z"},
            "spec": {"args": ["-c", "a: b", ["x"], []], "ports": [{"port": 80, "name": "80"}, {"port": 1.5}], "on": true},
            "data": {"empty": "", "lines": "a\nb\n", "open": "a\nb", "tab": "a\tb", "star": "*", "null": null, "yes": "yes"}});
        expect![[r#"
            data:
              empty: ""
              lines: |
                a
                b
              "null": null
              open: |-
                a
                b
              star: '*'
              tab: "a\tb"
              "yes": "yes"
            metadata:
              creationTimestamp: "2026-11-20T17:10:44Z"
              labels: {}
              name: a
            spec:
              args:
              - -c
              - 'a: b'
              - - x
              - []
              "on": true
              ports:
              - name: "80"
                port: 80
              - port: 1.5
        "#]]
        .assert_eq(&render(&object));
    }

    #[test]
    fn what_is_written_is_read_back() {
        for text in [
            "",
            " ",
            "a",
            "a b",
            "1",
            "0x1F",
            "0400",
            "08",
            "2001-1-2",
            "y",
            "+.Inf",
            ".5",
            "1e3",
            "1_000",
            "~",
            "null",
            "Yes",
            "off",
            "-",
            "- a",
            "a:",
            "a: b",
            "a #b",
            "#a",
            "a'b",
            "'a'",
            "\"",
            "a\"b",
            "[a]",
            "{a",
            "%",
            "@",
            "`",
            "!x",
            "&x",
            "|",
            ">",
            "a\n",
            "a\n\n",
            "\na",
            " a\nb",
            "a \nb",
            "a\r\nb",
            "2026-11-20",
            "2026-11-20T17:10:44Z",
            "1:30",
            "10.0.0.1",
            "1.2.3",
            "ü",
            "\u{feff}",
            "\u{7}",
            "---",
            "...",
            "---a",
            "=",
            "<<",
            "?",
            "? a",
        ] {
            let value = json!({"key": text, "list": [text]});
            let back = read(&render(&value));
            assert_eq!(back, value, "{text:?}:\n{}", render(&value));
        }
        let long = "word ".repeat(60).trim().to_owned() + ": x  y";
        let value = json!({"a": {"b": [long, "plain ".repeat(40).trim()]}});
        let text = render(&value);
        assert!(text.lines().all(|line| line.len() < 90), "{text}");
        assert_eq!(read(&text), value);
    }
}
