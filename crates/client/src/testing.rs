//! A kube-apiserver in memory, spoken to over real gRPC without a network, for the tests of what uses the client.
//!
//! It keeps objects, versions, watches and finalizers as the real one does, and knows no rules of any kind: no validation, no
//! defaults, no grace periods. Its faults are the test's to choose.
use std::{
    collections::{BTreeMap, HashMap},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use api::selector::{FieldSelector, Selector};
use hyper_util::rt::TokioIo;
use rpc::resource::{
    self as pb, Object, WatchBatch, WatchEvent,
    resources_server::{Resources, ResourcesServer},
    watch_event::Type,
};
use serde_json::{Value, json};
use tokio::{io::DuplexStream, sync::mpsc};
use tokio_stream::{Stream, StreamExt, wrappers::UnboundedReceiverStream};
use tonic::{Code, Request, Response, Status, Streaming, transport::Server};

use crate::{Client, Object as Typed};

type Reply<T> = Result<Response<T>, Status>;
type Batches<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
/// Resource, namespace, name.
type Place = (String, String, String);

#[derive(Clone, Default)]
pub struct Peer(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    revision: i64,
    objects: BTreeMap<Place, Value>,
    log: Vec<(i64, Place, Type, Value)>,
    watchers: Vec<Watcher>,
    /// Revisions before this one can't be resumed from.
    compacted: i64,
    faults: HashMap<&'static str, Vec<Status>>,
    calls: Vec<String>,
}

struct Watcher {
    wants: Wants,
    sender: mpsc::UnboundedSender<Result<WatchBatch, Status>>,
}

struct Wants {
    resource: String,
    namespace: String,
    labels: Selector,
    fields: FieldSelector,
}

impl Wants {
    fn new(resource: &pb::Resource, labels: &str, fields: &str) -> Result<Self, Status> {
        let invalid = |error: &dyn std::fmt::Display| Status::invalid_argument(error.to_string());
        Ok(Self {
            resource: resource.resource.clone(),
            namespace: resource.namespace.clone(),
            labels: labels.parse().map_err(|error| invalid(&error))?,
            fields: fields.parse().map_err(|error| invalid(&error))?,
        })
    }

    fn matches(&self, place: &Place, object: &Value) -> bool {
        let labels = serde_json::from_value(object["metadata"]["labels"].clone()).unwrap_or_default();
        place.0 == self.resource
            && (self.namespace.is_empty() || place.1 == self.namespace)
            && self.labels.matches(&labels)
            && self.fields.matches(|field| {
                object.pointer(&format!("/{}", field.replace('.', "/"))).and_then(Value::as_str).unwrap_or_default()
            })
    }
}

/// A failure as kube-apiserver says it.
pub fn failure(code: i32, reason: &str, message: &str) -> Status {
    let status = json!({"apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure", "code": code,
        "reason": reason, "message": message});
    Status::with_details(Code::FailedPrecondition, message, status.to_string().into())
}

impl State {
    fn publish(&mut self, place: Place, kind: Type, mut object: Value) -> Value {
        self.revision += 1;
        object["metadata"]["resourceVersion"] = self.revision.to_string().into();
        let old = match kind {
            Type::Deleted => self.objects.remove(&place),
            _ => self.objects.insert(place.clone(), object.clone()),
        };
        let revision = self.revision;
        self.watchers.retain(|watcher| {
            // An object that comes into a selection is added to it, one that leaves it is deleted from it.
            let was = old.as_ref().is_some_and(|old| watcher.wants.matches(&place, old));
            let is = kind != Type::Deleted && watcher.wants.matches(&place, &object);
            let seen = match (was, is) {
                (false, false) => return !watcher.sender.is_closed(),
                (false, true) => Type::Added,
                (true, true) => Type::Modified,
                (true, false) => Type::Deleted,
            };
            watcher.sender.send(Ok(batch(revision, [event(seen, &object)], true))).is_ok()
        });
        self.log.push((revision, place, kind, object.clone()));
        object
    }

    fn find(&self, resource: &pb::Resource) -> Result<(Place, Value), Status> {
        let place = (resource.resource.clone(), resource.namespace.clone(), resource.name.clone());
        let object = self.objects.get(&place).cloned();
        let message = || format!("{} {:?} not found", resource.resource, resource.name);
        object.map(|object| (place, object)).ok_or_else(|| failure(404, "NotFound", &message()))
    }

    /// Replaces an object that is there; a deleted one without finalizers goes.
    fn replace(&mut self, place: Place, object: Value) -> Value {
        // Those of a namespace are in its spec.
        let has = |part: &str| object[part]["finalizers"].as_array().is_some_and(|list| !list.is_empty());
        let finalizers = has("metadata") || has("spec");
        let gone = object["metadata"]["deletionTimestamp"].is_string() && !finalizers;
        self.publish(place, if gone { Type::Deleted } else { Type::Modified }, object)
    }

    fn fault(&mut self, call: &'static str) -> Result<(), Status> {
        self.faults.get_mut(call).and_then(|faults| (!faults.is_empty()).then(|| faults.remove(0))).map_or(Ok(()), Err)
    }
}

fn event(kind: Type, object: &Value) -> WatchEvent {
    WatchEvent { r#type: kind.into(), json: object.to_string().into() }
}

fn batch(revision: i64, events: impl IntoIterator<Item = WatchEvent>, synced: bool) -> WatchBatch {
    WatchBatch { events: events.into_iter().collect(), revision, synced }
}

fn reply(object: &Value) -> Reply<Object> {
    let text = |field: &str| object[field].as_str().unwrap_or_default().to_owned();
    Ok(Response::new(Object { api_version: text("apiVersion"), kind: text("kind"), json: object.to_string().into() }))
}

impl Peer {
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client of this peer. Must be called within a runtime.
    pub fn client(&self) -> Client {
        let (sender, connections) = mpsc::unbounded_channel::<DuplexStream>();
        let service = ResourcesServer::new(self.clone());
        let incoming = UnboundedReceiverStream::new(connections).map(Ok::<_, std::io::Error>);
        tokio::spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
        Client::over(|endpoint| {
            endpoint.connect_with_connector_lazy(tower::service_fn(move |_| {
                let (ours, theirs) = tokio::io::duplex(1 << 20);
                let sent = sender.send(theirs).map_err(|_| std::io::Error::other("the peer has ended"));
                async move { sent.map(|()| TokioIo::new(ours)) }
            }))
        })
    }

    /// Puts an object in place, as another client would.
    pub fn put<K: Typed>(&self, object: &K) {
        let mut value = serde_json::to_value(object).expect("objects are JSON");
        let text = |field: &str| value["metadata"][field].as_str().unwrap_or_default().to_owned();
        let place = (K::URL_PATH_SEGMENT.to_owned(), text("namespace"), text("name"));
        let mut state = self.state();
        let kind = if state.objects.contains_key(&place) { Type::Modified } else { Type::Added };
        if value["metadata"]["uid"].is_null() {
            value["metadata"]["uid"] = format!("uid-{}", state.revision + 1).into();
        }
        state.publish(place, kind, value);
    }

    /// Takes an object away, whatever its finalizers.
    pub fn remove<K: Typed>(&self, namespace: &str, name: &str) {
        let place = (K::URL_PATH_SEGMENT.to_owned(), namespace.to_owned(), name.to_owned());
        let mut state = self.state();
        if let Some(object) = state.objects.get(&place).cloned() {
            state.publish(place, Type::Deleted, object);
        }
    }

    pub fn get<K: Typed>(&self, namespace: &str, name: &str) -> Option<K> {
        let place = (K::URL_PATH_SEGMENT.to_owned(), namespace.to_owned(), name.to_owned());
        let object = self.state().objects.get(&place).cloned()?;
        Some(serde_json::from_value(object).expect("objects are of their type"))
    }

    pub fn list<K: Typed>(&self) -> Vec<K> {
        let state = self.state();
        let of = state.objects.iter().filter(|(place, _)| place.0 == K::URL_PATH_SEGMENT);
        of.map(|(_, object)| serde_json::from_value(object.clone()).expect("objects are of their type")).collect()
    }

    /// The next call of that name fails: `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `bind`.
    pub fn fail(&self, call: &'static str, status: Status) {
        self.state().faults.entry(call).or_default().push(status);
    }

    /// All watches break, as when the connection is lost.
    pub fn break_watches(&self) {
        for watcher in self.state().watchers.drain(..) {
            // The reader may be gone already.
            let _ = watcher.sender.send(Err(Status::unavailable("connection lost")));
        }
    }

    /// Watches can't be resumed from any revision of before.
    pub fn compact(&self) {
        let mut state = self.state();
        state.compacted = state.revision;
    }

    /// What has been called, as `verb resource/name`; of watches, the revision instead of the name.
    pub fn calls(&self) -> Vec<String> {
        self.state().calls.clone()
    }

    fn begin(&self, call: &'static str, what: impl std::fmt::Display) -> Result<MutexGuard<'_, State>, Status> {
        let mut state = self.state();
        state.calls.push(format!("{call} {what}"));
        state.fault(call)?;
        Ok(state)
    }
}

fn target(resource: Option<pb::Resource>) -> Result<pb::Resource, Status> {
    resource.ok_or_else(|| Status::invalid_argument("no resource"))
}

fn parse(json: &[u8]) -> Result<Value, Status> {
    serde_json::from_slice(json).map_err(|error| failure(400, "BadRequest", &error.to_string()))
}

fn merge(into: &mut Value, patch: Value) {
    match patch {
        Value::Object(fields) => {
            if !into.is_object() {
                *into = json!({});
            }
            for (name, value) in fields {
                if value.is_null() {
                    into.as_object_mut().map(|object| object.remove(&name));
                } else {
                    merge(&mut into[name], value);
                }
            }
        }
        other => *into = other,
    }
}

#[tonic::async_trait]
impl Resources for Peer {
    type DiscoverStream = Batches<pb::Discovery>;
    type ListStream = Batches<pb::ListBatch>;
    type WatchStream = Batches<WatchBatch>;
    type BindPodsStream = Batches<pb::PodBindingResult>;

    async fn discover(&self, _: Request<pb::DiscoverRequest>) -> Reply<Self::DiscoverStream> {
        let state = self.begin("discover", "")?;
        drop(state);
        let resource = |resource: &Arc<api::catalog::Resource>| {
            let stored = resource.stored();
            pb::ApiResource {
                group: stored.group.into(),
                version: stored.version.into(),
                resource: resource.plural.into(),
                kind: stored.kind.into(),
                namespaced: resource.namespaced,
                verbs: resource.verbs.iter().map(|verb| (*verb).to_owned()).collect(),
            }
        };
        let resources = api::catalog::Catalog::builtin().resources().iter().map(resource).collect();
        // It does not change, so the stream says it once and stays.
        let answers = tokio_stream::once(Ok(pb::Discovery { resources })).chain(tokio_stream::pending());
        Ok(Response::new(Box::pin(answers)))
    }

    async fn get(&self, request: Request<pb::Resource>) -> Reply<Object> {
        let resource = request.into_inner();
        let state = self.begin("get", format_args!("{}/{}", resource.resource, resource.name))?;
        reply(&state.find(&resource)?.1)
    }

    async fn list(&self, request: Request<pb::ListRequest>) -> Reply<Self::ListStream> {
        let request = request.into_inner();
        let resource = target(request.resource)?;
        let wants = Wants::new(&resource, &request.label_selector, &request.field_selector)?;
        let state = self.begin("list", &wants.resource)?;
        let items = state.objects.iter().filter(|(place, object)| wants.matches(place, object));
        let items = items.map(|(_, object)| object.to_string().into()).collect();
        let batch = pb::ListBatch { revision: state.revision, items };
        Ok(Response::new(Box::pin(tokio_stream::once(Ok(batch)))))
    }

    async fn watch(&self, request: Request<pb::WatchRequest>) -> Reply<Self::WatchStream> {
        let request = request.into_inner();
        let resource = target(request.resource)?;
        let wants = Wants::new(&resource, &request.label_selector, &request.field_selector)?;
        let from = request.resource_version;
        let mut state = self.begin("watch", format_args!("{} {from}", wants.resource))?;
        if from != 0 && from < state.compacted {
            return Err(Status::out_of_range("too old resource version"));
        }
        let (sender, receiver) = mpsc::unbounded_channel();
        let events: Vec<_> = if from == 0 {
            let items = state.objects.iter().filter(|(place, object)| wants.matches(place, object));
            items.map(|(_, object)| event(Type::Added, object)).collect()
        } else {
            let later = state
                .log
                .iter()
                .filter(|(revision, place, _, object)| *revision > from && wants.matches(place, object));
            later.map(|(_, _, kind, object)| event(*kind, object)).collect()
        };
        // In two batches, as a real list comes in several.
        let half = events.len() / 2;
        let mut events = events.into_iter();
        let first: Vec<_> = events.by_ref().take(half).collect();
        for part in [batch(state.revision, first, false), batch(state.revision, events, true)] {
            // The receiver is below.
            let _ = sender.send(Ok(part));
        }
        state.watchers.push(Watcher { wants, sender });
        Ok(Response::new(Box::pin(UnboundedReceiverStream::new(receiver))))
    }

    async fn create(&self, request: Request<pb::WriteRequest>) -> Reply<Object> {
        let request = request.into_inner();
        let resource = target(request.resource)?;
        let mut object = parse(&request.json)?;
        let given = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let mut state = self.begin("create", format_args!("{}/{given}", resource.resource))?;
        let serial = state.revision + 1;
        let name = match object["metadata"]["generateName"].as_str() {
            Some(prefix) if given.is_empty() => format!("{prefix}{serial:05}"),
            _ => given,
        };
        let place = (resource.resource, resource.namespace, name.clone());
        if state.objects.contains_key(&place) {
            return Err(failure(409, "AlreadyExists", &format!("{} {name:?} already exists", place.0)));
        }
        object["metadata"]["name"] = name.into();
        object["metadata"]["uid"] = format!("uid-{serial}").into();
        object["metadata"]["creationTimestamp"] =
            json!(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::now()));
        reply(&state.publish(place, Type::Added, object))
    }

    async fn update(&self, request: Request<pb::WriteRequest>) -> Reply<Object> {
        let request = request.into_inner();
        let resource = target(request.resource)?;
        let object = parse(&request.json)?;
        let mut state = self.begin("update", format_args!("{}/{}", resource.resource, resource.name))?;
        let (place, old) = state.find(&resource)?;
        let version = &object["metadata"]["resourceVersion"];
        if version.is_string() && *version != old["metadata"]["resourceVersion"] {
            return Err(failure(409, "Conflict", "the object has been modified"));
        }
        let mut new = object;
        match resource.subresource.as_str() {
            "status" => {
                let status = new["status"].take();
                new = old;
                new["status"] = status;
            }
            "finalize" => {
                let finalizers = new["spec"]["finalizers"].take();
                new = old;
                new["spec"]["finalizers"] = finalizers;
                if new["spec"]["finalizers"].as_array().is_none_or(Vec::is_empty) {
                    return reply(&state.publish(place, Type::Deleted, new));
                }
            }
            _ => new["status"] = old["status"].clone(),
        }
        reply(&state.replace(place, new))
    }

    async fn patch(&self, request: Request<pb::PatchRequest>) -> Reply<Object> {
        let request = request.into_inner();
        let kind = request.r#type();
        let resource = target(request.resource)?;
        let patch = parse(&request.patch)?;
        let mut state = self.begin("patch", format_args!("{}/{}", resource.resource, resource.name))?;
        let (place, mut object) = state.find(&resource)?;
        let version = &patch["metadata"]["resourceVersion"];
        if version.is_string() && *version != object["metadata"]["resourceVersion"] {
            return Err(failure(409, "Conflict", "the object has been modified"));
        }
        let uid = &patch["metadata"]["uid"];
        if uid.is_string() && *uid != object["metadata"]["uid"] {
            return Err(failure(409, "Conflict", "the object is another one"));
        }
        match kind {
            // The lists that the daemons patch are replaced whole, so both are the same here.
            pb::patch_request::Type::Merge | pb::patch_request::Type::Strategic => merge(&mut object, patch),
            other => return Err(Status::unimplemented(format!("{other:?} patches"))),
        }
        reply(&state.replace(place, object))
    }

    async fn delete(&self, request: Request<pb::DeleteRequest>) -> Reply<Object> {
        let request = request.into_inner();
        let resource = target(request.resource)?;
        let mut state = self.begin("delete", format_args!("{}/{}", resource.resource, resource.name))?;
        let options = if request.options_json.is_empty() { json!({}) } else { parse(&request.options_json)? };
        let (place, mut object) = state.find(&resource)?;
        let wanted = &options["preconditions"]["uid"];
        if wanted.is_string() && *wanted != object["metadata"]["uid"] {
            return Err(failure(409, "Conflict", "the object is another one"));
        }
        let policy = match options["propagationPolicy"].as_str() {
            Some("Foreground") => Some("foregroundDeletion"),
            Some("Orphan") => Some("orphan"),
            _ => None,
        };
        let mut finalizers = object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
        finalizers.extend(policy.map(Value::from));
        if finalizers.is_empty() {
            return reply(&state.publish(place, Type::Deleted, object));
        }
        object["metadata"]["finalizers"] = finalizers.into();
        object["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        reply(&state.publish(place, Type::Modified, object))
    }

    async fn bind_pods(&self, request: Request<Streaming<pb::PodBinding>>) -> Reply<Self::BindPodsStream> {
        let (peer, mut bindings) = (self.clone(), request.into_inner());
        let (sender, results) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok(Some(binding)) = bindings.message().await {
                let status_json = peer.bind(&binding).err().map(|status| status.details().to_vec()).unwrap_or_default();
                let result = pb::PodBindingResult { id: binding.id, status_json: status_json.into() };
                if sender.send(Ok(result)).is_err() {
                    break;
                }
            }
        });
        Ok(Response::new(Box::pin(UnboundedReceiverStream::new(results))))
    }
}

impl Peer {
    fn bind(&self, binding: &pb::PodBinding) -> Result<(), Status> {
        let mut state = self.begin("bind", format_args!("pods/{} {}", binding.pod, binding.node))?;
        let resource = pb::Resource {
            resource: "pods".to_owned(),
            namespace: binding.namespace.clone(),
            name: binding.pod.clone(),
            ..Default::default()
        };
        let (place, mut pod) = state.find(&resource)?;
        if pod["metadata"]["uid"] != binding.uid.as_str() || pod["spec"]["nodeName"].is_string() {
            return Err(failure(409, "Conflict", "the pod is bound already, or another one"));
        }
        pod["spec"]["nodeName"] = binding.node.as_str().into();
        state.publish(place, Type::Modified, pod);
        Ok(())
    }
}
