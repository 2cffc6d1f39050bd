//! The REST API: paths and methods to the registry's verbs, and objects to the forms that clients ask for.

mod apply;
mod codec;
mod components;
mod decode;
mod documents;
mod lists;
mod logs;
mod negotiate;
mod objects;
mod openapi;
mod options;
mod pretty;
mod reviews;
mod watch;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use api::catalog::{Handler, Review};
use api::status::Status;
use bytes::{Bytes, BytesMut};
use daemon::panics::Guarded;
use daemon::tls::ClientTls;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use http_body_util::BodyExt;
use prometheus_client::metrics::counter::Counter;

use crate::attributes::{Attributes, ResourceAttributes, User};
use crate::audit::Record;
use crate::authentication::{Authentication, Issuer, impersonate};
use crate::authorization::{self, Authorization};
use crate::exchange::{Arrival, Exchange, Filters, with_id};
use crate::kubelet::Kubelets;
use crate::limits::TOO_MANY;
use crate::metrics::{DryRun, register_cache};
use crate::registry::{Context, Registry};
use crate::request::{Query, text_of};
use crate::server::Body;

pub use api::patch::Patch;
pub(crate) use apply::{Applying, check_manager, configuration, is_apply, manager_of};
use codec::respond;
pub use codec::{Media, in_version};
use components::Components;
pub use decode::{Expected, FieldValidation, fit, read};
pub use negotiate::failure;
use negotiate::refusal;
pub(crate) use objects::rules;
use openapi::OpenApi;

/// As upstream: what etcd takes, and then some for patches.
const MAX_BODY: usize = 3 * 1024 * 1024;
/// Of a body that is too large.
const MAX_DRAINED: usize = 64 * 1024 * 1024;
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// What a request may have for a body.
pub trait RequestBody: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send {}

impl<B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send> RequestBody for B {}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What the API serves, whoever asks.
pub struct Rest {
    pub(crate) registry: Arc<Registry>,
    pub(crate) authentication: Authentication,
    pub(crate) authorization: Authorization,
    /// Makes tokens of service accounts, where a key for them is given.
    issuer: Option<Issuer>,
    kubelets: Kubelets,
    components: Components,
    openapi: OpenApi,
    health: daemon::Health,
    /// Told to clients that ask where the API is.
    address: SocketAddr,
    panics: Counter,
    pub(crate) tls_errors: Counter,
    pub(crate) filters: Filters,
}

/// A request without its body.
pub struct Request {
    pub attributes: Attributes,
    pub method: Method,
    pub query: Query,
    pub raw_query: String,
    pub headers: HeaderMap,
}

impl Request {
    /// For a write with these options, such as `CreateOptions`.
    fn context(&self, options: &str, warnings: Vec<String>) -> Result<Context, Status> {
        let context =
            Context::new(self.attributes.clone(), self.query.dry_run(options)?).managed_by(self.manager(options)?);
        warnings.into_iter().for_each(|warning| context.warn(warning));
        Ok(context)
    }
}

impl Rest {
    /// `kubelet_tls`: how this server shows itself to kubelets; without it there are no logs.
    pub fn new(
        registry: Arc<Registry>,
        (authentication, issuer): (Authentication, Option<Issuer>),
        authorization: Authorization,
        kubelet_tls: Option<ClientTls>,
        mut health: daemon::Health,
        address: SocketAddr,
        filters: Filters,
    ) -> Self {
        let panics = Counter::default();
        let help = "Requests that ended in a panic of their handler; each was answered with 500";
        let metrics = health.registry();
        metrics.register("apiserver_request_panics", help, panics.clone());
        authentication.register(metrics);
        authorization.register(metrics);
        registry.admission().register(metrics);
        register_cache(&registry, metrics);
        filters.requests.register(metrics);
        filters.limits.register(metrics);
        if let Some(audit) = &filters.audit {
            audit.register(metrics);
        }
        let tls_errors = Counter::default();
        let help = "Number of requests dropped with 'TLS handshake error from' error";
        metrics.register("apiserver_tls_handshake_errors", help, tls_errors.clone());
        Self {
            registry,
            authentication,
            authorization,
            issuer,
            kubelets: Kubelets::new(kubelet_tls, address.ip()),
            components: Components::default(),
            openapi: OpenApi::default(),
            health,
            address,
            panics,
            tls_errors,
            filters,
        }
    }

