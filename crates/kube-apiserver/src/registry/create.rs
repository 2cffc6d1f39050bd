//! Making objects.

use api::catalog::Rules;
use api::field::Errors;
use api::meta::{self, metadata_mut};
use api::status::Status;
use api::strategy::{self, Claim};
use api::{unhonoured, warnings};
use bytes::Bytes;
use rand::Rng;
use serde_json::Value;
use storage::{Guard, Op, Outcome};

use crate::admission::{Attempt, Operation, Terms};

use super::manage::track;
use super::{Context, Registry, Target, backend_status, claim_key, parse, served};

/// Without vowels and what looks like another, so that no words come out.
const SUFFIX: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
const GENERATED_PREFIX_LIMIT: usize = 58;
const GENERATE_TRIES: usize = 8;
/// What a write depends on is changed rarely, or by one at a time, so this many in a row are not chance.
pub(super) const TERMS_TRIES: usize = 32;

impl Registry {
    /// `target` needs no name: the object has it, or a prefix for one. Returns the object as it is served.
    pub async fn create(&self, context: &Context, target: &Target, mut object: Value) -> Result<Bytes, Status> {
        let resource = target.resource();
        scope(target, &mut object)?;
        if !meta::text(&object, "resourceVersion").is_empty() {
            return Err(Status::bad_request("resourceVersion should not be set on objects to be created"));
        }
        let metadata = metadata_mut(&mut object);
        for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generation"] {
            metadata.remove(field);
        }
        metadata.insert("uid".into(), uuid::Uuid::new_v4().to_string().into());
        metadata.insert("creationTimestamp".into(), meta::now().into());
        if resource.generation {
            metadata.insert("generation".into(), 1.into());
        }
        let prefix = meta::text(&object, "generateName").to_owned();
        // Of what the client has sent: what the server adds is the server's matter.
        let unhonoured = unhonoured::warnings(resource.stored().schema, &object);
        unhonoured.into_iter().for_each(|warning| context.warn(warning));
        // Rules may have written the name elsewhere, so another name begins with what the client sent.
        let unnamed = (meta::name(&object).is_empty() && !prefix.is_empty()).then(|| object.clone());
        if unnamed.is_some() {
            set_name(&mut object, &generate(&prefix));
        }
        let attempt = Attempt { registry: self, context, target, operation: Operation::Create, old: None };
        prepare(&attempt, &mut object).await?;
        // What the cache shows of other objects is enough until the transaction says otherwise.
        let mut fresh = false;
        // What is chosen here must be chosen anew when it turns out to be taken; other objects need no copy for that.
        let chooses = !resource.strategy.wants(&object).is_empty();
        for tries in 1.. {
            let mut attempted = if chooses { object.clone() } else { std::mem::take(&mut object) };
            let allocated = self.allocate(target, &mut attempted, tries)?;
            let name = meta::name(&attempted).to_owned();
            let errors = errors_of_new(target, &attempted);
            if !errors.is_empty() {
                return Err(Status::invalid(resource.group, resource.kind, &name, &errors));
            }
            self.check_claims(target, &attempted)?;
            self.admission().validate(&attempt, &attempted).await?;
            if tries == 1 {
                let unhonoured = unhonoured::warning(&resource.qualified());
                unhonoured.into_iter().for_each(|warning| context.warn(warning));
                warnings::for_object(resource.kind, &attempted).into_iter().for_each(|warning| context.warn(warning));
            }
            let terms = self.terms(&attempt, &attempted, &mut fresh).await?;
            let stored: Bytes = meta::encode(&attempted).into();
            let target = target.named(&name);
            if context.dry_run {
                if target.store.get(&target.key()).is_some() {
                    return Err(Status::already_exists(resource.group, resource.plural, &name));
                }
                return Ok(stored);
            }
            let claims = resource.strategy.claims(&attempted);
            // While etcd answers, many others run: what is warm in the processor's cache is freed now.
            drop(attempted);
            let mut guards = vec![Guard::Absent(target.path())];
            guards.extend(terms.guards.iter().cloned());
            let claims_from = guards.len();
            guards.extend(claims.iter().map(|claim| Guard::Absent(claim_key(claim))));
            let time_to_live = resource.strategy.time_to_live().map(|_| self.event_ttl);
            let mut ops = vec![Op::Put { key: target.path(), value: stored.clone(), time_to_live }];
            ops.extend(claims.iter().map(|claim| hold(claim, &target)));
            ops.extend(terms.ops.iter().cloned());
            match self.backend.commit(&guards, ops).await.map_err(backend_status)? {
                Outcome::Committed(revision) => return Ok(served(&stored, revision)),
                Outcome::Refused(now) if now.first().is_some_and(Option::is_some) => {
                    let Some(unnamed) = unnamed.as_ref().filter(|_| tries < GENERATE_TRIES) else {
                        return Err(Status::already_exists(resource.group, resource.plural, &name));
                    };
                    object = unnamed.clone();
                    set_name(&mut object, &generate(&prefix));
                    prepare(&attempt, &mut object).await?;
                }
                // What the cache knew of other objects is not enough.
                Outcome::Refused(now) if !terms.hold(now.get(1..).unwrap_or_default()) => {
                    if tries >= TERMS_TRIES {
                        return Err(unsettled(&target, &name));
                    }
                    fresh = true;
                    object = if chooses { object } else { parse(&stored)? };
                }
                Outcome::Refused(now) => {
                    let taken = claims.iter().zip(now.iter().skip(claims_from)).filter(|(_, now)| now.is_some());
                    let attempted = parse(&stored)?;
                    self.claims_taken(&target, &attempted, taken.map(|(claim, _)| claim), &allocated, tries)?;
                    object = if chooses { object } else { attempted };
                }
            }
        }
        unreachable!("the loop only ends by returning")
    }

    /// What the write's transaction has to hold beside the object. What a lagging cache makes impossible may be possible.
    pub(super) async fn terms(&self, attempt: &Attempt<'_>, object: &Value, fresh: &mut bool) -> Result<Terms, Status> {
        match self.admission().terms(attempt, object, *fresh).await {
            Err(_) if !*fresh => {
                *fresh = true;
                self.admission().terms(attempt, object, true).await
            }
            terms => terms,
        }
    }

    /// Whether admission lets somebody make something below an object, such as a token.
    pub async fn admit_part(&self, context: &Context, target: &Target, part: &Value) -> Result<(), Status> {
        let attempt = Attempt { registry: self, context, target, operation: Operation::Create, old: None };
        self.admission().validate(&attempt, part).await
    }
}

