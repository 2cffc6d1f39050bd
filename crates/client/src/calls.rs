//! Typed calls to kube-apiserver.
use std::time::Duration;

use bytes::Bytes;
use daemon::tls::Connector;
use k8s_openapi::{Resource, apimachinery::pkg::apis::meta::v1::DeleteOptions};
use rpc::resource::{self as pb, patch_request::Type, resources_client::ResourcesClient};
use serde::Serialize;
use tonic::{
    Request, Streaming,
    transport::{Channel, Endpoint},
};

use crate::{ClientConfig, Error, Object, ResourceRef, Result, Stored};

/// A call that gets no answer for so long has failed.
const TIMEOUT: Duration = Duration::from_secs(30);
/// A batch of a list may be large; past this the peer is not a kube-apiserver.
const MAX_MESSAGE: usize = 64 << 20;

/// A handle to kube-apiserver; clones share one connection, which is made when it is first needed and made anew when it breaks.
#[derive(Clone, Debug)]
pub struct Client {
    resources: ResourcesClient<Channel>,
}

/// Which objects of a collection are meant. Empty texts mean all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selectors {
    /// Empty: all namespaces.
    pub namespace: String,
    pub labels: String,
    pub fields: String,
}

/// A list, and the revision at which it was true.
#[derive(Debug)]
pub struct Listed<K> {
    pub items: Vec<K>,
    pub revision: i64,
}

/// How a patch is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patch {
    /// RFC 6902
    Json,
    /// RFC 7386
    Merge,
    /// Kubernetes' own: lists are merged by their keys.
    Strategic,
}

impl Client {
    pub fn new(config: &ClientConfig) -> Self {
        let connector = Connector::new("kube-apiserver", config.servers.clone(), config.tls.clone());
        Self::with_endpoint(|endpoint| endpoint.connect_with_connector_lazy(connector))
    }

    /// A client over a connection of the caller's making, for tests.
    pub fn over(channel: impl FnOnce(Endpoint) -> Channel) -> Self {
        Self::with_endpoint(channel)
    }

    fn with_endpoint(connect: impl FnOnce(Endpoint) -> Channel) -> Self {
        // TLS is the connector's; tonic must not want to add its own, but the requests must say https.
        // By this name the server knows who manages the fields that the program sets.
        let program = std::env::args_os().next().map(std::path::PathBuf::from);
        let program = program.as_deref().and_then(std::path::Path::file_name).and_then(std::ffi::OsStr::to_str);
        let agent = format!("{}/{}", program.unwrap_or("pilothouse"), env!("CARGO_PKG_VERSION"));
        let endpoint = Endpoint::from_static("http://kube-apiserver");
        let endpoint = endpoint
            .clone()
            .user_agent(agent)
            .unwrap_or(endpoint)
            .origin(tonic::transport::Uri::from_static("https://kube-apiserver"))
            .http2_keep_alive_interval(Duration::from_secs(10))
            .keep_alive_timeout(Duration::from_secs(10))
            .keep_alive_while_idle(true)
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(8 << 20);
        let resources = ResourcesClient::new(connect(endpoint)).max_decoding_message_size(MAX_MESSAGE);
        Self { resources }
    }

    pub(crate) fn resources(&self) -> ResourcesClient<Channel> {
        self.resources.clone()
    }

    /// `namespace` is empty for objects of the cluster's scope.
    pub async fn get<K: Object>(&self, namespace: &str, name: &str) -> Result<K> {
        let request = unary(K::RESOURCE.request(namespace, name, ""));
        decode(&self.resources().get(request).await?.into_inner().json)
    }

    pub async fn list<K: Object>(&self, selectors: &Selectors) -> Result<Listed<K>> {
        self.list_partial(K::RESOURCE, selectors).await
    }

    /// As [`Client::list`], of the parts that `K` names.
    pub async fn list_partial<K: Stored>(&self, resource: ResourceRef, selectors: &Selectors) -> Result<Listed<K>> {
        let request = pb::ListRequest {
            resource: Some(resource.request(&selectors.namespace, "", "")),
            label_selector: selectors.labels.clone(),
            field_selector: selectors.fields.clone(),
        };
        let mut batches = self.resources().list(request).await?.into_inner();
        let mut listed = Listed { items: Vec::new(), revision: 0 };
        while let Some(batch) = batches.message().await? {
            listed.revision = batch.revision;
            for item in &batch.items {
                listed.items.push(decode_partial(resource, item)?);
            }
        }
        Ok(listed)
    }

    /// Creates the object in the namespace of its metadata.
    pub async fn create<K: Object>(&self, object: &K) -> Result<K> {
        let namespace = object.metadata().namespace.as_deref().unwrap_or_default();
        let request = pb::WriteRequest {
            resource: Some(K::RESOURCE.request(namespace, "", "")),
            json: encode(object)?,
            dry_run: false,
        };
        decode(&self.resources().create(unary(request)).await?.into_inner().json)
    }

