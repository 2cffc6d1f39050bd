//! One request from its first byte to the last one of its answer, over REST or gRPC: what is counted of it, what is told of it, and its place
//! among those in flight. Who answers it knows nothing of this.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use api::catalog::Catalog;
use api::status::Status;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

use crate::attributes::{Attributes, User};
use crate::audit::{self, AUDIT_ID, Audit, Record, Stage, Trail};
use crate::limits::{Limits, Permit, TOO_MANY, TooMany};
use crate::metrics::{DryRun, Measured, Requests};
use crate::request::text_of;
use crate::rest::is_apply;
use crate::server::Body;

/// What every request passes.
#[derive(Clone, Default)]
pub struct Filters {
    pub audit: Option<Arc<Audit>>,
    pub limits: Limits,
    /// What is counted of them.
    pub requests: Arc<Requests>,
}

/// What is known of a request before it is known what it asks for.
pub struct Arrival {
    /// By which it is found in the log.
    pub id: HeaderValue,
    /// Empty where nobody is told of requests.
    uri: String,
    peer: Option<IpAddr>,
}

impl Arrival {
    pub fn new(filters: &Filters, uri: &http::Uri, headers: &HeaderMap, peer: Option<IpAddr>) -> Self {
        // Over HTTP/2 the URI names the host as well.
        let uri = filters.audit.as_ref().and_then(|_| uri.path_and_query()).map_or("", PathAndQuery::as_str).to_owned();
        Self { id: audit::identifier(headers), uri, peer }
    }
}

pub struct Exchange {
    measured: Measured,
    record: Option<Arc<Record>>,
    permit: Option<Permit>,
    long: bool,
    answered: bool,
    /// Nothing more is told of it.
    over: bool,
}

impl Exchange {
    /// As whoever was authenticated asks for it. The attributes carry the trail from now on.
    pub fn begin(
        filters: &Filters,
        catalog: &Catalog,
        arrival: &Arrival,
        attributes: &mut Attributes,
        headers: &HeaderMap,
        dry_run: DryRun,
    ) -> Self {
        let record = filters
            .audit
            .as_ref()
            .and_then(|audit| audit.begin(&arrival.id, attributes, &arrival.uri, headers, arrival.peer));
        attributes.trail = Trail::new(record.clone());
        let measured = filters.requests.begin(catalog, attributes, is_apply(headers), dry_run);
        let mut exchange = Self { measured, record, permit: None, long: false, answered: false, over: false };
        if attributes.is_long_running() {
            exchange.long_running();
        }
        exchange
    }

    /// It goes on for as long as the client likes.
    fn long_running(&mut self) {
        self.long = true;
        self.measured.long();
    }

    pub fn received(&self) {
        self.write(Stage::RequestReceived);
    }

    pub fn record(&self) -> Option<&Arc<Record>> {
        self.record.as_ref()
    }

    /// Takes a place among the requests in flight; `Err` where there is none.
    pub fn enter(&mut self, limits: &Limits, attributes: &Attributes) -> Result<(), TooMany> {
        if !self.long {
            self.permit = limits.admit(attributes)?;
        }
        Ok(())
    }

    fn write(&self, stage: Stage) {
        if let Some(record) = &self.record {
            record.write(stage);
        }
    }

    /// Nobody is known to have sent it: upstream tells of that once, when the answer begins.
    pub fn unauthenticated(mut self, headers: &HeaderMap, code: StatusCode) {
        if let Some(record) = &self.record {
            record.status(json!({"metadata": {}, "message": attempted(headers), "code": code.as_u16()}));
            record.write(Stage::ResponseStarted);
        }
        self.measured.code = code.as_u16();
        self.over = true;
    }

    /// Its handler has panicked.
    pub fn panicked(&mut self, why: &Status) {
        if let Some(record) = &self.record {
            let mut status = why.clone();
            status.message = format!("APIServer panic'd: {}", why.message);
            record.refused(&status);
            record.write(Stage::Panic);
        }
        self.over = true;
    }

