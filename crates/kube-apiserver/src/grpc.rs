//! `proto/resource.proto`: the registry for the daemons. Objects travel in the bytes that the cache holds.

use std::pin::Pin;
use std::sync::Arc;

use api::catalog::{Catalog, Handler, Subresource, View};
use api::schema::decode::read_json;
use api::selector::{FieldSelector, Selector};
use api::status::Status;
use bytes::Bytes;
use futures::{Stream, StreamExt};
use prometheus_client::metrics::counter::Counter;
use rpc::resource::{
    ApiResource, DeleteRequest, DiscoverRequest, Discovery, ListBatch, ListRequest, Object, PatchRequest, PodBinding,
    PodBindingResult, Resource, WatchBatch, WatchEvent, WatchRequest, WriteRequest, patch_request,
    resources_server::Resources, watch_event,
};
use serde_json::Value;
use storage::{EventType, Seen, Watcher};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Streaming};

use crate::attributes::Attributes;
use crate::authorization::Authorization;
use crate::exchange::{Call, Filters};
use crate::registry::{Context, DeleteOptions, Deletion, ListOptions, Object as Entry, Registry, Target};
use crate::rest::{Applying, Expected, FieldValidation, Patch, check_manager, configuration, fit, manager_of, rules};

/// Bytes of objects in one message, about.
const BATCH_BYTES: usize = 256 * 1024;
const WATCH_BATCH: usize = 512;
/// Bindings of one stream that are written at the same time.
const BINDINGS: usize = 64;

#[derive(Clone)]
pub struct Grpc {
    registry: Arc<Registry>,
    authorization: Authorization,
    filters: Filters,
}

type Reply<T> = Result<Response<T>, tonic::Status>;
type BoxStream<T> = Pin<Box<dyn Stream<Item = Result<T, tonic::Status>> + Send>>;

impl Grpc {
    pub fn new(registry: Arc<Registry>, authorization: Authorization, filters: Filters) -> Self {
        Self { registry, authorization, filters }
    }

    /// What a call is about, if its user may ask for it.
    async fn target(
        &self,
        caller: &Caller,
        verb: &'static str,
        resource: Option<Resource>,
    ) -> Result<(Context, Target, Option<&'static Subresource>), tonic::Status> {
        let resource = resource.ok_or_else(|| tonic::Status::invalid_argument("resource: required"))?;
        let mut attributes = Attributes::of_call(caller.call.user.clone(), verb, &resource);
        caller.call.begin(&self.filters, &self.registry.catalog(), &mut attributes, caller.stream).map_err(status)?;
        self.authorization.check(&attributes).await.map_err(status)?;
        let about = attributes.resource.as_ref().ok_or_else(|| status(Status::no_such_resource()))?;
        let target = self.registry.target_of(about).map_err(status)?;
        // Daemons speak the stored version and no other.
        if !target.form().is_stored() {
            return Err(status(Status::no_such_resource()));
        }
        let sub = match about.subresource.as_str() {
            "" => None,
            name => Some(target.resource().subresource(name).ok_or_else(|| status(Status::no_such_resource()))?),
        };
        let context = Context::new(attributes, false).managed_by(caller.manager.as_str());
        Ok((context, target, sub))
    }

    /// What can be updated and patched in the resource's own form: the object, and the views of it.
    async fn writable(
        &self,
        caller: &Caller,
        verb: &'static str,
        resource: Option<Resource>,
    ) -> Result<(Context, Target, Option<(&'static Subresource, &'static View)>), tonic::Status> {
        let (context, target, sub) = self.target(caller, verb, resource).await?;
        let sub = match sub {
            None => None,
            Some(sub @ Subresource { body: None, handler: Handler::View(view), .. }) => Some((sub, view)),
            Some(sub) => {
                let resource = target.resource();
                let what = format!("{}/{}", resource.plural, sub.name);
                return Err(status(Status::method_not_allowed(resource.group, &what, verb)));
            }
        };
        Ok((context, target, sub))
    }

    async fn apply(
        &self,
        context: Context,
        target: &Target,
        sub: Option<(&Subresource, &View)>,
        request: PatchRequest,
    ) -> Result<Object, tonic::Status> {
        check_manager(&request.field_manager, "PatchOptions", true, request.force).map_err(status)?;
        let mut context = context.managed_by(request.field_manager);
        context.applied = true;
        let config = configuration(target, sub, &request.patch, FieldValidation::Ignore, &context).map_err(status)?;
        let applying = Applying { context: &context, target, sub, config, force: request.force };
        let (_, bytes) = applying.run(&self.registry, &self.authorization).await.map_err(status)?;
        Ok(object(target, bytes))
    }
}

