//! Who manages which fields of an object, written down with every write.

use api::catalog::Rules;
use api::managedfields::{self, FieldSet, Writer};
use api::meta;
use serde_json::Value;

use super::{Context, Target};

impl Target {
    /// What a write by these rules can't change, whatever the client sends.
    pub fn ignored(&self, rules: Rules) -> FieldSet {
        match rules {
            Rules::Object if self.resource().subresource("status").is_some() => FieldSet::of_fields(&[&["status"]]),
            _ => FieldSet::default(),
        }
    }
}

/// Called when the object is as its writer wants it, before others have changed it.
pub(super) fn track(context: &Context, target: &Target, rules: Rules, live: Option<&Value>, object: &mut Value) {
    let subresource = context.subresource();
    // Where a pod runs is the scheduler's decision, and no field that somebody manages.
    if context.applied || subresource == "binding" {
        return;
    }
    let resource = target.resource();
    let (api_version, time) = (resource.stored().api_version(), meta::now());
    let writer = Writer { manager: &context.manager, subresource, api_version: &api_version, time: &time };
    managedfields::update(resource.stored().schema, live, object, writer, &target.ignored(rules));
}