    fn answered(&mut self, code: StatusCode) {
        self.answered = true;
        self.measured.code = code.as_u16();
        if let Some(record) = &self.record {
            record.code(code);
            if self.long && !self.over {
                record.write(Stage::ResponseStarted);
            }
        }
    }

    /// The answer begins. It is told of when its last byte is sent, which of those that are complete already is now.
    pub fn answer(mut self, id: HeaderValue, response: Response<Body>) -> Response<Body> {
        let response = with_id(response, id);
        self.answered(response.status());
        if let Body::Full(bytes) = response.body() {
            self.measured.sent = bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
            if let Some(record) = &self.record {
                let content_type = text_of(response.headers(), header::CONTENT_TYPE);
                record.response(content_type, bytes.as_deref().unwrap_or(&[]));
            }
            return response;
        }
        let collects = !self.long && self.record.as_ref().is_some_and(|record| record.wants_response());
        let content_type = response.headers().get(header::CONTENT_TYPE).cloned();
        let collected = collects.then(Vec::new);
        response.map(|body| Body::Followed(Box::new(Followed { body, exchange: self, content_type, collected })))
    }

    /// The same of a gRPC call, whose code stands in a header where it failed at once.
    pub fn answer_call(mut self, id: HeaderValue, response: Response<Body>) -> Response<Body> {
        let response = with_id(response, id);
        let status = failure_of_call(response.headers());
        let code = status.as_ref().and_then(|status| status["code"].as_u64());
        let code = code.and_then(|code| StatusCode::from_u16(u16::try_from(code).ok()?).ok());
        if let (Some(record), Some(status)) = (&self.record, status) {
            record.status(status);
        }
        self.answered(code.unwrap_or(StatusCode::OK));
        response.map(|body| {
            Body::Followed(Box::new(Followed { body, exchange: self, content_type: None, collected: None }))
        })
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        if let Some(record) = self.record.as_ref().filter(|_| !self.answered) {
            let message = "Connection closed early";
            record.status(json!({"metadata": {}, "status": "Success", "message": message, "code": 200}));
            if self.long {
                record.write(Stage::ResponseStarted);
            }
        }
        self.write(Stage::ResponseComplete);
    }
}

/// The client is told by which identifier its request is found again.
pub fn with_id(mut response: Response<Body>, id: HeaderValue) -> Response<Body> {
    response.headers_mut().insert(AUDIT_ID, id);
    response
}

/// What the client has shown of itself.
fn attempted(headers: &HeaderMap) -> &'static str {
    let shown = text_of(headers, header::AUTHORIZATION);
    match shown.trim().split_once(' ').map(|(scheme, _)| scheme.to_ascii_lowercase()).as_deref() {
        Some("basic") => "Authentication failed, attempted: basic",
        Some("bearer") => "Authentication failed, attempted: bearer",
        _ => "Authentication failed, no credentials provided",
    }
}

/// The `Status` that a failed call carries, or one of its message alone.
fn failure_of_call(headers: &HeaderMap) -> Option<Value> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let code = text("grpc-status").filter(|code| *code != "0")?;
    let details = text("grpc-status-details-bin").and_then(|text| {
        let bytes = STANDARD_NO_PAD.decode(text).or_else(|_| STANDARD.decode(text)).ok()?;
        serde_json::from_slice::<Value>(&bytes).ok().filter(Value::is_object)
    });
    let code = match code {
        "3" | "11" => 400,
        "5" => 404,
        "7" => 403,
        "8" => 429,
        "12" => 405,
        "14" => 503,
        "16" => 401,
        _ => 500,
    };
    let message = text("grpc-message").unwrap_or("");
    Some(details.unwrap_or_else(|| json!({"metadata": {}, "status": "Failure", "message": message, "code": code})))
}

