//! What is read, what is refused, and that reading is bounded.

use std::time::{Duration, Instant};

use serde_json::json;

use super::*;

fn one(text: &str) -> Result<Value, String> {
    read(text.as_bytes(), &mut Vec::new()).map_err(|e| e.to_string())
}

#[test]
fn documents() {
    for (text, value) in [
        ("a: yes\nb: 0400\nc: '0400'\nd: ~\n", json!({"a": true, "b": 256, "c": "0400", "d": null})),
        ("# only a comment\n", json!(null)),
        ("", json!(null)),
        ("---\n# x\n---\na: 1\n---\n", json!({"a": 1})),
        ("a: 1\r\nb: |\r\n  x\r\n  y\r\n", json!({"a": 1, "b": "x\ny\n"})),
        ("\u{feff}a: 1", json!({"a": 1})),
        ("{\"a\": [1, 2,], \"b\": {\"c\": 3,},}", json!({"a": [1, 2], "b": {"c": 3}})),
        ("{\n\t\"a\": {\n\t\t\"b\": 1\n\t}\n}\n", json!({"a": {"b": 1}})),
        ("{\"a\":\"b\"}", json!({"a": "b"})),
        ("80: x\ntrue: z\n1.5: z\n", json!({"80": "x", "true": "z", "1.5": "z"})),
        ("a: &x {b: 1}\nc: *x\n", json!({"a": {"b": 1}, "c": {"b": 1}})),
        ("a: &x {b: 1, c: 2}\nd: {c: 3, <<: *x}\n", json!({"a": {"b": 1, "c": 2}, "d": {"b": 1, "c": 3}})),
        (
            "x: [&p {a: 1}, &q {a: 2, b: 2}]\nz: {<<: [*p, *q]}\n",
            json!({"x": [{"a": 1}, {"a": 2, "b": 2}], "z": {"a": 1, "b": 2}}),
        ),
        ("a: \"<<\"\n'<<': 1\n", json!({"a": "<<", "<<": 1})),
        (
            "a: !!str 12\nb: !!int \"3\"\nc: !!binary aGVsbG8=\nd: !own 7\ne: ! 7\n",
            json!({"a": "12", "b": 3, "c": "hello", "d": "7", "e": "7"}),
        ),
        ("a: 2026-11-20T17:10:44Z\nb: 1:30\n", json!({"a": "2026-11-20T17:10:44Z", "b": "1:30"})),
        ("a:\n- b\n-   - c\n", json!({"a": ["b", ["c"]]})),
        ("a: >-\n  x\n  y\n", json!({"a": "x y"})),
        ("a: \"x\\ty\\u00e9\"\n", json!({"a": "x\tyé"})),
        (
            "command: [\"sh\", \"-c\", \"echo: 1\"]\nurl: http://a:80/b\n",
            json!({"command": ["sh", "-c", "echo: 1"], "url": "http://a:80/b"}),
        ),
        ("%YAML 1.1\n---\na: 1\n...\n", json!({"a": 1})),
    ] {
        assert_eq!(one(text), Ok(value), "{text:?}");
    }
    let wide: Vec<u8> = "\u{feff}a: ü".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(read(&wide, &mut Vec::new()), Ok(json!({"a": "ü"})));
    let wide: Vec<u8> = "\u{feff}a: ü".encode_utf16().flat_map(u16::to_be_bytes).collect();
    assert_eq!(read(&wide, &mut Vec::new()), Ok(json!({"a": "ü"})));
}

#[test]
fn refusals_say_where() {
    for (text, why) in [
        ("a: b: c\n", "line 1: mapping values are not allowed in this context"),
        ("a: 1\nb: .inf\n", "line 2: JSON has no number .inf"),
        ("a: 1\n--- \nb: 1\n", "line 2: a second document begins"),
        ("a: *x\n", "line 1: "),
        ("a: &x [*x]\n", "contains itself"),
        ("? [a]\n: b\n", "a key must be a text"),
        ("~: 1\n", "a key must be a text, not null"),
        ("a: !!int b\n", "line 1: cannot decode `b` as a !!int"),
        ("a: {<<: 1}\n", "map merge requires map"),
        ("a: 'x\n", "line "),
        ("a: }\n", "line 1"),
        ("a:\n\tb: 1\n", "line 2"),
    ] {
        let told = one(text).unwrap_err();
        assert!(told.contains(why), "{text:?}: {told}");
    }
    assert!(matches!(read(b"a: \xff", &mut Vec::new()), Err(DecodeError::Malformed(_))));
    assert!(matches!(read(b"\xff\xfea", &mut Vec::new()), Err(DecodeError::Malformed(_))));
}

