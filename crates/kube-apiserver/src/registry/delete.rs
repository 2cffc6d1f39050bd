//! Deleting objects: at once, after a grace period, or when the last finalizer is gone.

use api::field::{Errors, Path};
use api::meta::{self, metadata_mut};
use api::status::Status;
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use storage::{Guard, Op, Outcome};

use crate::admission::{Attempt, Operation};
use crate::request::dry_run;

use super::update::holds_back;
use super::{Context, Current, ListOptions, Registry, Target, backend_status, claim_key, current_of, served};

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

/// `metav1.DeleteOptions`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeleteOptions {
    pub grace_period: Option<i64>,
    pub uid: Option<String>,
    pub resource_version: Option<String>,
    pub propagation: Option<String>,
    /// The client has asked in the old way that dependents go.
    pub orphan_dependents: Option<bool>,
    pub dry_run: bool,
}

/// How a deletion went, and what is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// The object waits for others; this is how it looks.
    Begun,
    /// It is gone; this is how it was.
    Returned,
    /// It is gone, says this Status.
    Done,
}

impl DeleteOptions {
    pub fn read(options: &Value) -> Result<Self, Status> {
        let text = |path: &str| Some(meta::text_at(options, path)).filter(|t| !t.is_empty()).map(str::to_owned);
        let orphan = options.get("orphanDependents").and_then(Value::as_bool);
        let propagation = text("propagationPolicy").or(match orphan {
            Some(true) => Some("Orphan".into()),
            Some(false) => Some("Background".into()),
            None => None,
        });
        let options = Self {
            grace_period: options.get("gracePeriodSeconds").and_then(Value::as_i64),
            uid: text("preconditions.uid"),
            resource_version: text("preconditions.resourceVersion"),
            propagation,
            orphan_dependents: orphan,
            dry_run: {
                let values = options.get("dryRun").and_then(Value::as_array);
                let values: Vec<&str> = values.into_iter().flatten().map(|v| v.as_str().unwrap_or("")).collect();
                dry_run("DeleteOptions", &values)?
            },
        };
        match options.propagation.as_deref() {
            None | Some("Foreground" | "Background" | "Orphan") => {}
            Some(other) => {
                let supported = "supported values: \"Background\", \"Foreground\", \"Orphan\"";
                let message = format!(
                    "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported value: {other:?}: {supported}"
                );
                return Err(Status::bad_request(message));
            }
        }
        if options.grace_period.is_some_and(|seconds| seconds < 0) {
            return Err(Status::bad_request("gracePeriodSeconds: must be greater than or equal to 0"));
        }
        Ok(options)
    }
}

impl Registry {
    /// The object while it waits, or as it was; for most kinds a Status when it is gone.
    pub async fn delete(
        &self,
        context: &Context,
        target: &Target,
        options: &DeleteOptions,
    ) -> Result<(Bytes, Deletion), Status> {
        let mut current = self.current(target, false).await?;
        let admission = self.admission();
        loop {
            let old = Some(&current.document);
            let attempt = Attempt { registry: self, context, target, operation: Operation::Delete, old };
            admission.validate(&attempt, &current.document).await?;
            let marked = match self.mark(target, &current, options) {
                // The cache may lag behind what the client knows.
                Err(_) if !current.fresh => {
                    current = self.current(target, true).await?;
                    continue;
                }
                marked => marked?,
            };
            let Some(marked) = marked else {
                match self.remove(target, &current, options.dry_run).await? {
                    Ok(()) => {
                        let resource = target.resource();
                        if resource.returns_deleted {
                            return Ok((
                                served(&meta::encode(&current.document), current.revision),
                                Deletion::Returned,
                            ));
                        }
                        let uid = meta::text(&current.document, "uid");
                        let status = Status::deleted(resource.group, resource.plural, &target.name, uid);
                        return Ok((status.to_string().into(), Deletion::Done));
                    }
                    Err(now) => current = now,
                }
                continue;
            };
            if marked == current.document {
                if current.fresh {
                    return Ok((served(&meta::encode(&marked), current.revision), Deletion::Begun));
                }
                current = self.current(target, true).await?;
                continue;
            }
            let stored: Bytes = meta::encode(&marked).into();
            if options.dry_run {
                return Ok((served(&stored, current.revision), Deletion::Begun));
            }
            let time_to_live = target.resource().strategy.time_to_live().map(|_| self.event_ttl);
            let guard = Guard::Unchanged(target.path(), current.revision);
            let put = Op::Put { key: target.path(), value: stored.clone(), time_to_live };
            match self.backend.commit(&[guard], vec![put]).await.map_err(backend_status)? {
                Outcome::Committed(revision) => return Ok((served(&stored, revision), Deletion::Begun)),
                Outcome::Refused(now) => current = self.after_refusal(target, now)?,
            }
        }
    }

    /// All that match, several at a time. What they were, at the revision of the list.
    pub async fn delete_collection(
        &self,
        context: &Context,
        target: &Target,
        list: &ListOptions,
        options: &DeleteOptions,
    ) -> Result<super::Listed, Status> {
        use futures::{FutureExt, StreamExt, TryStreamExt};
        let listed = self.list(target, list).await?;
        let mut deletions = Vec::with_capacity(listed.entries.len());
        for entry in &listed.entries {
            let (namespace, name) = (entry.namespace().to_owned(), entry.name().to_owned());
            deletions
                .push(self.delete_if_there(context, Target { namespace, name, ..target.clone() }, options).boxed());
        }
        futures::stream::iter(deletions).buffer_unordered(16).try_collect::<()>().await?;
        Ok(listed)
    }

