//! Whether a request is REST or a call over gRPC, as both live on the same port; and for calls what REST does for itself: who calls, as whom,
//! and what everybody's requests pass.

use std::net::IpAddr;
use std::sync::Arc;

use http::{Request, Response, StatusCode, header};
use rpc::resource::resources_server::ResourcesServer;
use tower_service::Service;

use super::Body;
use crate::attributes::{Attributes, User};
use crate::authentication::impersonate;
use crate::exchange::{Arrival, Call, Exchange, with_id};
use crate::grpc::Grpc;
use crate::metrics::DryRun;
use crate::request::Query;
use crate::rest::{RequestBody, Rest};

/// As daemons send it: an object of etcd's size, and then some.
const MAX_MESSAGE: usize = 4 * 1024 * 1024;

/// What answers the requests of one connection.
#[derive(Clone)]
pub struct Front {
    rest: Arc<Rest>,
    grpc: ResourcesServer<Grpc>,
    certificate: Option<Arc<User>>,
    peer: Option<IpAddr>,
}

impl Front {
    /// `certificate`: the user of the one that TLS has verified. `peer`: where the connection comes from.
    pub fn new(rest: Arc<Rest>, certificate: Option<Arc<User>>, peer: Option<IpAddr>) -> Self {
        let grpc = Grpc::new(rest.registry.clone(), rest.authorization.clone(), rest.filters.clone());
        let grpc =
            ResourcesServer::new(grpc).max_decoding_message_size(MAX_MESSAGE).max_encoding_message_size(usize::MAX);
        Self { rest, grpc, certificate, peer }
    }

    pub async fn answer<B>(mut self, request: Request<B>) -> Response<Body>
    where
        B: RequestBody<Error: Send> + 'static,
    {
        let content_type = request.headers().get(header::CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
        if content_type.starts_with(b"application/grpc") {
            return self.call(request).await;
        }
        self.rest.receive(self.certificate.as_ref(), self.peer, request).await
    }

    /// Authentication is the first of the layers; the others need to know what is asked for.
    async fn call<B>(&mut self, request: Request<B>) -> Response<Body>
    where
        B: RequestBody<Error: Send> + 'static,
    {
        let (mut parts, body) = request.into_parts();
        let (headers, filters) = (&parts.headers, &self.rest.filters);
        let arrival = Arrival::new(filters, &parts.uri, headers, self.peer);
        let id = arrival.id.clone();
        let refused = |user: Option<Arc<User>>, status: tonic::Status| {
            let response = status.into_http::<tonic::body::Body>().map(Body::Grpc);
            let known = user.is_some();
            let (user, path) = (user.unwrap_or_default(), parts.uri.path());
            let mut attributes = Attributes::of_request(user, &parts.method, path, &Query::default());
            let catalog = self.rest.registry.catalog();
            let exchange = Exchange::begin(filters, &catalog, &arrival, &mut attributes, headers, DryRun::No);
            if known {
                return exchange.answer_call(id.clone(), response);
            }
            exchange.unauthenticated(headers, StatusCode::UNAUTHORIZED);
            with_id(response, id.clone())
        };
        let Ok(user) = self.rest.authentication.user(self.certificate.as_ref(), headers).await else {
            let why = "a client certificate of --client-ca-file or a token is required";
            return refused(None, tonic::Status::unauthenticated(why));
        };
        let wanted = match impersonate(user.clone(), headers, &self.rest.authorization).await {
            Ok(wanted) => wanted,
            Err(status) => return refused(Some(user), tonic::Status::permission_denied(status.message)),
        };
        let by = (!Arc::ptr_eq(&user, &wanted)).then_some(user);
        let what = parts.uri.path().to_owned();
        let call = Call::new(filters, wanted, by, arrival, headers);
        parts.extensions.insert(call.clone());
        let request = Request::from_parts(parts, body);
        let answer = self.rest.guarded(&what, self.grpc.call(request)).await;
        let mut exchange = call.take();
        let response = match answer {
            Ok(Ok(response)) => response.map(Body::Grpc),
            Ok(Err(never)) => match never {},
            Err(status) => {
                if let Some(exchange) = &mut exchange {
                    exchange.panicked(&status);
                }
                tonic::Status::internal(status.message).into_http::<tonic::body::Body>().map(Body::Grpc)
            }
        };
        match exchange {
            Some(exchange) => exchange.answer_call(id, response),
            // What is no call of ours, or none that can be read.
            None => with_id(response, id),
        }
    }
}
