//! Changing objects: replace, patch, status and the other subresources. All are a function from the object as it is
//! to the object as it should be, tried again when somebody else was faster.

use api::catalog::Rules;
use api::field::{Errors, Path};
use api::meta::{self, metadata_mut};
use api::status::Status;
use api::strategy;
use api::{unhonoured, warnings};
use bytes::Bytes;
use serde_json::Value;
use storage::{Guard, Op, Outcome};

use crate::admission::{Attempt, Operation};

use super::create::{hold, scope};
use super::manage::track;
use super::{Context, Current, Registry, Target, backend_status, claim_key, current_of, parse, served};

/// Writers of one object get in each other's way; who loses this often is told so.
const TRIES: usize = 32;

/// From the object as it is to the object as it should be. A resource version that differs from the current one
/// makes a conflict, so a change that keeps it is unconditional.
pub type Change<'a> = &'a (dyn Fn(&Value) -> Result<Value, Status> + Send + Sync);

impl Registry {
    pub async fn update(
        &self,
        context: &Context,
        target: &Target,
        rules: Rules,
        change: Change<'_>,
    ) -> Result<Bytes, Status> {
        let mut current = self.current(target, false).await?;
        // Whether what the cache shows of other objects has turned out not to be enough.
        let mut fresh = false;
        for attempt in 1..=TRIES {
            let decided = self.decide(context, target, rules, change, &current).await;
            // What a lagging cache makes impossible may be possible, and what it makes needless may be needed.
            let settled = matches!(&decided, Ok(Decided::Write { .. } | Decided::Remove));
            if !settled && !current.fresh {
                current = self.current(target, true).await?;
                continue;
            }
            let (document, chosen) = match decided? {
                Decided::Unchanged => return Ok(served(&meta::encode(&current.document), current.revision)),
                Decided::Remove => match self.remove(target, &current, context.dry_run).await? {
                    Ok(()) => return Ok(served(&meta::encode(&current.document), current.revision)),
                    Err(now) => {
                        current = now;
                        continue;
                    }
                },
                Decided::Write { mut document } => {
                    let chosen = self.allocate(target, &mut document, attempt)?;
                    (document, chosen)
                }
            };
            self.check_claims(target, &document)?;
            let old = Some(&current.document);
            let write = Attempt { registry: self, context, target, operation: Operation::Update, old };
            let terms = match self.terms(&write, &document, &mut fresh).await {
                Err(_) if !current.fresh => {
                    current = self.current(target, true).await?;
                    continue;
                }
                terms => terms?,
            };
            let stored: Bytes = meta::encode(&document).into();
            if context.dry_run {
                return Ok(served(&stored, current.revision));
            }
            let strategy = target.resource().strategy;
            let (held, wanted) = (strategy.claims(&current.document), strategy.claims(&document));
            // While etcd answers, many others run: what is warm in the processor's cache is freed now.
            let revision = current.revision;
            drop((current, document));
            let mut guards = vec![Guard::Unchanged(target.path(), revision)];
            let time_to_live = strategy.time_to_live().map(|_| self.event_ttl);
            let mut ops = vec![Op::Put { key: target.path(), value: stored.clone(), time_to_live }];
            guards.extend(terms.guards.iter().cloned());
            let claims_from = guards.len();
            ops.extend(terms.ops.iter().cloned());
            let added: Vec<_> = wanted.iter().filter(|claim| !held.contains(claim)).collect();
            guards.extend(added.iter().map(|claim| Guard::Absent(claim_key(claim))));
            ops.extend(added.iter().map(|claim| hold(claim, target)));
            let dropped = held.iter().filter(|claim| !wanted.contains(claim));
            ops.extend(dropped.map(|claim| Op::Delete { key: claim_key(claim) }));
            let now = match self.backend.commit(&guards, ops).await.map_err(backend_status)? {
                Outcome::Committed(revision) => return Ok(served(&stored, revision)),
                Outcome::Refused(now) => now,
            };
            let Some(Some(now_stored)) = now.first() else { return Err(target.not_found()) };
            current = current_of(now_stored)?;
            if current.revision != revision {
                continue;
            }
            if !terms.hold(now.get(1..).unwrap_or_default()) {
                fresh = true;
                continue;
            }
            let taken = added.into_iter().zip(now.iter().skip(claims_from)).filter(|(_, now)| now.is_some());
            self.claims_taken(target, &parse(&stored)?, taken.map(|(claim, _)| claim), &chosen, attempt)?;
        }
        let resource = target.resource();
        Err(Status::stale(resource.group, resource.plural, &target.name))
    }

