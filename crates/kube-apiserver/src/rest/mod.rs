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
mod options;
mod pretty;
mod reviews;
mod watch;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use api::catalog::{Handler, Review};
use api::status::Status;
use bytes::{Bytes, BytesMut};
use daemon::panics::Guarded;
use daemon::tls::ClientTls;
use http::{HeaderMap, Method, Response, header};
use http_body_util::BodyExt;
use prometheus_client::metrics::counter::Counter;

use crate::attributes::{Attributes, ResourceAttributes, User};
use crate::authentication::{Authentication, Issuer};
use crate::authorization::{self, Authorization};
use crate::kubelet::Kubelets;
use crate::registry::{Context, Registry};
use crate::request::Query;
use crate::server::Body;

pub use api::patch::Patch;
use apply::is_apply;
pub(crate) use apply::{Applying, check_manager, configuration, manager_of};
pub use codec::{Media, in_version};
use components::Components;
pub use decode::{Expected, FieldValidation, fit, read};
pub use negotiate::failure;
use negotiate::refusal;
pub(crate) use objects::rules;

/// As upstream: what etcd takes, and then some for patches.
const MAX_BODY: usize = 3 * 1024 * 1024;
/// Of a body that is too large.
const MAX_DRAINED: usize = 64 * 1024 * 1024;
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// What the API serves, whoever asks.
pub struct Rest {
    pub(crate) registry: Arc<Registry>,
    pub(crate) authentication: Authentication,
    pub(crate) authorization: Authorization,
    /// Makes tokens of service accounts, where a key for them is given.
    issuer: Option<Issuer>,
    kubelets: Kubelets,
    components: Components,
    health: daemon::Health,
    /// Told to clients that ask where the API is.
    address: SocketAddr,
    panics: Counter,
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
        authentication: Authentication,
        authorization: Authorization,
        issuer: Option<Issuer>,
        kubelet_tls: Option<ClientTls>,
        mut health: daemon::Health,
        address: SocketAddr,
    ) -> Self {
        let panics = Counter::default();
        let help = "Requests that ended in a panic of their handler; each was answered with 500";
        health.registry().register("apiserver_request_panics", help, panics.clone());
        Self {
            registry,
            authentication,
            authorization,
            issuer,
            kubelets: Kubelets::new(kubelet_tls, address.ip()),
            components: Components::default(),
            health,
            address,
            panics,
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

    pub async fn handle<B>(&self, user: Arc<User>, request: http::Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (parts, body) = request.into_parts();
        let query = Query::parse(parts.uri.query());
        let attributes = Attributes::of_request(user, &parts.method, parts.uri.path(), &query);
        let attributes = attributes.in_catalog(&self.registry.catalog(), &query);
        let request = Request {
            attributes,
            method: parts.method,
            query,
            raw_query: parts.uri.query().unwrap_or("").to_owned(),
            headers: parts.headers,
        };
        let what = format!("{} {}", request.method, request.attributes.path);
        let result = self.guarded(&what, self.answer(&request, body)).await;
        let response = result.flatten().unwrap_or_else(|status| refusal(&request, &status));
        if pretty::wanted(&request) { pretty::print(response).await } else { response }
    }

    /// The body is read before anything is refused: a client that still sends would see a broken stream instead of the answer.
    async fn answer<B>(&self, request: &Request, body: B) -> Result<Response<Body>, Status>
    where
        B: http_body::Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let body = match request.method {
            Method::GET | Method::HEAD => Bytes::new(),
            _ => read_body(body).await?,
        };
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

async fn read_body<B>(body: B) -> Result<Bytes, Status>
where
    B: http_body::Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
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