    async fn delete_if_there(&self, context: &Context, target: Target, options: &DeleteOptions) -> Result<(), Status> {
        match self.delete(context, &target, options).await {
            Err(status) if status.code == 404 => Ok(()),
            other => other.map(|_| ()),
        }
    }

    /// The object as it waits for its end; `None` when nothing holds it back.
    fn mark(&self, target: &Target, current: &Current, options: &DeleteOptions) -> Result<Option<Value>, Status> {
        let resource = target.resource();
        let old = &current.document;
        let precondition = |what: &str, wanted: &Option<String>, is: &str| match wanted {
            Some(wanted) if wanted != is => {
                let why = format!("Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {is}");
                Err(Status::conflict(resource.group, resource.plural, &target.name, &why))
            }
            _ => Ok(()),
        };
        resource
            .strategy
            .may_delete(old)
            .map_err(|why| Status::forbidden(resource.group, resource.plural, &target.name, &why))?;
        precondition("UID", &options.uid, meta::text(old, "uid"))?;
        precondition("ResourceVersion", &options.resource_version, meta::text(old, "resourceVersion"))?;
        let mut document = old.clone();
        let orphan = match options.propagation.as_deref() {
            Some(policy) => policy == "Orphan",
            None => {
                let orphans = target.form().form.orphans || resource.strategy.orphans_by_default();
                orphans && !meta::is_deleting(old)
            }
        };
        let foreground = options.propagation.as_deref() == Some("Foreground");
        let mut finalizers: Vec<Value> =
            meta::finalizers(old).into_iter().filter(|f| ![ORPHAN, FOREGROUND].contains(f)).map(Into::into).collect();
        let had: Vec<&str> = meta::finalizers(old);
        let undecided = options.propagation.is_none() && !orphan;
        for (finalizer, wanted) in [(ORPHAN, orphan), (FOREGROUND, foreground)] {
            if wanted || (undecided && had.contains(&finalizer)) {
                finalizers.push(finalizer.into());
            }
        }
        if finalizers.is_empty() {
            metadata_mut(&mut document).remove("finalizers");
        } else {
            metadata_mut(&mut document).insert("finalizers".into(), finalizers.into());
        }
        let grace = resource.strategy.grace_period(old, options.grace_period);
        let first = !meta::is_deleting(old);
        let was = old["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0);
        // A second deletion may shorten the wait, not prolong it.
        let sooner = options.grace_period.is_some() && grace < was;
        if first || sooner {
            let end = Timestamp::now().checked_add(SignedDuration::from_secs(grace)).map_err(|_| {
                let mut errors = Errors::default();
                errors.invalid(&Path::new("gracePeriodSeconds"), grace, "the end of the period is no time that exists");
                Status::invalid("meta.k8s.io", "DeleteOptions", "", &errors)
            })?;
            let metadata = metadata_mut(&mut document);
            metadata.insert("deletionTimestamp".into(), meta::format_time(end).into());
            metadata.insert("deletionGracePeriodSeconds".into(), json!(grace));
            if first && resource.generation {
                let generation = old["metadata"]["generation"].as_i64().unwrap_or(0).saturating_add(1);
                metadata.insert("generation".into(), generation.into());
            }
        }
        resource.strategy.begin_deletion(&mut document);
        Ok(holds_back(target, &document).then_some(document))
    }

    /// Takes the object and its claims out of etcd; what it is now, if it was changed meanwhile.
    pub(super) async fn remove(
        &self,
        target: &Target,
        current: &Current,
        dry_run: bool,
    ) -> Result<Result<(), Current>, Status> {
        if dry_run {
            return Ok(Ok(()));
        }
        let claims = target.resource().strategy.claims(&current.document);
        let mut ops = vec![Op::Delete { key: target.path() }];
        ops.extend(claims.iter().map(|claim| Op::Delete { key: claim_key(claim) }));
        let guard = Guard::Unchanged(target.path(), current.revision);
        match self.backend.commit(&[guard], ops).await.map_err(backend_status)? {
            Outcome::Committed(_) => Ok(Ok(())),
            Outcome::Refused(now) => Ok(Err(self.after_refusal(target, now)?)),
        }
    }

    fn after_refusal(&self, target: &Target, now: Vec<Option<storage::Stored>>) -> Result<Current, Status> {
        let now = now.into_iter().next().flatten();
        current_of(&now.ok_or_else(|| target.not_found())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_and_checked() {
        let read = DeleteOptions::read(&json!({"gracePeriodSeconds": 0, "orphanDependents": true,
            "preconditions": {"uid": "u"}}))
        .unwrap();
        assert_eq!(read.propagation.as_deref(), Some("Orphan"));
        assert_eq!((read.grace_period, read.uid.as_deref()), (Some(0), Some("u")));
        assert_eq!(DeleteOptions::read(&json!({"propagationPolicy": "Sideways"})).unwrap_err().code, 400);
        assert_eq!(DeleteOptions::read(&json!({"gracePeriodSeconds": -1})).unwrap_err().code, 400);
    }
}
