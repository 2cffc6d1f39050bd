//! Applying a configuration: the object gets what it sets and loses what it no longer sets, unless that is somebody else's.

use serde_json::Value;

use super::managers::{Entry, Managers, Operation};
use super::set::{FieldSet, shown};
use super::typed::{ItemError, Typed};
use super::{Writer, unmanaged, update};
use crate::meta;
use crate::schema::{TypeId, builtin};

/// Manages all fields of an object that was made before its fields were tracked.
const BEFORE: &str = "before-first-apply";
/// kubectl's client-side apply keeps here what it applied last.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// The manager that may take over what its client-side apply has set.
const KUBECTL: &str = "kubectl";

/// A field that somebody else has set otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct Conflict {
    /// The other manager, as messages show it.
    pub manager: String,
    pub field: String,
}

#[derive(Debug, PartialEq, thiserror::Error)]
pub enum ApplyError {
    #[error(transparent)]
    Item(#[from] ItemError),
    #[error("{}", conflicts(.0))]
    Conflicts(Vec<Conflict>),
}

fn conflicts(list: &[Conflict]) -> String {
    if let [Conflict { manager, field }] = list {
        return format!("Apply failed with 1 conflict: conflict with {manager}: {field}");
    }
    let mut managers: Vec<&str> = list.iter().map(|conflict| conflict.manager.as_str()).collect();
    managers.sort();
    managers.dedup();
    let mut lines = Vec::new();
    for manager in managers {
        lines.push(format!("conflicts with {manager}:"));
        lines.extend(list.iter().filter(|one| one.manager == manager).map(|one| format!("- {}", one.field)));
    }
    format!("Apply failed with {} conflicts: {}", list.len(), lines.join("\n"))
}

/// `live` with the configuration applied, and who manages what in its metadata. What comes out has not been defaulted.
/// `live` is an empty object where there is none yet.
pub fn apply(
    schema: TypeId,
    live: &Value,
    config: &Value,
    writer: Writer<'_>,
    force: bool,
    ignored: &FieldSet,
) -> Result<Value, ApplyError> {
    let typed = Typed::new(builtin(), schema);
    let own = Entry::new(Operation::Apply, writer, typed.fields_of(config)?.without(ignored).difference(unmanaged()));
    let mut managers = managers_of(schema, live, writer);
    let before = managers.find(&own).cloned();
    let mut applied = typed.merge(live, config);
    managers.set(own.clone());
    if let Some(before) = &before {
        let mut wanted = unmanaged().clone();
        managers.entries().iter().for_each(|entry| wanted.unite(&entry.fields));
        let gone = typed.with_parents(&before.fields).difference(&typed.with_parents(&wanted));
        typed.remove(&mut applied, &gone);
    }
    let compared = typed.compare(Some(live), &applied);
    let (changed, removed) = (compared.changed.without(ignored), compared.removed.without(ignored));
    if !changed.is_empty() {
        let found = find_conflicts(&managers, &own, &changed);
        if !found.is_empty() && !force && !own_of_kubectl(typed, live, writer, &found) {
            return Err(ApplyError::Conflicts(found.into_iter().map(|(conflict, _)| conflict).collect()));
        }
        managers.give_up(&changed, Some(&own));
    }
    managers.give_up(&removed, Some(&own));
    // Who applies the same again has done nothing, at whatever time.
    let nothing_new = changed.is_empty() && removed.is_empty();
    if let Some(before) =
        before.filter(|before| nothing_new && before.fields == own.fields && before.api_version == own.api_version)
    {
        managers.set(before);
    }
    keep_last_applied(&mut applied, live, config, writer);
    managers.write(&mut applied);
    Ok(applied)
}

/// Who manages the object; of one that was never tracked, somebody who has made it.
fn managers_of(schema: TypeId, live: &Value, writer: Writer<'_>) -> Managers {
    let managers = Managers::of(live);
    if !managers.is_empty() || meta::text(live, "creationTimestamp").is_empty() {
        return managers;
    }
    let mut tracked = live.clone();
    let writer = Writer { manager: BEFORE, subresource: "", ..writer };
    update(schema, None, &mut tracked, writer, &FieldSet::default());
    Managers::of(&tracked)
}

/// The fields that change and are somebody else's, each with the set that it is alone.
fn find_conflicts(managers: &Managers, own: &Entry, changed: &FieldSet) -> Vec<(Conflict, FieldSet)> {
    let mut found = Vec::new();
    for entry in managers.entries().iter().filter(|entry| !entry.is_same_as(own)) {
        let contested = entry.fields.intersection(changed);
        for path in contested.members() {
            let conflict = Conflict { manager: named(entry), field: shown(&path) };
            found.push((conflict, FieldSet::of_path(&path)));
        }
    }
    found
}

/// A manager as messages show it.
fn named(entry: &Entry) -> String {
    let mut text = format!("{:?}", entry.manager);
    if !entry.subresource.is_empty() {
        text.push_str(&format!(" with subresource {:?}", entry.subresource));
    }
    if entry.operation == Operation::Update {
        text.push_str(&format!(" using {}", entry.api_version));
    }
    text
}

/// kubectl begins to apply on the server what it has applied as a client: that is no conflict.
fn own_of_kubectl(typed: Typed, live: &Value, writer: Writer<'_>, found: &[(Conflict, FieldSet)]) -> bool {
    if writer.manager != KUBECTL {
        return false;
    }
    let last = live.pointer("/metadata/annotations").and_then(|annotations| annotations.get(LAST_APPLIED));
    let last: Option<Value> = last.and_then(Value::as_str).and_then(|text| serde_json::from_str(text).ok());
    let Some(fields) = last.and_then(|last| typed.fields_of(&last).ok()) else { return false };
    found.iter().all(|(_, field)| field.clone().difference(&fields).is_empty())
}

/// Who still applies as a client sees what was applied here.
fn keep_last_applied(applied: &mut Value, live: &Value, config: &Value, writer: Writer<'_>) {
    let is_kept =
        live.pointer("/metadata/annotations").is_some_and(|annotations| annotations.get(LAST_APPLIED).is_some());
    if writer.manager != KUBECTL || !is_kept {
        return;
    }
    let annotations = meta::fields_mut(meta::metadata_mut(applied).entry("annotations").or_insert(Value::Null));
    annotations.insert(LAST_APPLIED.into(), format!("{config}\n").into());
}
