//! Keeps the kernel's rules what the services and endpoints say. Changes are gathered while one transaction runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use client::{Key, Store, Stored};
use daemon::LogOnce;
use k8s_openapi::api::core::v1::{Endpoints, Service};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::kernel;
use crate::model::ports;
use crate::rules::{Rules, Shared, skeleton};

/// After nft failed; the whole table is then written anew.
const RETRY: Duration = Duration::from_secs(1);

/// Names of services that may have changed.
#[derive(Default)]
pub struct Dirty {
    names: std::sync::Mutex<BTreeSet<Key>>,
    wake: Notify,
}

impl Dirty {
    pub fn mark(&self, key: Key) {
        self.names.lock().expect("no holder panics").insert(key);
        self.wake.notify_one();
    }

    fn take(&self) -> BTreeSet<Key> {
        std::mem::take(&mut self.names.lock().expect("no holder panics"))
    }
}

pub struct Proxier {
    pub services: Store<Service>,
    pub endpoints: Store<Endpoints>,
    pub dirty: Arc<Dirty>,
    pub node: String,
    pub table: String,
    pub pod_range: Option<String>,
}

/// What the kernel has.
#[derive(Default)]
struct Applied {
    services: BTreeMap<Key, Rules>,
    shared: Shared,
}

impl Proxier {
    pub async fn run(self, token: CancellationToken) {
        tokio::select! {
            () = token.cancelled() => return,
            () = async { self.services.wait_synced().await; self.endpoints.wait_synced().await } => {}
        }
        let trouble = LogOnce::new();
        let mut applied: Option<Applied> = None;
        loop {
            // Marks come in the order of changes: what is marked after this is seen in the next turn.
            let dirty = self.dirty.take();
            let (script, next) = match applied.take() {
                Some(state) if dirty.is_empty() => {
                    applied = Some(state);
                    tokio::select! {
                        () = token.cancelled() => return,
                        () = self.dirty.wake.notified() => continue,
                    }
                }
                Some(state) => self.change(state, dirty),
                None => self.everything(),
            };
            if script.is_empty() {
                applied = Some(next);
                continue;
            }
            match kernel::apply(&script).await {
                Ok(()) => {
                    trouble.over("the rules are written again");
                    applied = Some(next);
                }
                Err(error) => {
                    trouble.trouble(format_args!("{error}; writing all rules anew until it succeeds"));
                    tokio::select! {
                        () = token.cancelled() => return,
                        () = tokio::time::sleep(RETRY) => {}
                    }
                }
            }
        }
    }

    fn rules(&self, key: &Key) -> Rules {
        let Some(service) = self.services.by_key(key) else { return Rules::default() };
        let endpoints = self.endpoints.by_key(key);
        Rules::of(&ports(&service, endpoints.as_deref(), &self.node), self.pod_range.as_deref())
    }

    fn change(&self, mut state: Applied, dirty: BTreeSet<Key>) -> (String, Applied) {
        let mut script = String::new();
        for key in dirty {
            let old = state.services.remove(&key).unwrap_or_default();
            let new = self.rules(&key);
            script.push_str(&state.shared.change(&self.table, &old, &new));
            if new != Rules::default() {
                state.services.insert(key, new);
            }
        }
        (script, state)
    }

    /// The first time, and when the kernel's state is not known for sure.
    fn everything(&self) -> (String, Applied) {
        let keys = self.services.list().iter().map(|service| service.key()).collect();
        let (script, state) = self.change(Applied::default(), keys);
        (format!("{}{script}", skeleton(&self.table)), state)
    }
}
