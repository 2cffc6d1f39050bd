//! What a test makes go wrong between kube-apiserver and its clients, and what these have called.
//!
//! It passes calls on as they are and knows nothing of objects.

use std::collections::{HashMap, VecDeque};
use std::fmt::Display;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use rpc::resource::{
    self as pb, resources_client::ResourcesClient, resources_server::Resources, resources_server::ResourcesServer,
};
use tokio::io::DuplexStream;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Server};
use tonic::{Request, Response, Status, Streaming};

use api::status::Status as Refusal;

type Reply<T> = Result<Response<T>, Status>;
type Batches<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
/// Bindings of one stream that are under way.
const BINDINGS: usize = 64;

/// A refusal as kube-apiserver says it.
pub fn refused(status: Refusal) -> Status {
    kube_apiserver::grpc::status(status)
}

#[derive(Clone, Default)]
pub(crate) struct Faults(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Counts how often the watches have been broken.
    broken: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    failures: HashMap<&'static str, VecDeque<Status>>,
    lag: Duration,
    calls: Vec<String>,
}

impl Faults {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn fail(&self, call: &'static str, status: Status) {
        self.state().failures.entry(call).or_default().push_back(status);
    }

    pub(crate) fn break_watches(&self) {
        self.0.broken.send_modify(|times| *times += 1);
    }

    pub(crate) fn lag(&self, lag: Duration) {
        self.state().lag = lag;
    }

    pub(crate) fn calls(&self) -> Vec<String> {
        self.state().calls.clone()
    }

    /// Notes the call; fails where that is what the test wants.
    fn begin(&self, call: &'static str, what: impl Display) -> Result<(), Status> {
        let mut state = self.state();
        state.calls.push(format!("{call} {what}"));
        state.failures.get_mut(call).and_then(VecDeque::pop_front).map_or(Ok(()), Err)
    }
}

/// Between a client and the server.
#[derive(Clone)]
pub(crate) struct Between {
    server: ResourcesClient<Channel>,
    faults: Faults,
}

impl Between {
    pub(crate) fn new(server: Channel, faults: Faults) -> Self {
        Self { server: ResourcesClient::new(server).max_decoding_message_size(usize::MAX), faults }
    }

    pub(crate) async fn serve(self, stream: DuplexStream) {
        let service = ResourcesServer::new(self).max_decoding_message_size(usize::MAX);
        let incoming = stream::iter([Ok::<_, std::io::Error>(stream)]);
        // The connection goes on in a task of its own until its client ends it.
        if let Err(error) = Server::builder().add_service(service).serve_with_incoming(incoming).await {
            panic!("nobody can connect to the server of the test: {error}");
        }
    }

    fn server(&self) -> ResourcesClient<Channel> {
        self.server.clone()
    }
}

/// The request with what it says of its client, and nothing of the connection.
fn onward<T>(request: Request<T>) -> Request<T> {
    let (metadata, _, message) = request.into_parts();
    Request::from_parts(metadata, Default::default(), message)
}

/// `resource/name/subresource`, as far as these are told.
fn about(resource: Option<&pb::Resource>) -> String {
    let Some(resource) = resource else { return String::new() };
    let parts = [&resource.resource, &resource.name, &resource.subresource];
    parts.iter().filter(|part| !part.is_empty()).map(|part| part.as_str()).collect::<Vec<_>>().join("/")
}

/// What comes of a stream until the watches break; each item is held up for as long as watches lag.
fn breakable<T: Send + 'static>(faults: Faults, items: Streaming<T>) -> Batches<T> {
    let broken = faults.0.broken.subscribe();
    Box::pin(stream::unfold(Some((items, broken)), move |state| {
        let faults = faults.clone();
        async move {
            let (mut items, mut broken) = state?;
            let next = async {
                let item = items.message().await;
                let lag = faults.state().lag;
                if !lag.is_zero() {
                    tokio::time::sleep(lag).await;
                }
                item
            };
            tokio::select! {
                biased;
                _ = broken.changed() => Some((Err(Status::unavailable("the connection is lost")), None)),
                item = next => match item {
                    Ok(item) => Some((Ok(item?), Some((items, broken)))),
                    Err(status) => Some((Err(status), None)),
                },
            }
        }
    }))
}

