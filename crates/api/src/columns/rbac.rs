//! The rows of roles and bindings.

use serde_json::Value;

use super::{AGE, Column, NAME, text, wide};
use crate::meta;

pub const ROLE_BINDINGS: &[Column] = &[
    NAME,
    text("Role", "The role that is given.", |binding, _| {
        let of = |field: &str| meta::text_at(binding, field);
        format!("{}/{}", of("roleRef.kind"), of("roleRef.name")).into()
    }),
    AGE,
    wide(text("Users", "Users that have it.", |binding, _| subjects(binding, "User"))),
    wide(text("Groups", "Groups that have it.", |binding, _| subjects(binding, "Group"))),
    wide(text("ServiceAccounts", "Service accounts that have it.", |binding, _| subjects(binding, "ServiceAccount"))),
];

fn subjects(binding: &Value, kind: &str) -> Value {
    let all = binding.get("subjects").and_then(Value::as_array).into_iter().flatten();
    let of = |subject: &Value, field: &str| subject.get(field).and_then(Value::as_str).unwrap_or("").to_owned();
    let these = all.filter(|subject| of(subject, "kind") == kind);
    let names = these.map(|subject| match kind {
        "ServiceAccount" => format!("{}/{}", of(subject, "namespace"), of(subject, "name")),
        _ => of(subject, "name"),
    });
    names.collect::<Vec<_>>().join(", ").into()
}