#[test]
fn repeated_fields_are_told_by_path_and_line() {
    let documents = read_documents(b"a:\n- b: 1\n  b: 2\nc: 1\n\"c\": 2\n").unwrap();
    assert_eq!(documents[0].value, json!({"a": [{"b": 2}], "c": 2}));
    assert_eq!(documents[0].duplicates, ["a[0].b", "c"]);
    assert_eq!(documents[0].repeated, ["line 3: key \"b\" already set in map", "line 5: key \"c\" already set in map"]);
}

/// Each of these made a reader without a budget slow or large.
#[test]
fn hostile_texts_are_refused_quickly() {
    let list = format!("a: &a [{}]\n", vec!["0"; 4000].join(","));
    let aliases = format!("{list}b: [{}]\n", vec!["*a"; 4000].join(","));
    let laughs: String = (1..30).fold("a0: &a0 x\n".to_owned(), |text, i| {
        let before = i - 1;
        format!("{text}a{i}: &a{i} [*a{before}, *a{before}, *a{before}, *a{before}]\n")
    });
    let nested_anchors: String = (0..90).map(|i| format!("&a{i} [")).collect::<String>() + &"]".repeat(90);
    let merges = format!(
        "a: &a {{{}}}\nb: [{}]\n",
        (0..2000).map(|i| format!("k{i}: 1")).collect::<Vec<_>>().join(","),
        vec!["{<<: *a}"; 2000].join(",")
    );
    let duplicates = format!("{{{}}}", vec!["a: 1"; 100_000].join(", "));
    for (name, text) in [
        ("aliases", aliases),
        ("laughs", laughs),
        ("nested anchors", nested_anchors),
        ("merges", merges),
        ("flow", "[".repeat(1_000_000)),
        ("flow maps", "{a: ".repeat(200_000)),
        ("block", "- ".repeat(1_000_000)),
        ("explicit keys", "? ".repeat(1_000_000)),
        ("tags", "!a ".repeat(300_000)),
        ("anchors", "&a ".repeat(300_000)),
        ("many anchors", (0..60_000).map(|i| format!("- &a{i} x\n")).collect()),
        ("quotes", "\"".repeat(1_000_001)),
        ("colons", ": ".repeat(500_000)),
        ("documents", "---\n".repeat(300_000)),
        ("comments", "#\n".repeat(1_000_000)),
        ("commas", ",".repeat(1_000_000)),
        ("long scalar", "a".repeat(3_000_000)),
        ("wide", format!("[{}]", "1,".repeat(1_000_000))),
        ("duplicates", duplicates),
        ("percent", "%a\n".repeat(500_000)),
        ("deep block", (0..2000).map(|i| format!("{}a:\n", " ".repeat(i))).collect()),
    ] {
        let start = Instant::now();
        let result = read(text.as_bytes(), &mut Vec::new());
        let took = start.elapsed();
        assert!(took < Duration::from_secs(10), "{name}: {took:?}");
        if ["aliases", "laughs", "merges", "wide", "block"].contains(&name) {
            assert!(result.is_err(), "{name}");
        }
    }
}

#[test]
fn four_thousand_aliases_of_four_thousand_items_are_too_large() {
    let text = format!("a: &a [{}]\nb: [{}]\n", vec!["0"; 4000].join(","), vec!["*a"; 4000].join(","));
    assert!(text.len() < 25_000);
    assert!(matches!(read(text.as_bytes(), &mut Vec::new()), Err(DecodeError::TooLarge(_))));
}