/// What must hold of a new object, and what the version that it is made through wants beside.
fn errors_of_new(target: &Target, object: &Value) -> Errors {
    let (resource, form) = (target.resource(), &target.form().form);
    let mut errors = strategy::validate_create(resource.strategy, object, resource.namespaced, form.any_case);
    if let Some(validate) = form.validate_create {
        validate(object, &mut errors);
    }
    errors
}

/// Defaults, mutating admission, and what the client does not decide.
async fn prepare(attempt: &Attempt<'_>, object: &mut Value) -> Result<(), Status> {
    let (strategy, context) = (attempt.target.resource().strategy, attempt.context);
    strategy.default(object);
    track(context, attempt.target, Rules::Object, None, object);
    if attempt.registry.admission().admit(attempt, object).await? {
        strategy.default(object);
    }
    strategy.prepare_for_create(object);
    strategy.set_requester(object, &|| context.attributes.user.to_json());
    Ok(())
}

/// Others change all the time what the write depends on.
pub(super) fn unsettled(target: &Target, name: &str) -> Status {
    let resource = target.resource();
    Status::conflict(resource.group, resource.plural, name, "what it depends on keeps changing; please try again")
}

/// The operation that takes a claim for an object.
pub(super) fn hold(claim: &Claim, holder: &Target) -> Op {
    Op::Put { key: claim_key(claim), value: holder.path().into(), time_to_live: None }
}

/// The object belongs to the namespace of the request, and to none where the kind has none.
pub(super) fn scope(target: &Target, object: &mut Value) -> Result<(), Status> {
    let own = meta::namespace(object);
    if target.resource().namespaced {
        if own.is_empty() {
            metadata_mut(object).insert("namespace".into(), target.namespace.as_str().into());
        } else if own != target.namespace {
            return Err(Status::bad_request(format!(
                "the namespace of the provided object does not match the namespace sent on the request: {own:?} is not {:?}",
                target.namespace
            )));
        }
    } else {
        metadata_mut(object).remove("namespace");
    }
    Ok(())
}

fn set_name(object: &mut Value, name: &str) {
    metadata_mut(object).insert("name".into(), name.into());
}

fn generate(prefix: &str) -> String {
    let end = prefix.char_indices().map(|(at, _)| at).take_while(|at| *at < GENERATED_PREFIX_LIMIT).count();
    let mut name: String = prefix.chars().take(end).collect();
    name.push_str(&random_suffix());
    name
}

/// What makes a generated name one of many.
pub(crate) fn random_suffix() -> String {
    let mut random = rand::rng();
    (0..5).map(|_| SUFFIX[random.random_range(0..SUFFIX.len())] as char).collect()
}
