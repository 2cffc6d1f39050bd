//! Answers, and where two of them differ.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

/// What is compared of an answer, after [`crate::normal`] took out what differs between any two servers.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Those that say something about the answer, by name.
    pub headers: Vec<(String, String)>,
    /// Lines of a watch are a list; what is not JSON is a text.
    pub body: Value,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Difference {
    pub at: String,
    pub ours: String,
    pub theirs: String,
}

impl fmt::Display for Answer {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{} {:?} {}", self.status, self.headers, self.body)
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "    {}\n        ours   {}\n        theirs {}", self.at, self.ours, self.theirs)
    }
}

pub fn differences(ours: &Answer, theirs: &Answer) -> Vec<Difference> {
    let mut found = Vec::new();
    if ours.status != theirs.status {
        found.push(Difference {
            at: "status".into(),
            ours: ours.status.to_string(),
            theirs: theirs.status.to_string(),
        });
    }
    let names: BTreeSet<&String> = ours.headers.iter().chain(&theirs.headers).map(|(name, _)| name).collect();
    for name in names {
        let of = |answer: &Answer| {
            let values = answer.headers.iter().filter(|(has, _)| has == name).map(|(_, value)| value.as_str());
            values.collect::<Vec<_>>().join(" | ")
        };
        let (ours, theirs) = (of(ours), of(theirs));
        if ours != theirs {
            found.push(Difference { at: format!("header {name}"), ours, theirs });
        }
    }
    compare("body", Some(&ours.body), Some(&theirs.body), &mut found);
    found
}

fn compare(at: &str, ours: Option<&Value>, theirs: Option<&Value>, found: &mut Vec<Difference>) {
    match (ours, theirs) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            names.into_iter().for_each(|name| compare(&format!("{at}.{name}"), a.get(name), b.get(name), found));
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) => lists(at, a, b, found),
        (a, b) if a == b => {}
        (a, b) => {
            let shown = |value: Option<&Value>| value.map_or_else(|| "(nothing)".to_owned(), Value::to_string);
            found.push(Difference { at: at.to_owned(), ours: shown(a), theirs: shown(b) });
        }
    }
}

/// Elements with names are compared by those, so that one that is missing is one difference.
fn lists(at: &str, ours: &[Value], theirs: &[Value], found: &mut Vec<Difference>) {
    if let (Some(a), Some(b)) = (names(ours), names(theirs)) {
        let all: BTreeSet<&String> = a.iter().chain(&b).collect();
        for name in all {
            let of = |names: &[String], list: &'_ [Value]| -> Option<Value> {
                names.iter().position(|has| has == name).and_then(|at| list.get(at).cloned())
            };
            compare(&format!("{at}[{name}]"), of(&a, ours).as_ref(), of(&b, theirs).as_ref(), found);
        }
        let order = |names: &[String], other: &[String]| {
            names.iter().filter(|name| other.contains(name)).cloned().collect::<Vec<_>>().join(" ")
        };
        let (ours, theirs) = (order(&a, &b), order(&b, &a));
        if ours != theirs {
            found.push(Difference { at: format!("{at}.(order)"), ours, theirs });
        }
        return;
    }
    for index in 0..ours.len().max(theirs.len()) {
        compare(&format!("{at}[{index}]"), ours.get(index), theirs.get(index), found);
    }
}

/// What tells the elements apart, if something does.
fn names(list: &[Value]) -> Option<Vec<String>> {
    let name = |value: &Value| {
        let text = |field: &str| value.get(field).and_then(Value::as_str);
        // The causes of a refusal, whose fields may come more than once.
        if let (Some(field), Some(reason)) = (text("field"), text("reason")) {
            return Some(format!("{field} {reason}"));
        }
        text("name").or_else(|| value["metadata"]["name"].as_str()).map(str::to_owned)
    };
    let names: Vec<String> = list.iter().map(name).collect::<Option<_>>()?;
    let distinct: BTreeSet<&String> = names.iter().collect();
    (distinct.len() == names.len()).then_some(names)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn differences_are_told_where_they_are() {
        let answer = |status, body| Answer { status, headers: vec![("warning".into(), "w".into())], body };
        let a = answer(200, json!({"x": {"y": 1}, "l": [{"name": "a", "v": 1}, {"name": "b"}], "n": [1, 2]}));
        let b = answer(201, json!({"x": {"y": 2}, "l": [{"name": "b"}, {"name": "a", "v": 2}], "n": [1]}));
        let at: Vec<String> = differences(&a, &b).into_iter().map(|found| found.at).collect();
        assert_eq!(at, ["status", "body.l[a].v", "body.l.(order)", "body.n[1]", "body.x.y"]);
        assert_eq!(differences(&a, &a), []);
    }
}
