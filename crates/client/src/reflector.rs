//! A mirror of a collection in memory, kept by a watch.
//!
//! One writer, [`Reflector`], and many readers, [`Store`]. How the watch recovers is [`State`], and nothing else.
mod state;
mod store;

use std::{marker::PhantomData, sync::Arc, time::Duration};

use daemon::LogOnce;
use rpc::resource::{WatchBatch, WatchEvent, watch_event::Type};
use tokio_util::sync::CancellationToken;
use tonic::Streaming;

pub use state::{Broken, State};
pub use store::{Change, Store};

use crate::{Backoff, Client, Error, Object, ResourceRef, Selectors, Stored};

type Trim<K> = Box<dyn Fn(&mut K) + Send + Sync>;

/// Between attempts to reach kube-apiserver.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));

pub struct Reflector<K> {
    client: Client,
    resource: ResourceRef,
    selectors: Selectors,
    trim: Option<Trim<K>>,
    store: Store<K>,
    log: LogOnce,
    kind: PhantomData<fn() -> K>,
}

impl<K: Object> Reflector<K> {
    /// Mirrors all objects of the type, until told otherwise.
    pub fn new(client: &Client) -> Self {
        Self::of(client, K::RESOURCE)
    }
}

impl<K: Stored> Reflector<K> {
    /// Mirrors a part of the objects of a resource: `K` names the fields that are wanted.
    pub fn of(client: &Client, resource: ResourceRef) -> Self {
        Self {
            client: client.clone(),
            resource,
            selectors: Selectors::default(),
            trim: None,
            store: Store::default(),
            log: LogOnce::new(),
            kind: PhantomData,
        }
    }

    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.selectors.namespace = namespace.into();
        self
    }

    pub fn labels(mut self, selector: impl Into<String>) -> Self {
        self.selectors.labels = selector.into();
        self
    }

    pub fn fields(mut self, selector: impl Into<String>) -> Self {
        self.selectors.fields = selector.into();
        self
    }

    /// Applied to each object before it is stored: what nobody reads need not take memory. Managed fields go in any case.
    pub fn trim(mut self, trim: impl Fn(&mut K) + Send + Sync + 'static) -> Self {
        self.trim = Some(Box::new(trim));
        self
    }

    /// Adds an index: the object is found under each of the values.
    pub fn index(self, name: &'static str, values: impl Fn(&K) -> Vec<String> + Send + Sync + 'static) -> Self {
        self.store.add_index(name, Box::new(values));
        self
    }

    /// The readers' side.
    pub fn store(&self) -> Store<K> {
        self.store.clone()
    }

    /// Mirrors until the token is cancelled.
    pub async fn run(self, token: CancellationToken) {
        let mirror = async {
            let mut state = State::Start;
            let mut failures = 0;
            loop {
                let (next, reason) = self.watch(state, &mut failures).await;
                self.store.set_live(false);
                state = next;
                // A watch that ends for no reason, as each does now and then, is resumed at once the first time.
                if let Some(error) = reason {
                    match &error {
                        // The connection says so once for all watches.
                        Error::Unreachable(_) => tracing::debug!("watch of {}: {error}", self.resource),
                        error if error.is_expired() => tracing::info!("watch of {}: {error}; listing", self.resource),
                        _ => drop(self.log.trouble(format_args!("watch of {}: {error}; trying again", self.resource))),
                    }
                    tokio::time::sleep(BACKOFF.delay(failures)).await;
                    failures += 1;
                }
            }
        };
        tokio::select! {
            _ = token.cancelled() => {}
            () = mirror => {}
        }
    }

    /// Follows one watch to its end. Returns from where the next one goes on, and what went wrong.
    async fn watch(&self, mut state: State, failures: &mut u32) -> (State, Option<Error>) {
        let mut batches = match self.open(&state).await {
            Ok(batches) => batches,
            Err(error) => return (state.broken(Broken::by(&error)), Some(error)),
        };
        let mut progressed = false;
        loop {
            match batches.message().await {
                Ok(Some(batch)) => {
                    let synced = batch.synced;
                    state = self.apply(state, batch);
                    // Not before what was missed is here.
                    if synced {
                        self.store.set_live(true);
                    }
                    if !progressed {
                        progressed = true;
                        *failures = 0;
                        self.log.over(format_args!("watch of {} goes on", self.resource));
                    }
                }
                Ok(None) if progressed => return (state.broken(Broken::Connection), None),
                Ok(None) => {
                    let error = Error::Unavailable("the watch ended before it began".to_owned());
                    return (state.broken(Broken::Connection), Some(error));
                }
                Err(status) => {
                    let error = Error::from(status);
                    return (state.broken(Broken::by(&error)), Some(error));
                }
            }
        }
    }

    async fn open(&self, state: &State) -> Result<Streaming<WatchBatch>, Error> {
        self.client.watch(self.resource, &self.selectors, state.revision()).await
    }

    fn apply(&self, mut state: State, batch: WatchBatch) -> State {
        for event in batch.events {
            self.apply_event(&mut state, event);
        }
        if !batch.synced && matches!(state, State::Start) {
            state = State::listing();
        }
        if !batch.synced && state.is_listing() {
            return state;
        }
        // What was there before the list and is not in it has been deleted meanwhile.
        if let State::Listing { seen } = &state {
            self.store.retain(|key| seen.contains(key));
        } else if matches!(state, State::Start) {
            self.store.retain(|_| false);
        }
        self.store.set_synced();
        State::Following { revision: batch.revision.max(state.revision()) }
    }

    fn apply_event(&self, state: &mut State, event: WatchEvent) {
        let deleted = event.r#type() == Type::Deleted;
        let mut object: K = match serde_json::from_slice(&event.json) {
            Ok(object) => object,
            Err(error) => {
                self.log.trouble(format_args!("an object of {} can't be read: {error}", self.resource));
                return;
            }
        };
        object.meta_mut().managed_fields = None;
        if let Some(trim) = &self.trim {
            trim(&mut object);
        }
        let key = object.key();
        state.saw(&key, deleted);
        if deleted {
            self.store.remove(&key, Some(Arc::new(object)));
        } else {
            self.store.put(key, Arc::new(object));
        }
    }
}
