//! `apply`: what a file says now, what it said last time and what the server has become one patch.

use api::schema;
use clap::Args;
use serde_json::{Value, json};

use super::report::{DryRun, Output, Reporter, Validation};
use crate::error::{Error, Result, fail};
use crate::rest::{MERGE, Query, STRATEGIC};
use crate::select::Files;
use crate::session::{Item, Session};

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// How often a change that another one overtook is made anew.
const ATTEMPTS: usize = 5;

#[derive(Args, Debug)]
pub struct Apply {
    #[command(flatten)]
    files: Files,
    /// Only the objects of the files whose labels match
    #[arg(short = 'l', long, default_value = "", hide_default_value = true)]
    selector: String,
    #[command(flatten)]
    validation: Validation,
    #[command(flatten)]
    output: Output,
}

impl Apply {
    pub async fn run(self, session: &Session) -> Result<()> {
        if self.files.filename.is_empty() {
            return fail("must specify one of -f and -k");
        }
        let selector: api::selector::Selector =
            self.selector.parse().map_err(|e: api::selector::SelectorError| Error::Message(e.to_string()))?;
        let mut reporter = self.output.reporter()?;
        let (items, mut errors) = session.items_of(self.files.read()?).await;
        if items.is_empty() && errors.is_empty() {
            return fail("no objects passed to apply");
        }
        for item in items.into_iter().filter(|item| selector.matches(&labels(&item.object))) {
            if let Err(error) = self.one(session, &item, &mut reporter).await {
                errors.push(error);
            }
        }
        Error::gather(errors)
    }

    async fn one(&self, session: &Session, item: &Item, reporter: &mut Reporter) -> Result<()> {
        if item.name.is_empty() {
            let why = if item.object["metadata"]["generateName"].is_string() {
                format!(
                    "from {}: cannot use generate name with apply",
                    item.object["metadata"]["generateName"].as_str().unwrap_or("")
                )
            } else {
                "resource name may not be empty".to_owned()
            };
            return fail(format!("error when retrieving current configuration of:\n{}: {why}", about(item)));
        }
        let modified = with_last_applied(item.object.clone());
        for attempt in 1.. {
            let current = match session.client.get(&item.path()).await {
                Ok(current) => current,
                Err(error) if error.is_not_found() => {
                    let created = if reporter.dry_run == DryRun::Client {
                        modified
                    } else {
                        let path = self.query()?.on(&item.resource.collection(&item.namespace));
                        session.client.post(&path, &modified).await.map_err(|e| e.when("creating", &item.source))?
                    };
                    return reporter.report(&item.resource, &item.name, &created, "created");
                }
                Err(Error::Refused(mut refusal)) => {
                    let (about, source) = (about(item), &item.source);
                    refusal.message = format!(
                        "error when retrieving current configuration of:\n{about}\nfrom server for: {source:?}: {}",
                        refusal.message
                    );
                    return Err(Error::Refused(refusal));
                }
                Err(other) => return Err(other),
            };
            let last = current["metadata"]["annotations"][LAST_APPLIED].as_str();
            if last.is_none() && attempt == 1 {
                eprintln!(
                    "Warning: resource {}/{} is missing the {LAST_APPLIED} annotation which is required by kubectl apply. kubectl \
                     apply should only be used on resources created declaratively by either kubectl create --save-config or kubectl \
                     apply. The missing annotation will be patched automatically.",
                    item.resource.qualified(),
                    item.name
                );
            }
            let original = match last {
                Some(text) => serde_json::from_str(text).map_err(|e| {
                    Error::Message(format!("{}: the annotation {LAST_APPLIED} is not JSON: {e}", item.label()))
                })?,
                None => json!({}),
            };
            let (kind, patch) = patch(item, &original, &modified, &current)?;
            if patch.as_object().is_some_and(|patch| patch.is_empty()) {
                return reporter.report(&item.resource, &item.name, &current, "unchanged");
            }
            if reporter.dry_run == DryRun::Client {
                return reporter.report(&item.resource, &item.name, &modified, "configured");
            }
            match session.client.patch(&self.query()?.on(&item.path()), kind, &patch).await {
                Ok(object) => return reporter.report(&item.resource, &item.name, &object, "configured"),
                // The object changed in between: the patch is made anew of what it is now.
                Err(error) if error.is_conflict() && attempt < ATTEMPTS => continue,
                Err(error) => {
                    let error = error.when("patching", &item.source);
                    return Err(match error {
                        Error::Refused(mut refusal) if refusal.reason != "Invalid" => {
                            refusal.message = format!(
                                "error when applying patch:\n{patch}\nto:\n{}\nfor: {:?}: {}",
                                about(item),
                                item.source,
                                refusal.message
                            );
                            Error::Refused(refusal)
                        }
                        other => other,
                    });
                }
            }
        }
        unreachable!("the last attempt returns")
    }

    fn query(&self) -> Result<Query> {
        self.validation.on(self.output.on(Query::new().with("fieldManager", "kubectl-client-side-apply")))
    }
}

/// Kinds that our schema does not know have no merge keys: for them it is a JSON merge patch.
fn patch(item: &Item, original: &Value, modified: &Value, current: &Value) -> Result<(&'static str, Value)> {
    let schemas = schema::builtin();
    let resource = &item.resource;
    let id = schemas.of_kind(&resource.group, &resource.version, &resource.kind);
    let patch = schemas.three_way(id, original, modified, current).map_err(|e| {
        Error::Message(format!("error when creating the patch for {:?}: {}: {e}", item.source, item.label()))
    })?;
    Ok((if id.is_some() { STRATEGIC } else { MERGE }, patch))
}

fn about(item: &Item) -> String {
    let resource = &item.resource;
    let group_version =
        if resource.group.is_empty() { format!("/{}", resource.version) } else { resource.api_version() };
    format!(
        "Resource: \"{group_version}, Resource={}\", GroupVersionKind: \"{group_version}, Kind={}\"\nName: {:?}, Namespace: {:?}",
        resource.plural, resource.kind, item.name, item.namespace
    )
}

fn labels(object: &Value) -> api::selector::Labels {
    let labels = object["metadata"]["labels"].as_object().into_iter().flatten();
    labels.map(|(key, value)| (key.clone(), value.as_str().unwrap_or("").to_owned())).collect()
}

/// The object with an annotation that holds the object without it.
pub fn with_last_applied(mut object: Value) -> Value {
    if !object["metadata"]["annotations"].is_object() {
        object["metadata"]["annotations"] = json!({});
    }
    let annotations = object["metadata"]["annotations"].as_object_mut().expect("made above");
    annotations.remove(LAST_APPLIED);
    // Go writes these three so that JSON may stand in HTML; other clients compare the text.
    let text = object.to_string().replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e");
    object["metadata"]["annotations"][LAST_APPLIED] = format!("{text}\n").into();
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_annotation_holds_the_object() {
        let saved = with_last_applied(
            json!({"kind": "A", "metadata": {"name": "a", "annotations": {LAST_APPLIED: "old", "x": "<"}}}),
        );
        assert_eq!(
            saved["metadata"]["annotations"][LAST_APPLIED],
            "{\"kind\":\"A\",\"metadata\":{\"annotations\":{\"x\":\"\\u003c\"},\"name\":\"a\"}}\n"
        );
        assert_eq!(saved["metadata"]["annotations"]["x"], "<");
    }
}