fn discovery(catalog: &Catalog) -> Discovery {
    let resource = |resource: &Arc<api::catalog::Resource>| {
        let stored = resource.stored();
        ApiResource {
            group: stored.group.into(),
            version: stored.version.into(),
            resource: resource.plural.into(),
            kind: stored.kind.into(),
            namespaced: resource.namespaced,
            verbs: resource.verbs.iter().map(|verb| (*verb).to_owned()).collect(),
        }
    };
    Discovery { resources: catalog.resources().iter().map(resource).collect() }
}

/// Who calls, and the name by which the program manages fields.
struct Caller {
    call: Arc<Call>,
    manager: String,
    /// The call goes on for as long as the caller likes, whatever its verb.
    stream: bool,
}

impl Caller {
    fn sent(&self, json: &Bytes) {
        if let Some(record) = self.call.record() {
            record.request("application/json", json);
        }
    }

    fn reply(&self, object: Object) -> Response<Object> {
        if let Some(record) = self.call.record() {
            record.response("application/json", &object.json);
        }
        Response::new(object)
    }
}

/// Authentication has put the user there before the call came here.
fn caller<T>(request: &Request<T>) -> Result<Caller, tonic::Status> {
    let call = request.extensions().get::<Arc<Call>>().cloned();
    let call = call.ok_or_else(|| tonic::Status::unauthenticated("nobody has said who calls"))?;
    let agent = request.metadata().get("user-agent").and_then(|value| value.to_str().ok());
    Ok(Caller { call, manager: manager_of(agent.unwrap_or("")), stream: false })
}

/// The failure in gRPC's terms, with the Status itself as details.
pub fn status(status: Status) -> tonic::Status {
    let code = match status.code {
        400 | 413 | 415 | 422 => Code::InvalidArgument,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::NotFound,
        405 => Code::Unimplemented,
        409 if status.reason == "AlreadyExists" => Code::AlreadyExists,
        409 => Code::Aborted,
        410 => Code::OutOfRange,
        429 => Code::ResourceExhausted,
        503 => Code::Unavailable,
        504 => Code::DeadlineExceeded,
        _ => Code::Internal,
    };
    tonic::Status::with_details(code, status.message.clone(), status.to_json().to_string().into())
}

fn selectors(labels: &str, fields: &str) -> Result<(Selector, FieldSelector), tonic::Status> {
    let bad = |which: &str, why: String| status(Status::bad_request(format!("{which}: {why}")));
    let labels = labels.parse().map_err(|e: api::selector::SelectorError| bad("label_selector", e.to_string()))?;
    let fields = fields.parse().map_err(|e: api::selector::FieldSelectorError| bad("field_selector", e.to_string()))?;
    Ok((labels, fields))
}

fn object(target: &Target, json: Bytes) -> Object {
    let resource = target.resource();
    Object { api_version: resource.api_version(), kind: resource.kind.to_owned(), json }
}

fn document(target: &Target, json: &Bytes) -> Result<Value, tonic::Status> {
    let mut duplicates = Vec::new();
    let value = read_json(json, &mut duplicates).map_err(|e| status(e.status("the object is not JSON")))?;
    if !value.is_object() {
        return Err(status(Status::bad_request("the object is not a JSON object")));
    }
    let fitted = fit(value, &Expected::for_resource(target.resource()), FieldValidation::Ignore, duplicates);
    fitted.map(|(value, _)| value).map_err(status)
}

/// Entries in messages of about [`BATCH_BYTES`]; at least one message, so that the revision is told.
fn batches(entries: Vec<Entry>) -> Vec<Vec<Bytes>> {
    let mut batches = vec![Vec::new()];
    let mut size = 0;
    for entry in entries {
        size += entry.bytes.len();
        if let Some(batch) = batches.last_mut() {
            batch.push(entry.bytes.clone());
        }
        if size >= BATCH_BYTES {
            size = 0;
            batches.push(Vec::new());
        }
    }
    batches
}

#[async_trait::async_trait]
impl Resources for Grpc {
    type DiscoverStream = BoxStream<Discovery>;
    async fn discover(&self, request: Request<DiscoverRequest>) -> Reply<Self::DiscoverStream> {
        let caller = caller(&request)?;
        let mut attributes = Attributes { verb: "get".into(), path: "/apis".into(), ..Attributes::default() };
        caller.call.begin(&self.filters, &self.registry.catalog(), &mut attributes, true).map_err(status)?;
        self.authorization.check(&attributes).await.map_err(status)?;
        Ok(Response::new(Box::pin(self.registry.catalogs().map(|catalog| Ok(discovery(&catalog))))))
    }

    async fn get(&self, request: Request<Resource>) -> Reply<Object> {
        let caller = caller(&request)?;
        let (_, target, _) = self.target(&caller, "get", Some(request.into_inner())).await?;
        let entry = self.registry.get(&target).await.map_err(status)?;
        Ok(caller.reply(object(&target, entry.bytes.clone())))
    }

