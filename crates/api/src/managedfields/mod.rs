//! Server-side apply and managed fields: who set which field of an object, and what an applied configuration makes of it.
//!
//! All is pure, and works on documents in the form in which they are stored, so an entry's `apiVersion` is always the stored one.
//! The rules are those of upstream's [structured-merge-diff](https://github.com/kubernetes-sigs/structured-merge-diff). `set` holds the
//! sets of fields, `typed` what a schema makes of documents, `managers` the entries of an object, `apply` the operation of that name.

mod apply;
mod managers;
mod set;
mod typed;

use serde_json::Value;

use crate::meta::metadata_mut;
use crate::schema::{TypeId, builtin};

pub use apply::{ApplyError, Conflict, apply};
pub use managers::Operation;
use managers::{Entry, Managers};
pub use set::FieldSet;
use typed::Typed;

/// Who writes, how and when.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    pub manager: &'a str,
    /// Empty for the object itself.
    pub subresource: &'a str,
    pub api_version: &'a str,
    pub time: &'a str,
}

/// Names, versions and the like: the server's, so nobody manages them.
const UNMANAGED: &[&[&str]] = &[
    &["apiVersion"],
    &["kind"],
    &["metadata", "name"],
    &["metadata", "namespace"],
    &["metadata", "creationTimestamp"],
    &["metadata", "selfLink"],
    &["metadata", "uid"],
    &["metadata", "clusterName"],
    &["metadata", "generation"],
    &["metadata", "managedFields"],
    &["metadata", "resourceVersion"],
];

fn unmanaged() -> &'static FieldSet {
    static SET: std::sync::LazyLock<FieldSet> = std::sync::LazyLock::new(|| {
        let mut set = FieldSet::of_fields(UNMANAGED);
        set.unite(&FieldSet::of_fields(&[&["metadata"]]));
        set
    });
    &SET
}

/// Writes into `new` who manages which of its fields, after everything but an apply. `live`: the object as it was, if it was;
/// `ignored`: what such a write can't change.
pub fn update(schema: TypeId, live: Option<&Value>, new: &mut Value, writer: Writer<'_>, ignored: &FieldSet) {
    let wanted = match writer.subresource {
        "" => Managers::wanted(new),
        _ => None,
    };
    let mut managers = match wanted {
        Some(wanted) if !wanted.is_empty() => wanted,
        wanted => {
            let before = live.map(Managers::of).unwrap_or_default();
            // What nobody has tracked from its beginning is tracked from its first apply on.
            if live.is_some() && before.is_empty() {
                metadata_mut(new).remove("managedFields");
                return;
            }
            wanted.unwrap_or(before)
        }
    };
    let typed = Typed::new(builtin(), schema);
    let compared = typed.compare(live, new);
    let (changed, removed) = (compared.changed.without(ignored), compared.removed.without(ignored));
    managers.give_up(&removed, None);
    managers.give_up(&changed, None);
    let changed = changed.difference(unmanaged());
    if !changed.is_empty() {
        managers.take(Entry::new(Operation::Update, writer, changed));
        managers.cap();
    }
    managers.write(new);
}

#[cfg(test)]
mod tests;