    /// Compare-and-swap where the object carries a resource version.
    pub async fn update<K: Object>(&self, object: &K) -> Result<K> {
        self.update_subresource(object, "").await
    }

    pub async fn update_status<K: Object>(&self, object: &K) -> Result<K> {
        self.update_subresource(object, "status").await
    }

    pub async fn update_subresource<K: Object>(&self, object: &K, subresource: &str) -> Result<K> {
        let meta = object.metadata();
        let (namespace, name) =
            (meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default());
        let request = pb::WriteRequest {
            resource: Some(K::RESOURCE.request(namespace, name, subresource)),
            json: encode(object)?,
            dry_run: false,
        };
        decode(&self.resources().update(unary(request)).await?.into_inner().json)
    }

    /// `subresource` is empty for the object itself.
    pub async fn patch<K: Object>(
        &self,
        namespace: &str,
        name: &str,
        kind: Patch,
        patch: &serde_json::Value,
        subresource: &str,
    ) -> Result<K> {
        let object = self.patch_resource(K::RESOURCE, namespace, name, kind, patch, subresource).await?;
        decode(&object.json)
    }

    /// As [`Client::patch`], for a resource whose type is not known to the compiler.
    pub async fn patch_resource(
        &self,
        resource: ResourceRef,
        namespace: &str,
        name: &str,
        kind: Patch,
        patch: &serde_json::Value,
        subresource: &str,
    ) -> Result<pb::Object> {
        let kind = match kind {
            Patch::Json => Type::Json,
            Patch::Merge => Type::Merge,
            Patch::Strategic => Type::Strategic,
        };
        let request = pb::PatchRequest {
            resource: Some(resource.request(namespace, name, subresource)),
            r#type: kind.into(),
            patch: patch.to_string().into(),
            ..Default::default()
        };
        Ok(self.resources().patch(unary(request)).await?.into_inner())
    }

    /// Server-side apply: what the configuration has is as the manager wants it from now on, whoever set it otherwise, and what it had
    /// before and has no more goes. The object is made where there is none, unless the configuration has a uid.
    pub async fn apply<K: Object>(&self, configuration: &K, manager: &str) -> Result<K> {
        let meta = configuration.metadata();
        let (namespace, name) =
            (meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default());
        let request = pb::PatchRequest {
            resource: Some(K::RESOURCE.request(namespace, name, "")),
            r#type: Type::Apply.into(),
            patch: encode(configuration)?,
            field_manager: manager.to_owned(),
            force: true,
        };
        decode(&self.resources().patch(unary(request)).await?.into_inner().json)
    }

    pub async fn delete<K: Object>(&self, namespace: &str, name: &str, options: &DeleteOptions) -> Result<()> {
        self.delete_resource(K::RESOURCE, namespace, name, options).await
    }

    /// As [`Client::delete`], for a resource whose type is not known to the compiler.
    pub async fn delete_resource(
        &self,
        resource: ResourceRef,
        namespace: &str,
        name: &str,
        options: &DeleteOptions,
    ) -> Result<()> {
        let options_json = serde_json::to_vec(options)
            .map_err(|error| Error::Encode { what: "DeleteOptions", reason: error.to_string() })?;
        let request = pb::DeleteRequest {
            resource: Some(resource.request(namespace, name, "")),
            options_json: options_json.into(),
        };
        self.resources().delete(unary(request)).await?;
        Ok(())
    }

    /// As [`Client::get`], the parts that `K` names.
    pub async fn get_partial<K: Stored>(&self, resource: ResourceRef, namespace: &str, name: &str) -> Result<K> {
        let object = self.resources().get(unary(resource.request(namespace, name, ""))).await?.into_inner();
        decode_partial(resource, &object.json)
    }

    pub(crate) async fn watch(
        &self,
        resource: ResourceRef,
        selectors: &Selectors,
        revision: i64,
    ) -> Result<Streaming<pb::WatchBatch>> {
        let request = pb::WatchRequest {
            resource: Some(resource.request(&selectors.namespace, "", "")),
            label_selector: selectors.labels.clone(),
            field_selector: selectors.fields.clone(),
            resource_version: revision,
        };
        Ok(self.resources().watch(request).await?.into_inner())
    }
}

fn unary<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(TIMEOUT);
    request
}

fn encode<K: Resource + Serialize>(object: &K) -> Result<Bytes> {
    let json = serde_json::to_vec(object);
    Ok(json.map_err(|error| Error::Encode { what: K::KIND, reason: error.to_string() })?.into())
}

fn decode<K: Object>(json: &[u8]) -> Result<K> {
    serde_json::from_slice(json).map_err(|error| Error::Decode { what: K::KIND, reason: error.to_string() })
}

fn decode_partial<K: Stored>(resource: ResourceRef, json: &[u8]) -> Result<K> {
    serde_json::from_slice(json).map_err(|error| Error::Decode { what: resource.resource, reason: error.to_string() })
}