    /// Asks the members of the control plane at these addresses how they are, instead of at those where they are by default.
    pub fn with_components(mut self, components: Vec<(&'static str, SocketAddr)>) -> Self {
        self.components = Components::new(components);
        self
    }

    /// A panic ends this request and nothing else.
    pub(crate) async fn guarded<T>(&self, what: &str, answer: impl Future<Output = T>) -> Result<T, Status> {
        Guarded::new(answer).await.map_err(|why| {
            self.panics.inc();
            tracing::error!("{what}: the handler panicked: {why}");
            Status::internal(format!("this request could not be handled: {what}"))
        })
    }

    /// A request as it comes from a connection: by the user of its certificate, if it has shown one, from this address.
    pub async fn receive<B: RequestBody>(
        &self,
        certificate: Option<&Arc<User>>,
        peer: Option<IpAddr>,
        request: http::Request<B>,
    ) -> Response<Body> {
        let user = match self.authentication.user(certificate, request.headers()).await {
            Err(_) if authorization::is_open(request.uri().path()) => Ok(Arc::default()),
            user => user,
        };
        self.handle_from(user, peer, request).await
    }

    /// A request of a user who is known already.
    pub async fn handle<B: RequestBody>(&self, user: Arc<User>, request: http::Request<B>) -> Response<Body> {
        self.handle_from(Ok(user), None, request).await
    }

    async fn handle_from<B: RequestBody>(
        &self,
        user: Result<Arc<User>, Status>,
        peer: Option<IpAddr>,
        request: http::Request<B>,
    ) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let (user, refused) = match user {
            Ok(user) => (user, None),
            Err(status) => (Arc::default(), Some(status)),
        };
        let query = Query::parse(parts.uri.query());
        let attributes = Attributes::of_request(user, &parts.method, parts.uri.path(), &query);
        let catalog = self.registry.catalog();
        let mut attributes = attributes.in_catalog(&catalog, &query);
        let arrival = Arrival::new(&self.filters, &parts.uri, &parts.headers, peer);
        let dry_run = DryRun::of(query.list("dryRun"));
        let headers = &parts.headers;
        let mut exchange = Exchange::begin(&self.filters, &catalog, &arrival, &mut attributes, headers, dry_run);
        let mut request = Request {
            attributes,
            method: parts.method,
            query,
            raw_query: parts.uri.query().unwrap_or("").to_owned(),
            headers: parts.headers,
        };
        if let Some(status) = refused {
            let response = refusal(&request, &status);
            exchange.unauthenticated(&request.headers, response.status());
            return with_id(response, arrival.id);
        }
        exchange.received();
        let what = format!("{} {}", request.method, request.attributes.path);
        let answer = self.admitted(&mut request, &mut exchange, body);
        let response = match self.guarded(&what, answer).await {
            Ok(Ok(response)) => response,
            Ok(Err(status)) => {
                if let Some(record) = exchange.record() {
                    record.refused(&status);
                }
                refusal(&request, &status)
            }
            Err(panic) => {
                exchange.panicked(&panic);
                refusal(&request, &panic)
            }
        };
        let response = if pretty::wanted(&request) { pretty::print(response).await } else { response };
        exchange.answer(arrival.id, response)
    }

    /// As the user whom the request names, if there is room for it.
    async fn admitted<B: RequestBody>(
        &self,
        request: &mut Request,
        exchange: &mut Exchange,
        body: B,
    ) -> Result<Response<Body>, Status> {
        let user = request.attributes.user.clone();
        let wanted = impersonate(user.clone(), &request.headers, &self.authorization).await?;
        if let Some(record) = exchange.record().filter(|_| !Arc::ptr_eq(&user, &wanted)) {
            record.impersonates(&wanted);
        }
        request.attributes.user = wanted;
        if exchange.enter(&self.filters.limits, &request.attributes).is_err() {
            return Ok(too_many());
        }
        self.answer(request, exchange.record().map(Arc::as_ref), body).await
    }

    /// The body is read before anything is refused: a client that still sends would see a broken stream instead of the answer.
    async fn answer<B: RequestBody>(
        &self,
        request: &Request,
        record: Option<&Record>,
        body: B,
    ) -> Result<Response<Body>, Status> {
        let body = match request.method {
            Method::GET | Method::HEAD => Bytes::new(),
            _ => read_body(body).await?,
        };
        if let Some(record) = record {
            record.request(text_of(&request.headers, header::CONTENT_TYPE), &body);
        }
        if !authorization::is_open(&request.attributes.path) {
            self.authorization.check(&request.attributes).await?;
        }
        match &request.attributes.resource {
            Some(about) => self.resource(request, about, body).await,
            None => self.document(request).await,
        }
    }

