//! Binds pods to nodes over one stream, many at a time.
use std::{collections::HashMap, sync::Arc, sync::Mutex, sync::PoisonError};

use daemon::LogOnce;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use rpc::resource::{PodBinding, PodBindingResult};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use crate::{Client, Error, Result};

/// So many bindings may wait for the stream to take them.
const QUEUE: usize = 1024;

/// One pod and its node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    pub namespace: String,
    pub pod: String,
    pub uid: String,
    pub node: String,
}

/// Cheap to clone; all clones share the stream that [`Binder::run`] keeps.
#[derive(Clone, Debug)]
pub struct Binder {
    requests: mpsc::Sender<(Binding, oneshot::Sender<Result<()>>)>,
}

/// The other end of all [`Binder`]s.
#[derive(Debug)]
pub struct BinderTask {
    client: Client,
    requests: mpsc::Receiver<(Binding, oneshot::Sender<Result<()>>)>,
}

type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<Result<()>>>>>;

impl Binder {
    pub fn new(client: &Client) -> (Self, BinderTask) {
        let (sender, requests) = mpsc::channel(QUEUE);
        (Self { requests: sender }, BinderTask { client: client.clone(), requests })
    }

    /// Ends when kube-apiserver has answered. After an error by which it could not be reached, the pod may be bound or not:
    /// the watch tells.
    pub async fn bind(&self, binding: Binding) -> Result<()> {
        let (sender, result) = oneshot::channel();
        let ended = || Error::Unavailable("bindings have ended".to_owned());
        self.requests.send((binding, sender)).await.map_err(|_| ended())?;
        result.await.map_err(|_| ended())?
    }
}

impl BinderTask {
    /// Keeps the stream until the token is cancelled; opens it with the first binding, and anew when it breaks.
    pub async fn run(mut self, token: CancellationToken) {
        let log = LogOnce::new();
        let work = async {
            let mut id = 0;
            while let Some(first) = self.requests.recv().await {
                let waiting = Waiting::default();
                let result = self.stream(first, &waiting, &mut id).await;
                match &result {
                    Err(error) => log.trouble(format_args!("bindings: {error}")),
                    Ok(()) => log.over("bindings go on"),
                };
                let error =
                    result.err().unwrap_or_else(|| Error::Unavailable("the stream of bindings ended".to_owned()));
                for (_, waiter) in lock(&waiting).drain() {
                    // Nobody may wait any more.
                    let _ = waiter.send(Err(error.clone()));
                }
            }
        };
        tokio::select! {
            _ = token.cancelled() => {}
            () = work => {}
        }
    }

    /// One stream until it breaks.
    async fn stream(
        &mut self,
        first: (Binding, oneshot::Sender<Result<()>>),
        waiting: &Waiting,
        id: &mut u64,
    ) -> Result<()> {
        let (sender, outgoing) = mpsc::channel::<PodBinding>(QUEUE);
        let mut post = |(binding, waiter): (Binding, oneshot::Sender<Result<()>>)| {
            *id += 1;
            lock(waiting).insert(*id, waiter);
            let Binding { namespace, pod, uid, node } = binding;
            PodBinding { id: *id, namespace, pod, uid, node }
        };
        // The channel is empty: this can't fail.
        let _ = sender.try_send(post(first));
        let mut results = self.client.resources().bind_pods(ReceiverStream::new(outgoing)).await?.into_inner();
        loop {
            tokio::select! {
                result = results.message() => match result? {
                    None => return Ok(()),
                    Some(result) => answer(waiting, result),
                },
                permit = sender.reserve() => {
                    let Ok(permit) = permit else { return Ok(()) };
                    tokio::select! {
                        result = results.message() => match result? {
                            None => return Ok(()),
                            Some(result) => answer(waiting, result),
                        },
                        request = self.requests.recv() => match request {
                            None => return Ok(()),
                            Some(request) => permit.send(post(request)),
                        },
                    }
                }
            }
        }
    }
}

fn lock(waiting: &Waiting) -> std::sync::MutexGuard<'_, HashMap<u64, oneshot::Sender<Result<()>>>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

fn answer(waiting: &Waiting, result: PodBindingResult) {
    let Some(waiter) = lock(waiting).remove(&result.id) else { return };
    let outcome = if result.status_json.is_empty() {
        Ok(())
    } else {
        match serde_json::from_slice::<Status>(&result.status_json) {
            Ok(status) => Err(Error::Status(Box::new(status))),
            Err(error) => Err(Error::Decode { what: "Status", reason: error.to_string() }),
        }
    };
    // Nobody may wait any more.
    let _ = waiter.send(outcome);
}