#[tonic::async_trait]
impl Resources for Between {
    type DiscoverStream = Streaming<pb::Discovery>;
    type ListStream = Streaming<pb::ListBatch>;
    type WatchStream = Batches<pb::WatchBatch>;
    type BindPodsStream = ReceiverStream<Result<pb::PodBindingResult, Status>>;

    async fn discover(&self, request: Request<pb::DiscoverRequest>) -> Reply<Self::DiscoverStream> {
        self.faults.begin("discover", "")?;
        self.server().discover(onward(request)).await
    }

    async fn get(&self, request: Request<pb::Resource>) -> Reply<pb::Object> {
        self.faults.begin("get", about(Some(request.get_ref())))?;
        self.server().get(onward(request)).await
    }

    async fn list(&self, request: Request<pb::ListRequest>) -> Reply<Self::ListStream> {
        self.faults.begin("list", about(request.get_ref().resource.as_ref()))?;
        self.server().list(onward(request)).await
    }

    async fn watch(&self, request: Request<pb::WatchRequest>) -> Reply<Self::WatchStream> {
        let asked = request.get_ref();
        let what = format!("{} {}", about(asked.resource.as_ref()), asked.resource_version);
        self.faults.begin("watch", what)?;
        let batches = self.server().watch(onward(request)).await?;
        Ok(batches.map(|batches| breakable(self.faults.clone(), batches)))
    }

    async fn create(&self, request: Request<pb::WriteRequest>) -> Reply<pb::Object> {
        self.faults.begin("create", about(request.get_ref().resource.as_ref()))?;
        self.server().create(onward(request)).await
    }

    async fn update(&self, request: Request<pb::WriteRequest>) -> Reply<pb::Object> {
        self.faults.begin("update", about(request.get_ref().resource.as_ref()))?;
        self.server().update(onward(request)).await
    }

    async fn patch(&self, request: Request<pb::PatchRequest>) -> Reply<pb::Object> {
        self.faults.begin("patch", about(request.get_ref().resource.as_ref()))?;
        self.server().patch(onward(request)).await
    }

    async fn delete(&self, request: Request<pb::DeleteRequest>) -> Reply<pb::Object> {
        self.faults.begin("delete", about(request.get_ref().resource.as_ref()))?;
        self.server().delete(onward(request)).await
    }

    /// Each binding is a call; those that fail do not come to the server.
    async fn bind_pods(&self, request: Request<Streaming<pb::PodBinding>>) -> Reply<Self::BindPodsStream> {
        let (metadata, _, mut asked) = request.into_parts();
        let (results, receiver) = mpsc::channel(BINDINGS);
        let (passed, bindings) = mpsc::channel(BINDINGS);
        let (faults, failed) = (self.faults.clone(), results.clone());
        // Both tasks end with the stream of who binds, or when he reads no more results.
        tokio::spawn(async move {
            while let Ok(Some(binding)) = asked.message().await {
                let what = format!("pods/{} {}", binding.pod, binding.node);
                let sent = match faults.begin("bind", what) {
                    Ok(()) => passed.send(binding).await.is_ok(),
                    Err(status) => {
                        let status_json = status.details().to_vec().into();
                        failed.send(Ok(pb::PodBindingResult { id: binding.id, status_json })).await.is_ok()
                    }
                };
                if !sent {
                    break;
                }
            }
        });
        let onward = Request::from_parts(metadata, Default::default(), ReceiverStream::new(bindings));
        let mut bound = self.server().bind_pods(onward).await?.into_inner();
        tokio::spawn(async move {
            while let Some(result) = bound.next().await {
                if results.send(result).await.is_err() {
                    break;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}