    async fn resource(
        &self,
        request: &Request,
        about: &ResourceAttributes,
        body: Bytes,
    ) -> Result<Response<Body>, Status> {
        let catalog = self.registry.catalog();
        let served = catalog.find(&about.group, &about.version, &about.resource).filter(|form| form.on);
        let served = served.ok_or_else(Status::no_such_resource)?;
        if let Some(review) = served.review {
            if review == Review::ComponentStatus {
                return self.component_statuses(request, served, about).await;
            }
            if request.attributes.verb != "create" || !about.name.is_empty() {
                let method = request.method.as_str().to_lowercase();
                return Err(Status::method_not_allowed(served.group, served.plural, &method));
            }
            if review == Review::Binding {
                return self.bind_named(request, served, &about.namespace, body).await;
            }
            return self.review(request, served, review, body).await;
        }
        let target = self.registry.target_of(about)?;
        let (resource, form, verb) = (target.resource(), target.form(), &*request.attributes.verb);
        let collection = matches!(verb, "list" | "watch" | "deletecollection") || about.name.is_empty();
        if !about.rest.is_empty() || (resource.namespaced && !collection && about.namespace.is_empty()) {
            return Err(Status::no_such_resource());
        }
        // Of kinds without a namespace only namespaces have one in their path: themselves.
        if !resource.namespaced && !about.namespace.is_empty() && about.namespace != about.name {
            return Err(Status::no_such_resource());
        }
        let refused = || {
            let method = request.method.as_str().to_lowercase();
            Status::method_not_allowed(resource.group, resource.plural, &method)
        };
        // Over all namespaces one can only read.
        if resource.namespaced && about.namespace.is_empty() && !matches!(verb, "list" | "watch") {
            return Err(refused());
        }
        if about.subresource.is_empty() {
            if !form.own_verbs().contains(&verb) {
                return Err(refused());
            }
            return match (verb, collection) {
                ("list", _) => self.list(request, &target).await,
                ("watch", _) => self.watch(request, &target).await,
                ("get", false) => self.get(request, &target, None).await,
                ("create", true) => self.create(request, &target, body).await,
                ("update", false) => self.replace(request, &target, None, body).await,
                ("patch", false) if is_apply(&request.headers) => self.apply(request, &target, None, body).await,
                ("patch", false) => self.patch(request, &target, None, body).await,
                ("deletecollection", _) => self.delete_collection(request, &target, body).await,
                ("delete", false) => self.delete(request, &target, body).await,
                _ => Err(refused()),
            };
        }
        let sub = form.subresource(&about.subresource).ok_or_else(Status::no_such_resource)?;
        if !sub.verbs.contains(&verb) {
            return Err(refused());
        }
        match (&sub.handler, verb) {
            (Handler::View(view), "get") => self.get(request, &target, Some((sub, view))).await,
            (Handler::View(view), "update") => self.replace(request, &target, Some((sub, view)), body).await,
            (Handler::View(view), "patch") if is_apply(&request.headers) => {
                self.apply(request, &target, Some((sub, view)), body).await
            }
            (Handler::View(view), "patch") => self.patch(request, &target, Some((sub, view)), body).await,
            (Handler::View(_), _) => Err(refused()),
            (Handler::Bind, _) => self.bind(request, &target, body).await,
            (Handler::Ask(change), _) => self.ask(request, &target, (sub, *change), body).await,
            (Handler::Logs, _) => self.logs(request, &target).await,
            (Handler::Token, _) => self.token(request, &target, body).await,
        }
    }
}

/// As upstream tells it: the one refusal that is no Status.
fn too_many() -> Response<Body> {
    let mut response =
        respond(StatusCode::TOO_MANY_REQUESTS, "text/plain; charset=utf-8", format!("{TOO_MANY}\n").into_bytes());
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

async fn read_body<B: RequestBody>(body: B) -> Result<Bytes, Status> {
    let mut body = std::pin::pin!(body);
    let (mut read, mut size) = (BytesMut::new(), 0);
    let reading = async {
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|e| Status::bad_request(format!("the body could not be read: {}", e.into())))?;
            let Ok(data) = frame.into_data() else { continue };
            size += data.len();
            if size <= MAX_BODY {
                read.extend_from_slice(&data);
            } else if size <= MAX_DRAINED {
                // The rest is read and dropped: a client that still sends does not see the answer.
                read.clear();
            } else {
                break;
            }
        }
        if size > MAX_BODY {
            return Err(Status::too_large(format!("Request entity too large: limit is {MAX_BODY} bytes")));
        }
        Ok(std::mem::take(&mut read).freeze())
    };
    let late = |_| Status::bad_request(format!("the body did not arrive within {} s", BODY_TIMEOUT.as_secs()));
    tokio::time::timeout(BODY_TIMEOUT, reading).await.map_err(late)?
}

/// Warnings travel in headers, one each (RFC 9111's code 299).
fn with_warnings(mut response: Response<Body>, warnings: &[String]) -> Response<Body> {
    for warning in warnings {
        let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = format!("299 - \"{quoted}\"").parse() {
            response.headers_mut().append(header::WARNING, value);
        }
    }
    response
}
