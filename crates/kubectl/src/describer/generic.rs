//! Any object, field by field, where its kind has no description of its own.

use serde_json::Value;

use super::text::{Text, plain, text};

/// Told above the fields, or of no use to a person.
const HIDDEN: [&str; 5] = ["managedFields", "name", "namespace", "labels", "annotations"];

pub fn describe(out: &mut Text, object: &Value) {
    out.field("Name", text(object, "/metadata/name"));
    out.field("Namespace", text(object, "/metadata/namespace"));
    out.labels(object);
    out.annotations(object);
    for (name, value) in sorted(object) {
        match name.as_str() {
            "metadata" => {
                out.line("Metadata:");
                out.inside(|out| {
                    for (name, value) in sorted(value).into_iter().filter(|(name, _)| !HIDDEN.contains(&name.as_str()))
                    {
                        tell(out, name, value);
                    }
                });
            }
            _ => tell(out, name, value),
        }
    }
}

/// By the words that are shown.
fn sorted(value: &Value) -> Vec<(&String, &Value)> {
    let mut fields: Vec<_> = value.as_object().into_iter().flatten().collect();
    fields.sort_by_key(|(name, _)| words(name));
    fields
}

fn tell(out: &mut Text, name: &str, value: &Value) {
    let name = words(name);
    match value {
        Value::Object(_) => {
            out.line(format_args!("{name}:"));
            out.inside(|out| sorted(value).into_iter().for_each(|(name, value)| tell(out, name, value)));
        }
        Value::Array(items) => {
            out.line(format_args!("{name}:"));
            out.inside(|out| {
                for item in items {
                    match item {
                        Value::Object(_) => sorted(item).into_iter().for_each(|(name, value)| tell(out, name, value)),
                        _ => out.line(plain(item)),
                    }
                }
            });
        }
        Value::Null => out.field(&name, "<nil>"),
        _ => out.field(&name, plain(value)),
    }
}

/// `apiVersion` is told as `API Version`, `leaseDurationSeconds` as `Lease Duration Seconds`.
fn words(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut parts: Vec<String> = Vec::new();
    for (at, &letter) in letters.iter().enumerate() {
        let before = at.checked_sub(1).map(|at| letters[at]);
        let after = letters.get(at + 1);
        let begins = letter.is_uppercase()
            && (before.is_none_or(|b| !b.is_uppercase()) || after.is_some_and(|a| a.is_lowercase()));
        match parts.last_mut() {
            Some(part) if !begins => part.push(letter),
            _ => parts.push(letter.to_string()),
        }
    }
    const SHORT: [&str; 6] = ["Api", "Uid", "Url", "Ip", "Id", "Tls"];
    let shown = parts.into_iter().map(|part| {
        let mut letters = part.chars();
        let word: String = letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
        if SHORT.contains(&word.as_str()) { word.to_uppercase() } else { word }
    });
    shown.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::printer::columns::Columns;
    use expect_test::expect;
    use serde_json::json;

    #[test]
    fn a_lease() {
        let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": "vm", "namespace": "kube-node-lease", "uid": "1", "labels": {"a": "b"}},
            "spec": {"holderIdentity": "vm", "leaseDurationSeconds": 40, "list": [{"x": 1}, "y"]}});
        let mut out = Text::default();
        describe(&mut out, &lease);
        expect![[r#"
            Name:         vm
            Namespace:    kube-node-lease
            Labels:       a=b
            Annotations:  <none>
            API Version:  coordination.k8s.io/v1
            Kind:         Lease
            Metadata:
              UID:  1
            Spec:
              Holder Identity:         vm
              Lease Duration Seconds:  40
              List:
                X:  1
                y
        "#]]
        .assert_eq(&Columns::of_description().align(&out.into_string()));
    }
}
