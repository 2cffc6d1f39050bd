//! Who may say that a certificate is issued: conditions of a request that only its approval changes, and that stay.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::field::{Errors, Path};
use crate::meta;

/// What approval alone may say.
const APPROVAL: [&str; 2] = ["Approved", "Denied"];
const LASTING: [&str; 3] = ["Approved", "Denied", "Failed"];

fn list(request: &Value) -> &[Value] {
    meta::at(request, "status.conditions").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn is(condition: &Value, kinds: &[&str]) -> bool {
    condition.get("type").and_then(Value::as_str).is_some_and(|kind| kinds.contains(&kind))
}

/// The request with the conditions that were sent.
pub fn with_approval(object: &Value, sent: &Value) -> Value {
    let (mut result, now) = (object.clone(), meta::now());
    let dated = list(sent).iter().cloned().map(|mut condition| {
        let was = list(object).iter().find(|was| was.get("type") == condition.get("type"));
        let stays = was.is_some_and(|was| was.get("status") == condition.get("status"));
        let since = was.and_then(|was| was.get("lastTransitionTime")).filter(|_| stays).cloned();
        if let Some(fields) = condition.as_object_mut() {
            fields.entry("lastUpdateTime").or_insert(now.as_str().into());
            fields.entry("lastTransitionTime").or_insert(since.unwrap_or(now.as_str().into()));
        }
        condition
    });
    let dated: Vec<Value> = dated.collect();
    let status = meta::object_mut(&mut result, "status");
    if dated.is_empty() {
        status.remove("conditions");
    } else {
        status.insert("conditions".into(), dated.into());
    }
    result
}

/// Puts back what approval has said.
pub fn keep_approval(object: &mut Value, old: &Value) {
    let kept = list(old).iter().filter(|condition| is(condition, &APPROVAL));
    let others = list(object).iter().filter(|condition| !is(condition, &APPROVAL));
    let all: Vec<Value> = kept.chain(others).cloned().collect();
    let status = meta::object_mut(object, "status");
    match all.is_empty() {
        true => status.remove("conditions"),
        false => status.insert("conditions".into(), all.into()),
    };
}

pub fn validate_approval(object: &Value, old: &Value, errors: &mut Errors) {
    conditions(object, old, true, errors);
    let path = Path::new("status");
    if meta::at(object, "status.certificate") != meta::at(old, "status.certificate") {
        errors.forbidden(&path.child("certificate"), "updates may not set certificate content");
    }
}

pub(super) fn conditions(object: &Value, old: &Value, approving: bool, errors: &mut Errors) {
    let path = Path::new("status");
    let path = path.child("conditions");
    let mut seen = HashSet::new();
    for (at, condition) in list(object).iter().enumerate() {
        let place = path.index(at);
        let (kind, status) = (meta::text_at(condition, "type"), meta::text_at(condition, "status"));
        if kind.is_empty() {
            errors.required(&place.child("type"), "");
        } else if !seen.insert(kind) {
            errors.duplicate(&place.child("type"), kind);
        }
        let place = place.child("status");
        match status {
            "" => errors.required(&place, ""),
            "True" => {}
            other if LASTING.contains(&kind) => errors.not_supported(&place, other, &["True"]),
            "False" | "Unknown" => {}
            other => errors.not_supported(&place, other, &["False", "True", "Unknown"]),
        }
    }
    if APPROVAL.iter().all(|kind| seen.contains(kind)) {
        let shown = json!(list(object));
        errors.invalid(&path, shown, "Approved and Denied conditions are mutually exclusive");
    }
    for kind in LASTING {
        let of = |request: &'_ Value| list(request).iter().find(|condition| is(condition, &[kind])).cloned();
        match (of(old), of(object)) {
            (Some(_), None) => errors.forbidden(&path, format!("updates may not remove a condition of type {kind:?}")),
            (None, Some(_)) if !approving && APPROVAL.contains(&kind) => {
                errors.forbidden(&path, format!("updates may not add a condition of type {kind:?}"));
            }
            (Some(was), Some(now)) if !approving && APPROVAL.contains(&kind) && was != now => {
                errors.forbidden(&path, format!("updates may not modify a condition of type {kind:?}"));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(kinds: &[&str]) -> Value {
        let conditions: Vec<Value> = kinds.iter().map(|kind| json!({"type": kind, "status": "True"})).collect();
        json!({"status": {"conditions": conditions}})
    }

    fn told(rule: fn(&Value, &Value, &mut Errors), new: &Value, old: &Value) -> Vec<String> {
        let mut errors = Errors::default();
        rule(new, old, &mut errors);
        errors.0.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn approval_is_said_once() {
        let approved = with_approval(&json!({"status": {"certificate": "eA=="}}), &request(&["Approved"]));
        assert_eq!(approved["status"]["certificate"], "eA==");
        assert!(approved["status"]["conditions"][0]["lastUpdateTime"].is_string());
        for (new, old, wanted) in [
            (&["Approved"][..], &[][..], ""),
            (&["Approved", "Denied"], &[], "status.conditions: Invalid value: "),
            (&[], &["Denied"], "status.conditions: Forbidden: updates may not remove a condition of type \"Denied\""),
            (&["Approved", "Approved"], &[], "status.conditions[1].type: Duplicate value: \"Approved\""),
        ] {
            let all = told(validate_approval, &request(new), &request(old));
            let first = all.first().map_or("", String::as_str);
            assert!(if wanted.is_empty() { first.is_empty() } else { first.starts_with(wanted) }, "{all:?}");
        }
    }

    #[test]
    fn the_signer_does_not_approve() {
        let mut signed = request(&["Failed", "Denied"]);
        keep_approval(&mut signed, &request(&["Approved"]));
        let kinds: Vec<&str> = list(&signed).iter().filter_map(|c| c["type"].as_str()).collect();
        assert_eq!(kinds, ["Approved", "Failed"]);
        let status = |new: &Value, old: &Value, errors: &mut Errors| conditions(new, old, false, errors);
        let added = "status.conditions: Forbidden: updates may not add a condition of type \"Approved\"";
        assert_eq!(told(status, &request(&["Approved"]), &request(&[])), [added]);
    }
}