    type ListStream = BoxStream<ListBatch>;
    async fn list(&self, request: Request<ListRequest>) -> Reply<Self::ListStream> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let (_, target, _) = self.target(&caller, "list", request.resource).await?;
        let (labels, fields) = selectors(&request.label_selector, &request.field_selector)?;
        let options = ListOptions { labels, fields, ..ListOptions::default() };
        let listed = self.registry.list(&target, &options).await.map_err(status)?;
        let revision = listed.revision;
        let batches = batches(listed.entries).into_iter().map(move |items| Ok(ListBatch { revision, items }));
        Ok(Response::new(Box::pin(futures::stream::iter(batches))))
    }

    type WatchStream = BoxStream<WatchBatch>;
    async fn watch(&self, request: Request<WatchRequest>) -> Reply<Self::WatchStream> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let (_, target, _) = self.target(&caller, "watch", request.resource).await?;
        let (labels, fields) = selectors(&request.label_selector, &request.field_selector)?;
        let filter = self.registry.filter(&target, &labels, &fields).map_err(status)?;
        let (initial, watcher) = if request.resource_version > 0 {
            let after = request.resource_version;
            let mut watcher = self.registry.resume(&target, filter, after).await.map_err(status)?;
            (missed(&mut watcher)?, watcher)
        } else {
            let (listed, watcher) = self.registry.list_and_watch(&target, filter, None).await.map_err(status)?;
            let mut batches: Vec<WatchBatch> = batches(listed.entries)
                .into_iter()
                .map(|items| {
                    let added = |json| WatchEvent { r#type: watch_event::Type::Added.into(), json };
                    let events = items.into_iter().map(added).collect();
                    WatchBatch { events, revision: 0, synced: false }
                })
                .collect();
            if let Some(last) = batches.last_mut() {
                last.revision = listed.revision;
                last.synced = true;
            }
            (batches, watcher)
        };
        let initial_count = initial.iter().map(|batch| batch.events.len() as u64).sum();
        let first = futures::stream::iter(initial.into_iter().map(Ok));
        let sent = self.filters.requests.watch_events(target.form());
        sent.inc_by(initial_count);
        Ok(Response::new(Box::pin(first.chain(changes(watcher, sent)))))
    }

    async fn create(&self, request: Request<WriteRequest>) -> Reply<Object> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let (mut context, target, _) = self.target(&caller, "create", request.resource).await?;
        caller.sent(&request.json);
        let document = document(&target, &request.json)?;
        context.dry_run = request.dry_run;
        let bytes = self.registry.create(&context, &target, document).await.map_err(status)?;
        Ok(caller.reply(object(&target, bytes)))
    }

    async fn update(&self, request: Request<WriteRequest>) -> Reply<Object> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let (mut context, target, sub) = self.writable(&caller, "update", request.resource).await?;
        caller.sent(&request.json);
        let document = document(&target, &request.json)?;
        let change =
            |current: &Value| Ok(sub.map_or_else(|| document.clone(), |(_, view)| view.take(current, &document)));
        context.dry_run = request.dry_run;
        let bytes = self.registry.update(&context, &target, rules(sub), &change).await.map_err(status)?;
        Ok(caller.reply(object(&target, bytes)))
    }

    async fn patch(&self, request: Request<PatchRequest>) -> Reply<Object> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let (context, target, sub) = self.writable(&caller, "patch", request.resource.clone()).await?;
        caller.sent(&request.patch);
        let media = match request.r#type() {
            patch_request::Type::Apply => {
                let applied = self.apply(context, &target, sub, request).await?;
                return Ok(caller.reply(applied));
            }
            patch_request::Type::Json => "application/json-patch+json",
            patch_request::Type::Merge => "application/merge-patch+json",
            patch_request::Type::Strategic => "application/strategic-merge-patch+json",
            patch_request::Type::Unspecified => {
                return Err(status(Status::bad_request("type: one of JSON, MERGE, STRATEGIC and APPLY is required")));
            }
        };
        check_manager(&request.field_manager, "PatchOptions", false, request.force).map_err(status)?;
        let patch = Patch::read(media, &request.patch).map_err(status)?;
        let expected = Expected::for_resource(target.resource());
        let change = |current: &Value| {
            let patched = patch.apply(expected.schema, current.clone())?;
            let (patched, _) = fit(patched, &expected, FieldValidation::Ignore, Vec::new())?;
            Ok(match sub {
                None => patched,
                Some((_, view)) => view.take(current, &patched),
            })
        };
        let bytes = self.registry.update(&context, &target, rules(sub), &change).await.map_err(status)?;
        Ok(caller.reply(object(&target, bytes)))
    }

    async fn delete(&self, request: Request<DeleteRequest>) -> Reply<Object> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let (context, target, _) = self.target(&caller, "delete", request.resource).await?;
        caller.sent(&request.options_json);
        let options = if request.options_json.is_empty() {
            DeleteOptions::default()
        } else {
            let value = crate::registry::parse(&request.options_json)
                .map_err(|_| status(Status::bad_request("options_json: not JSON")))?;
            DeleteOptions::read(&value).map_err(status)?
        };
        let mut context = context;
        context.dry_run = options.dry_run;
        let (bytes, deletion) = self.registry.delete(&context, &target, &options).await.map_err(status)?;
        let reply = if deletion == Deletion::Done {
            Object { api_version: "v1".into(), kind: "Status".into(), json: bytes }
        } else {
            object(&target, bytes)
        };
        Ok(caller.reply(reply))
    }

    type BindPodsStream = ReceiverStream<Result<PodBindingResult, tonic::Status>>;
    async fn bind_pods(&self, request: Request<Streaming<PodBinding>>) -> Reply<Self::BindPodsStream> {
        // Once for the stream: who may bind pods may bind them in all namespaces.
        let pods = Resource {
            version: "v1".into(),
            resource: "pods".into(),
            subresource: "binding".into(),
            ..Resource::default()
        };
        let caller = Caller { stream: true, ..caller(&request)? };
        self.target(&caller, "create", Some(pods)).await?;
        let filters = self.filters.clone();
        let (sender, receiver) = mpsc::channel(BINDINGS);
        let (registry, bindings) = (self.registry.clone(), request.into_inner());
        tokio::spawn(async move {
            // Ends with the scheduler's stream, or when the scheduler no longer reads results.
            bindings
                .take_while(|binding| std::future::ready(binding.is_ok()))
                .filter_map(|binding| std::future::ready(binding.ok()))
                .for_each_concurrent(BINDINGS, |binding| {
                    let (registry, sender, call) = (registry.clone(), sender.clone(), caller.call.clone());
                    let filters = &filters;
                    async move {
                        let result = bind(&registry, filters, &call, &binding).await;
                        let status_json = result.err().map(|s| s.to_json().to_string().into()).unwrap_or_default();
                        let _ = sender.send(Ok(PodBindingResult { id: binding.id, status_json })).await;
                    }
                })
                .await;
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

/// One binding of a stream: a request by itself, but for its place among those in flight, which the stream bounds.
async fn bind(registry: &Registry, filters: &Filters, call: &Call, binding: &PodBinding) -> Result<(), Status> {
    let pod = registry.target("", "v1", "pods", &binding.namespace, &binding.pod)?;
    let resource = Resource {
        version: "v1".into(),
        resource: "pods".into(),
        namespace: binding.namespace.clone(),
        name: binding.pod.clone(),
        subresource: "binding".into(),
        ..Resource::default()
    };
    let mut attributes = Attributes::of_call(call.user.clone(), "create", &resource);
    let exchange = call.start(filters, &registry.catalog(), &mut attributes);
    let context = Context::new(attributes, false);
    let result = registry.bind(&context, &pod, &binding.node, &binding.uid, None).await;
    exchange.end(&result);
    result
}

/// What has happened since the revision of a resumed watch: with the last batch its reader is as far as etcd was when it asked.
fn missed(watcher: &mut Watcher) -> Result<Vec<WatchBatch>, tonic::Status> {
    let mut batches = Vec::new();
    loop {
        let (events, revision) =
            watcher.bookmark(WATCH_BATCH).map_err(|ended| status(Status::expired(ended.to_string())))?;
        let synced = events.is_empty();
        batches.push(batch(events, revision, synced));
        if synced {
            return Ok(batches);
        }
    }
}

fn changes(watcher: Watcher, sent: Counter) -> impl Stream<Item = Result<WatchBatch, tonic::Status>> + Send {
    futures::stream::unfold(Some((watcher, sent)), |state| async move {
        let (mut watcher, sent) = state?;
        let events = match watcher.next(WATCH_BATCH).await {
            Ok(events) => events,
            // The client watches again, from where it is, and lists anew if that has expired.
            Err(ended) => return Some((Err(tonic::Status::unavailable(ended.to_string())), None)),
        };
        let revision = events.last().map_or(0, |(_, last)| last.revision);
        sent.inc_by(events.len() as u64);
        Some((Ok(batch(events, revision, true)), Some((watcher, sent))))
    })
}

fn batch(events: Vec<Seen>, revision: i64, synced: bool) -> WatchBatch {
    let event = |(kind, event): Seen| {
        let r#type = match kind {
            EventType::Added => watch_event::Type::Added,
            EventType::Modified => watch_event::Type::Modified,
            EventType::Deleted => watch_event::Type::Deleted,
        };
        WatchEvent { r#type: r#type.into(), json: event.object(kind) }
    };
    WatchBatch { events: events.into_iter().map(event).collect(), revision, synced }
}