    async fn decide(
        &self,
        context: &Context,
        target: &Target,
        rules: Rules,
        change: Change<'_>,
        current: &Current,
    ) -> Result<Decided, Status> {
        let resource = target.resource();
        let mut document = change(&current.document)?;
        scope(target, &mut document)?;
        check_identity(target, &document, &current.document)?;
        let old = &current.document;
        keep_system_fields(&mut document, old);
        let attempt = Attempt { registry: self, context, target, operation: Operation::Update, old: Some(old) };
        let admission = self.admission();
        let errors = match rules {
            Rules::Object => {
                resource.strategy.default(&mut document);
                track(context, target, rules, Some(old), &mut document);
                if admission.admit(&attempt, &mut document).await? {
                    resource.strategy.default(&mut document);
                }
                resource.strategy.prepare_for_update(&mut document, old);
                if resource.generation {
                    count_change(&mut document, old, resource.strategy.counts());
                }
                strategy::validate_update(resource.strategy, &document, old, resource.namespaced)
            }
            Rules::Status => {
                track(context, target, rules, Some(old), &mut document);
                let mut errors = Errors::default();
                api::validation::meta::validate(&document, resource.namespaced, |_| Vec::new(), &mut errors);
                api::validation::meta::validate_update(&document, old, &mut errors);
                resource.strategy.validate_status(&document, old, &mut errors);
                errors
            }
            Rules::Part(validate) => {
                let mut errors = Errors::default();
                resource.strategy.default(&mut document);
                if admission.admit(&attempt, &mut document).await? {
                    resource.strategy.default(&mut document);
                }
                track(context, target, rules, Some(old), &mut document);
                if resource.generation {
                    count_change(&mut document, old, resource.strategy.counts());
                }
                validate(&document, old, &mut errors);
                errors
            }
            Rules::Checked => {
                track(context, target, rules, Some(old), &mut document);
                Errors::default()
            }
        };
        if !errors.is_empty() {
            return Err(Status::invalid(resource.group, resource.kind, &target.name, &errors));
        }
        admission.validate(&attempt, &document).await?;
        if matches!(rules, Rules::Object) {
            warnings::for_object(resource.kind, &document).into_iter().for_each(|warning| context.warn(warning));
            let unhonoured = unhonoured::warnings(resource.stored().schema, &document);
            if !unhonoured.is_empty() {
                // What was there before has been told before.
                let before = unhonoured::warnings(resource.stored().schema, old);
                let new = unhonoured.into_iter().filter(|warning| !before.contains(warning));
                new.for_each(|warning| context.warn(warning));
            }
        }
        if meta::is_deleting(&document) && !holds_back(target, &document) {
            return Ok(Decided::Remove);
        }
        if document == *old {
            return Ok(Decided::Unchanged);
        }
        Ok(Decided::Write { document })
    }
}

enum Decided {
    Unchanged,
    /// The last reason to keep a deleted object is gone.
    Remove,
    Write {
        document: Value,
    },
}

/// Something still has to happen before the object may go.
pub(super) fn holds_back(target: &Target, document: &Value) -> bool {
    let grace = document["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0);
    grace > 0 || !meta::finalizers(document).is_empty() || target.resource().strategy.blocks_deletion(document)
}

fn check_identity(target: &Target, document: &Value, old: &Value) -> Result<(), Status> {
    let resource = target.resource();
    let name = meta::name(document);
    if name != target.name {
        return Err(Status::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            target.name
        )));
    }
    let version = meta::text(document, "resourceVersion");
    if version.is_empty() && !resource.unconditional_update {
        let mut errors = Errors::default();
        errors.invalid(&Path::new("metadata").child("resourceVersion"), 0, "must be specified for an update");
        return Err(Status::invalid(resource.group, resource.kind, name, &errors));
    }
    if !version.is_empty() && version != meta::text(old, "resourceVersion") {
        return Err(Status::stale(resource.group, resource.plural, name));
    }
    let (uid, was) = (meta::text(document, "uid"), meta::text(old, "uid"));
    if !uid.is_empty() && uid != was {
        let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {was}");
        return Err(Status::conflict(resource.group, resource.plural, name, &why));
    }
    Ok(())
}

/// What only the server decides.
fn keep_system_fields(document: &mut Value, old: &Value) {
    let metadata = metadata_mut(document);
    for field in [
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "generateName",
        "resourceVersion",
    ] {
        match old["metadata"].get(field) {
            Some(value) => metadata.insert(field.into(), value.clone()),
            None => metadata.remove(field),
        };
    }
    metadata.remove("selfLink");
}

/// `metadata.generation` tells how often what is wanted was changed. `also`: parts of the metadata that count.
fn count_change(document: &mut Value, old: &Value, also: &[&str]) {
    let differ = also.iter().any(|field| document["metadata"].get(field) != old["metadata"].get(field));
    if differ || spec_changed(document, old) {
        let generation = old["metadata"]["generation"].as_i64().unwrap_or(0).saturating_add(1);
        metadata_mut(document).insert("generation".into(), generation.into());
    }
}

/// All but metadata and status, which in most kinds is the spec.
fn spec_changed(document: &Value, old: &Value) -> bool {
    fn parts(object: &Value) -> impl Iterator<Item = (&String, &Value)> {
        let fields = object.as_object().into_iter().flatten();
        fields.filter(|(name, _)| !["metadata", "status", "kind", "apiVersion"].contains(&name.as_str()))
    }
    !parts(document).eq(parts(old))
}
