//! Audit: what clients asked for, and what became of it, for those who look after the cluster. `policy.rs` says what is told, `event.rs` how,
//! `log.rs` where. Without a policy and a place for events there is none of it, and a request costs one look at an `Option`.

mod event;
mod log;
mod policy;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::status::Status;
use http::{HeaderMap, HeaderValue, StatusCode};
use jiff::Timestamp;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry as Metrics;
use serde_json::{Value, json};

use crate::attributes::{Attributes, User};
use crate::metrics::Counters;
use event::{Event, ObjectReference, micro_time, object_of};

pub use log::{Log, Rotation};
pub use policy::{Level, Policy, Stage};

/// The header by which a request is found again in the log.
pub const AUDIT_ID: &str = "audit-id";
/// Longer ones are no identifiers.
const MAX_ID: usize = 64;
/// Of answers that are made while they are sent: larger ones are left out of the event.
pub const MAX_ANSWER: usize = 16 * 1024 * 1024;

const DECISION: &str = "authorization.k8s.io/decision";
const REASON: &str = "authorization.k8s.io/reason";

pub struct Audit {
    policy: Policy,
    log: Log,
    events: Counter,
    levels: Counters<4>,
}

impl Audit {
    pub fn new(policy: Policy, log: Log) -> Arc<Self> {
        let levels = Counters::new("level", Level::ALL.map(Level::name));
        Arc::new(Self { policy, log, events: Counter::default(), levels })
    }

    pub fn register(&self, metrics: &mut Metrics) {
        let help = "Counter of audit events generated and sent to the audit backend";
        metrics.register("apiserver_audit_event", help, self.events.clone());
        let help = "Counter of policy levels for audit events (1 per request)";
        self.levels.register(metrics, "apiserver_audit_level", help);
        self.log.register(metrics);
    }

    /// Writes what is on its way, at the end of the server.
    pub fn flush(&self) {
        self.log.flush();
    }

    /// `None`: the policy does not want to know of it. The user is the one who was authenticated, whomever he impersonates.
    pub fn begin(
        self: &Arc<Self>,
        id: &HeaderValue,
        attributes: &Attributes,
        uri: &str,
        headers: &HeaderMap,
        peer: Option<IpAddr>,
    ) -> Option<Arc<Record>> {
        let decided = self.policy.decide(attributes);
        self.levels.members()[decided.level as usize].inc();
        if decided.level == Level::None {
            return None;
        }
        Some(Arc::new(Record {
            audit: self.clone(),
            decided,
            id: id.to_str().unwrap_or("").to_owned(),
            uri: uri.to_owned(),
            verb: attributes.verb.clone(),
            user: attributes.user.to_json(),
            source_ips: event::source_ips(headers, peer),
            user_agent: event::user_agent(headers),
            received: Timestamp::now(),
            known: Mutex::new(Known { about: ObjectReference::of(attributes), ..Known::default() }),
        }))
    }
}

/// One request that is told of.
pub struct Record {
    audit: Arc<Audit>,
    decided: policy::Decided,
    id: String,
    uri: String,
    verb: Cow<'static, str>,
    user: Value,
    source_ips: Vec<String>,
    user_agent: String,
    received: Timestamp,
    known: Mutex<Known>,
}

/// What becomes known while the request is answered.
#[derive(Default)]
struct Known {
    about: Option<ObjectReference>,
    impersonated: Option<Value>,
    status: Option<Value>,
    request: Option<Value>,
    response: Option<Value>,
    annotations: BTreeMap<Cow<'static, str>, String>,
}

impl Record {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn impersonates(&self, user: &User) {
        self.known().impersonated = Some(user.to_json());
    }

    /// The request's body. Of patches it is the patch itself.
    pub fn request(&self, content_type: &str, body: &[u8]) {
        let names = matches!(&*self.verb, "create" | "update");
        if self.decided.level < Level::Request && !names {
            return;
        }
        let Some(mut object) = object_of(content_type, body) else { return };
        let mut known = self.known();
        if names && let Some(about) = &mut known.about {
            about.complete(&object);
        }
        if self.decided.level >= Level::Request {
            if self.decided.omit_managed_fields {
                event::without_managed_fields(&mut object);
            }
            known.request = Some(object);
        }
    }

