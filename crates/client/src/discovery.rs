//! Which resources there are, as kube-apiserver tells it. Nobody else keeps a list of kinds.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use daemon::LogOnce;
use rpc::resource as pb;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{Backoff, Client, Error, ResourceRef, Result};

const BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));

/// A resource in the version that is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiResource {
    pub resource: ResourceRef,
    pub kind: &'static str,
    pub namespaced: bool,
    pub verbs: Vec<String>,
}

impl ApiResource {
    pub fn can(&self, verb: &str) -> bool {
        self.verbs.iter().any(|one| one == verb)
    }

    fn new(resource: pb::ApiResource) -> Self {
        let pb::ApiResource { group, version, resource, kind, namespaced, verbs } = resource;
        let resource = ResourceRef { group: intern(&group), version: intern(&version), resource: intern(&resource) };
        Self { resource, kind: intern(&kind), namespaced, verbs }
    }
}

/// Names of resources are few and come again and again, so each is kept for good, once.
fn intern(name: &str) -> &'static str {
    static NAMES: LazyLock<Mutex<HashSet<&'static str>>> = LazyLock::new(Mutex::default);
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = names.get(name) {
        return known;
    }
    let kept: &'static str = name.to_owned().leak();
    names.insert(kept);
    kept
}

type Resources = Arc<Vec<ApiResource>>;

/// The reader's side: cheap to clone, always as new as the last answer.
#[derive(Clone)]
pub struct Discovery(watch::Receiver<Option<Resources>>);

impl Discovery {
    /// The resources, and what keeps them up to date until its token is cancelled.
    pub fn new(client: &Client) -> (Self, Discoverer) {
        let (sender, receiver) = watch::channel(None);
        (Self(receiver), Discoverer { client: client.clone(), sender, log: LogOnce::new() })
    }

    /// Waits for the first answer.
    pub async fn resources(&mut self) -> Resources {
        let known = self.0.wait_for(Option::is_some).await.map(|resources| resources.clone()).ok().flatten();
        match known {
            Some(resources) => resources,
            // The discoverer has ended, and with it the daemon.
            None => std::future::pending().await,
        }
    }

    /// Waits until the resources are others than those that were seen last.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending().await
        }
    }

    pub fn is_known(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// The resource of a kind, in whatever version the kind is named.
    pub async fn of_kind(&mut self, api_version: &str, kind: &str) -> Option<ApiResource> {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        let resources = self.resources().await;
        resources.iter().find(|one| one.kind == kind && one.resource.group == group).cloned()
    }
}

pub struct Discoverer {
    client: Client,
    sender: watch::Sender<Option<Resources>>,
    log: LogOnce,
}

impl Discoverer {
    pub async fn run(self, token: CancellationToken) {
        let follow = async {
            let mut failures = 0;
            loop {
                let ended = self.follow(&mut failures).await;
                match &ended {
                    // The connection says so once for all.
                    Error::Unreachable(_) => tracing::debug!("discovery: {ended}"),
                    _ => drop(self.log.trouble(format_args!("discovery: {ended}"))),
                }
                tokio::time::sleep(BACKOFF.delay(failures)).await;
                failures += 1;
            }
        };
        tokio::select! {
            () = token.cancelled() => {}
            () = follow => {}
        }
    }

    /// Follows the answers until they end, and tells why.
    async fn follow(&self, failures: &mut u32) -> Error {
        let mut answers = match self.client.discover().await {
            Ok(answers) => answers,
            Err(error) => return error,
        };
        loop {
            match answers.message().await {
                Ok(Some(discovery)) => {
                    *failures = 0;
                    self.log.over("discovery goes on");
                    let resources = Arc::new(discovery.resources.into_iter().map(ApiResource::new).collect());
                    self.sender.send_if_modified(|known| {
                        let changed = known.as_ref() != Some(&resources);
                        *known = Some(resources);
                        changed
                    });
                }
                Ok(None) => return Error::from(tonic::Status::unavailable("the stream of resources ended")),
                Err(status) => return Error::from(status),
            }
        }
    }
}

impl Client {
    async fn discover(&self) -> Result<tonic::Streaming<pb::Discovery>> {
        Ok(self.resources().discover(pb::DiscoverRequest {}).await?.into_inner())
    }
}