/// An answer that is made while it is sent.
pub struct Followed {
    pub body: Body,
    exchange: Exchange,
    content_type: Option<HeaderValue>,
    /// The bytes so far, of an answer that is told of.
    collected: Option<Vec<u8>>,
}

impl Followed {
    pub fn sent(&mut self, chunk: &Bytes) {
        self.exchange.measured.sent += chunk.len() as u64;
        match &mut self.collected {
            Some(bytes) if bytes.len() + chunk.len() <= audit::MAX_ANSWER => bytes.extend_from_slice(chunk),
            // Too large to be told of.
            collected => *collected = None,
        }
    }

    /// What was collected is complete. It is told of by its end, which is when it is dropped: whoever sends it stops asking when the
    /// length is reached.
    fn tell(&mut self) {
        if let (Some(bytes), Some(record)) = (self.collected.take(), &self.exchange.record) {
            let content_type = self.content_type.as_ref().and_then(|value| value.to_str().ok());
            record.response(content_type.unwrap_or(""), &bytes);
        }
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        // What is half a document is none.
        self.tell();
    }
}

/// A call over gRPC on its way: made where the connection is known, begun where it is known what is asked for.
pub struct Call {
    pub user: Arc<User>,
    /// Who asks, where he asks as somebody else.
    by: Option<Arc<User>>,
    arrival: Arrival,
    /// Kept for events alone.
    headers: HeaderMap,
    exchange: Mutex<Option<Exchange>>,
}

impl Call {
    pub fn new(
        filters: &Filters,
        user: Arc<User>,
        by: Option<Arc<User>>,
        arrival: Arrival,
        headers: &HeaderMap,
    ) -> Arc<Self> {
        let headers = if filters.audit.is_some() { headers.clone() } else { HeaderMap::new() };
        Arc::new(Self { user, by, arrival, headers, exchange: Mutex::new(None) })
    }

    /// An exchange of this call, or of a part of it: of a stream each is a request by itself, but for its place among those in flight, as the
    /// stream bounds them.
    pub fn start(&self, filters: &Filters, catalog: &Catalog, attributes: &mut Attributes) -> Exchange {
        if let Some(by) = &self.by {
            attributes.user = by.clone();
        }
        let exchange = Exchange::begin(filters, catalog, &self.arrival, attributes, &self.headers, DryRun::No);
        exchange.received();
        attributes.user = self.user.clone();
        if let (Some(_), Some(record)) = (&self.by, exchange.record()) {
            record.impersonates(&self.user);
        }
        exchange
    }

    /// The call as a whole, which ends with its answer. `long`: it goes on for as long as the client likes, whatever its attributes say.
    /// `Err`: there are too many.
    pub fn begin(
        &self,
        filters: &Filters,
        catalog: &Catalog,
        attributes: &mut Attributes,
        long: bool,
    ) -> Result<(), Status> {
        let mut exchange = self.start(filters, catalog, attributes);
        if long {
            exchange.long_running();
        }
        let entered = exchange
            .enter(&filters.limits, attributes)
            .map_err(|TooMany| Status { message: TOO_MANY.into(), ..Status::too_many_requests("") });
        if let (Err(status), Some(record)) = (&entered, exchange.record()) {
            record.refused(status);
        }
        *self.held() = Some(exchange);
        entered
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Option<Exchange>> {
        self.exchange.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn take(&self) -> Option<Exchange> {
        self.held().take()
    }

    pub fn record(&self) -> Option<Arc<Record>> {
        self.held().as_ref().and_then(|exchange| exchange.record().cloned())
    }
}

impl Exchange {
    /// Of a part of a stream, which has no answer of its own: what became of it.
    pub fn end(mut self, result: &Result<(), Status>) {
        if let (Some(record), Err(status)) = (&self.record, result) {
            record.refused(status);
        }
        let code = result.as_ref().err().and_then(|status| StatusCode::from_u16(status.code).ok());
        self.answered(code.unwrap_or(StatusCode::CREATED));
    }
}