    pub fn wants_response(&self) -> bool {
        self.decided.level == Level::RequestResponse
    }

    pub fn response(&self, content_type: &str, body: &[u8]) {
        if !self.wants_response() {
            return;
        }
        let Some(mut object) = object_of(content_type, body) else { return };
        if self.decided.omit_managed_fields {
            event::without_managed_fields(&mut object);
        }
        self.known().response = Some(object);
    }

    /// The code of the answer, unless a refusal has said more already.
    pub fn code(&self, code: StatusCode) {
        self.known().status.get_or_insert_with(|| json!({"metadata": {}, "code": code.as_u16()}));
    }

    pub fn refused(&self, status: &Status) {
        self.status(status.to_json());
    }

    /// As [`Record::refused`], of a status that is JSON already.
    pub fn status(&self, mut status: Value) {
        if let Some(fields) = status.as_object_mut() {
            fields.remove("kind");
            fields.remove("apiVersion");
        }
        self.known().status = Some(status);
    }

    fn note(&self, key: impl Into<Cow<'static, str>>, value: impl Into<String>) {
        self.known().annotations.entry(key.into()).or_insert_with(|| value.into());
    }

    pub fn write(&self, stage: Stage) {
        if self.decided.omit.has(stage) {
            return;
        }
        let now = if stage == Stage::RequestReceived { self.received } else { Timestamp::now() };
        let known = self.known();
        let event = Event {
            kind: "Event",
            api_version: "audit.k8s.io/v1",
            level: self.decided.level.name(),
            audit_id: &self.id,
            stage: stage.name(),
            request_uri: &self.uri,
            verb: &self.verb,
            user: &self.user,
            impersonated_user: known.impersonated.as_ref(),
            source_ips: &self.source_ips,
            user_agent: &self.user_agent,
            object_ref: known.about.as_ref(),
            response_status: known.status.as_ref(),
            request_object: known.request.as_ref(),
            response_object: known.response.as_ref(),
            request_received_timestamp: micro_time(self.received),
            stage_timestamp: micro_time(now),
            annotations: known.annotations.clone(),
        };
        self.audit.events.inc();
        match serde_json::to_vec(&event) {
            Ok(mut line) => {
                line.push(b'\n');
                self.audit.log.send(line);
            }
            Err(why) => {
                self.audit.log.lost().inc();
                tracing::warn!("an audit event could not be written as JSON: {why}");
            }
        }
    }
}

/// Where those who decide about a request leave notes for its events. Empty for requests that nobody is told of, and for questions that the
/// server asks itself.
#[derive(Clone, Default)]
pub struct Trail(Option<Arc<Record>>);

impl Trail {
    pub fn new(record: Option<Arc<Record>>) -> Self {
        Self(record)
    }

    /// An annotation; the first of a key stays, as a write that is tried again says it again.
    pub fn note<V: Into<String>>(&self, key: &'static str, value: impl FnOnce() -> V) {
        if let Some(record) = &self.0 {
            record.note(key, value());
        }
    }

    pub fn decision(&self, allowed: bool, reason: &str) {
        self.note(DECISION, || if allowed { "allow" } else { "forbid" });
        self.note(REASON, || reason);
    }

    /// Why it is allowed, told by the one who allows it.
    pub fn allowed_because(&self, reason: impl FnOnce() -> String) {
        self.note(REASON, reason);
    }

    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }
}

impl std::fmt::Debug for Trail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Trail").field(&self.is_on()).finish()
    }
}

/// Requests are the same whoever is told of them.
impl PartialEq for Trail {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Trail {}

/// The identifier of a request: the client's, where it can be one, or a new one.
pub fn identifier(headers: &HeaderMap) -> HeaderValue {
    let sane = |value: &&HeaderValue| {
        let bytes = value.as_bytes();
        !bytes.is_empty() && bytes.len() <= MAX_ID && bytes.iter().all(u8::is_ascii_graphic)
    };
    if let Some(own) = headers.get(AUDIT_ID).filter(sane) {
        return own.clone();
    }
    let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
    let id = uuid::Uuid::new_v4();
    HeaderValue::from_str(id.hyphenated().encode_lower(&mut text)).unwrap_or_else(|_| HeaderValue::from_static(""))
}
