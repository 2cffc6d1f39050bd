//! A kube-apiserver for the tests of who calls it.

use std::sync::Arc;
use std::time::Duration;

use api::catalog::Catalog;
use client::{Client, Error, Object, Selectors};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::DeleteOptions;
use kube_apiserver::attributes::User;
use kube_apiserver::authentication::Authentication;
use kube_apiserver::authorization::{Rbac, rbac::defaults};
use kube_apiserver::exchange::Filters;
use kube_apiserver::rest::Rest;
use kube_apiserver::server::{Front, serve_connection};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

use crate::faults::{Between, Faults};
use crate::library::{Library, WITHOUT_CONTROLLERS, plugins, user};
use crate::wire::channel;

/// Who may do everything.
const MASTERS: &str = "system:masters";

/// The real server, on an empty store in memory.
pub struct ApiServer {
    library: Library,
    rest: Arc<Rest>,
    faults: Faults,
    /// Another client, which meets no faults: the test itself.
    admin: Client,
}

impl ApiServer {
    /// Under RBAC with the roles that every cluster has.
    pub async fn start() -> Self {
        let (library, rbac) = Library::under_rbac(&plugins(&[], WITHOUT_CONTROLLERS)).await;
        defaults::ensure(&library.registry).await.unwrap_or_else(|status| panic!("roles: {}", status.message));
        tokio::spawn(rbac.clone().run(library.registry.clone(), CancellationToken::new()));
        until_known(&rbac).await;
        let rest =
            Arc::new(library.rest((Authentication::new(Vec::new(), Vec::new(), false), None), Filters::default()));
        let admin = user("admin", &[MASTERS]);
        let direct = rest.clone();
        let admin = Client::over(|endpoint| connection(endpoint, direct, admin));
        Self { library, rest, faults: Faults::default(), admin }
    }

    /// A client with the rights of the user, which meets the faults that the test chooses.
    pub fn client(&self, name: &str) -> Client {
        self.client_of(user(name, &["system:authenticated"]))
    }

    /// A client that may do everything, and meets the faults that the test chooses.
    pub fn admins_client(&self) -> Client {
        self.client_of(user("admin", &[MASTERS]))
    }

    fn client_of(&self, user: Arc<User>) -> Client {
        let server = connection(Endpoint::from_static("http://kube-apiserver"), self.rest.clone(), user);
        let between = Between::new(server, self.faults.clone());
        Client::over(|endpoint| channel(endpoint, move |stream| between.clone().serve(stream)))
    }

    /// The test's own client, which may do everything and meets no faults.
    pub fn admin(&self) -> &Client {
        &self.admin
    }

    /// Makes the object, or makes what is there equal to it; its status too, if it has one. What the server refuses is the test's fault.
    pub async fn put<K: Object + Clone>(&self, object: &K) -> K {
        let mut object = object.clone();
        let key = client::Stored::key(&object);
        let put = loop {
            let old = self.get::<K>(&key.namespace, &key.name).await;
            object.metadata_mut().resource_version =
                old.as_ref().and_then(|old| old.metadata().resource_version.clone());
            let written = match old {
                None => self.admin.create(&object).await,
                Some(_) => self.admin.update(&object).await,
            };
            match written {
                Ok(put) => break put,
                // Who is tested was faster.
                Err(error) if error.is_conflict() || error.is_already_exists() => {}
                Err(error) => panic!("{} {key}: {error}", K::KIND),
            }
        };
        object.metadata_mut().resource_version = None;
        if has_status(&object) { self.put_status(&object).await } else { put }
    }

    /// Makes the status of an object that is there, whatever its version, equal to this one's.
    pub async fn put_status<K: Object>(&self, object: &K) -> K {
        let put = self.admin.update_status(object).await;
        put.unwrap_or_else(|error| panic!("status of {} {}: {error}", K::KIND, client::Stored::key(object)))
    }

    /// Takes an object away, whatever its finalizers and its grace period.
    pub async fn remove<K: Object>(&self, namespace: &str, name: &str) {
        let what = |error: Error| panic!("{} {namespace}/{name}: {error}", K::KIND);
        let now = DeleteOptions { grace_period_seconds: Some(0), ..Default::default() };
        self.admin.delete::<K>(namespace, name, &now).await.unwrap_or_else(what);
        let free = serde_json::json!({"metadata": {"finalizers": null}});
        match self.admin.patch::<K>(namespace, name, client::Patch::Merge, &free, "").await {
            Err(error) if !error.is_not_found() => what(error),
            _ => {}
        }
    }

    pub async fn get<K: Object>(&self, namespace: &str, name: &str) -> Option<K> {
        match self.admin.get(namespace, name).await {
            Err(error) if error.is_not_found() => None,
            got => Some(got.unwrap_or_else(|error| panic!("{} {namespace}/{name}: {error}", K::KIND))),
        }
    }

    pub async fn list<K: Object>(&self) -> Vec<K> {
        let listed = self.admin.list(&Selectors::default()).await;
        listed.unwrap_or_else(|error| panic!("{}: {error}", K::KIND)).items
    }

    /// The next call of that name fails: `discover`, `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `bind`.
    pub fn fail(&self, call: &'static str, status: Status) {
        self.faults.fail(call, status);
    }

    /// All watches break, as when the connection is lost.
    pub fn break_watches(&self) {
        self.faults.break_watches();
    }

    /// From now on each batch of what watches say is held up for so long.
    pub fn lag(&self, lag: Duration) {
        self.faults.lag(lag);
    }

    /// Whether there is an etcd behind the server.
    pub fn set_available(&self, available: bool) {
        self.library.memory.set_available(available);
    }

    /// What has been called, as `verb resource/name/subresource`; of watches, the revision instead of the name.
    pub fn calls(&self) -> Vec<String> {
        self.faults.calls()
    }
}

fn has_status<K: Object>(object: &K) -> bool {
    let object = serde_json::to_value(object).expect("objects are JSON");
    let catalog = Catalog::builtin();
    let row = catalog.find(K::GROUP, K::VERSION, K::URL_PATH_SEGMENT);
    object["status"].is_object() && row.is_some_and(|row| row.subresource("status").is_some())
}

/// To the server itself, which knows who calls as it would by a certificate.
fn connection(endpoint: Endpoint, rest: Arc<Rest>, user: Arc<User>) -> Channel {
    channel(endpoint, move |stream| {
        serve_connection(Front::new(rest.clone(), Some(user.clone()), None), stream, CancellationToken::new())
    })
}

/// The policy has what was there before it was followed all at once.
async fn until_known(rbac: &Rbac) {
    let somebody = user("system:kube-scheduler", &[]);
    while rbac.rules_for(&somebody, "").is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
