//! Watches over HTTP: one JSON document per event, in the order of the revisions, for as long as the client stays.

use std::sync::Arc;
use std::time::Duration;

use api::columns;
use api::schema::{builtin, protobuf};
use api::status::Status;
use bytes::{BufMut, Bytes, BytesMut};
use futures::Stream;
use http::{Response, StatusCode};
use jiff::Timestamp;
use prometheus_client::metrics::counter::Counter;
use serde_json::{Value, json};
use storage::{Entry, EventType, Seen, Watcher};
use tokio::time::Instant;

use super::codec::{self, Media, respond};
use super::negotiate::{Accepted, Form, accepted_for};
use super::objects::partial;
use super::options::{initial_events, selectors};
use super::{Request, Rest};
use crate::registry::{Target, parse};
use crate::server::Body;

/// Between bookmarks, so that a client that hears nothing still knows how far it is.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// The last bookmark comes so long before the end, for the client to go on from there.
const BOOKMARK_BEFORE_END: Duration = Duration::from_secs(2);
/// A watch ends at some time between this and twice as long; clients go on where they were.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(1800);
/// What a client may ask for: more than anyone waits, and still a time that can be reckoned with.
const MAX_TIMEOUT: Duration = Duration::from_secs(24 * 3600);
/// Events in one chunk: slow readers get larger chunks and fewer of them.
const BATCH: usize = 256;

impl Rest {
    pub(super) async fn watch(&self, request: &Request, target: &Target) -> Result<Response<Body>, Status> {
        let Accepted { form, media } = accepted_for(target.form(), request)?;
        let (labels, fields) = selectors(request, target)?;
        let filter = self.registry.filter(target, &labels, &fields)?;
        let version = request.query.number("resourceVersion")?;
        let initial = initial_events(request)?;
        let timeout = match request.query.number("timeoutSeconds")? {
            Some(seconds) if seconds > 0 => Duration::from_secs(seconds as u64).min(MAX_TIMEOUT),
            _ => DEFAULT_TIMEOUT + Duration::from_secs(rand::random_range(0..DEFAULT_TIMEOUT.as_secs())),
        };
        let bookmarks = request.query.flag("allowWatchBookmarks");
        let mut first = BytesMut::new();
        let mut writer = Writer {
            target: target.clone(),
            form,
            media,
            begun: false,
            sent: self.filters.requests.watch_events(target.form()),
        };
        let watcher = match version {
            Some(after) if after > 0 && !initial => match self.registry.watch(target, filter, after).await {
                Ok(watcher) => watcher,
                // As upstream: the watch begins, and its first event is the error.
                Err(status) if status.code == 410 => {
                    writer.error(&mut first, &status);
                    return Ok(respond(StatusCode::OK, media.stream_type(), first.freeze()));
                }
                Err(status) => return Err(status),
            },
            version => {
                let (listed, watcher) = self.registry.list_and_watch(target, filter, version).await?;
                for entry in &listed.entries {
                    writer.event(&mut first, EventType::Added.name(), &entry.bytes, Some(entry));
                }
                if initial && bookmarks {
                    let annotations = json!({"k8s.io/initial-events-end": "true"});
                    writer.bookmark(&mut first, listed.revision, Some(annotations));
                }
                watcher
            }
        };
        let stream = events(watcher, writer, first.freeze(), bookmarks, timeout);
        Ok(respond(StatusCode::OK, media.stream_type(), Body::Stream(Box::pin(stream))))
    }
}

/// `None`: there is none before the end.
fn next_bookmark(end: Instant) -> Option<Instant> {
    let now = Instant::now();
    let last = end.checked_sub(BOOKMARK_BEFORE_END).filter(|last| *last > now)?;
    Some((now + BOOKMARK_EVERY).min(last))
}

struct State {
    watcher: Watcher,
    writer: Writer,
    first: Bytes,
    end: Instant,
    bookmark: Option<Instant>,
    /// The client was told that the watch cannot go on.
    over: bool,
}

fn events(
    watcher: Watcher,
    writer: Writer,
    first: Bytes,
    bookmarks: bool,
    timeout: Duration,
) -> impl Stream<Item = Bytes> + Send {
    let end = Instant::now() + timeout;
    let bookmark = bookmarks.then(|| next_bookmark(end)).flatten();
    let state = State { watcher, writer, first, end, bookmark, over: false };
    futures::stream::unfold(state, |mut state| async move {
        if !state.first.is_empty() {
            return Some((std::mem::take(&mut state.first), state));
        }
        if state.over {
            return None;
        }
        let due = state.bookmark.unwrap_or(state.end).min(state.end);
        let told = tokio::select! {
            events = state.watcher.next(BATCH) => events.map(|events| (events, None)),
            () = tokio::time::sleep_until(due) => {
                state.bookmark.filter(|at| *at <= Instant::now())?;
                state.bookmark = next_bookmark(state.end);
                state.watcher.bookmark(BATCH).map(|(events, revision)| (events, Some(revision)))
            }
        };
        let mut chunk = BytesMut::new();
        match told {
            Ok((events, bookmark)) => {
                state.writer.events(&mut chunk, &events);
                if let Some(revision) = bookmark {
                    state.writer.bookmark(&mut chunk, revision, None);
                }
            }
            Err(ended) => {
                state.writer.error(&mut chunk, &Status::expired(ended.to_string()));
                state.over = true;
            }
        }
        Some((chunk.freeze(), state))
    })
}

/// Writes events in the client's form.
struct Writer {
    target: Target,
    form: Form,
    media: Media,
    /// Only the first table of a watch names its columns.
    begun: bool,
    sent: Counter,
}

impl Writer {
    fn events(&mut self, out: &mut BytesMut, events: &[Seen]) {
        let stored = self.target.form().is_stored();
        if stored && matches!(self.form, Form::Object) && self.media != Media::Protobuf {
            self.sent.inc_by(events.len() as u64);
            out.reserve(events.iter().map(|(kind, event)| event.frame(*kind).len()).sum());
            return events.iter().for_each(|(kind, event)| out.put_slice(&event.frame(*kind)));
        }
        for (kind, event) in events {
            self.event(out, kind.name(), &event.object(*kind), event.entry(*kind));
        }
    }

    /// `entry`: where the cache has the object.
    fn event(&mut self, out: &mut BytesMut, kind: &str, object: &Bytes, entry: Option<&Arc<Entry>>) {
        self.sent.inc();
        if self.media == Media::Protobuf {
            let form = self.target.form();
            let body = match &self.form {
                Form::Metadata { version } => {
                    let Ok(document) = parse(object) else { return };
                    let message = protobuf::partial(&document["metadata"]);
                    protobuf::envelope(&format!("meta.k8s.io/{version}"), "PartialObjectMetadata", &message)
                }
                _ => {
                    let message = codec::message(form, object, entry);
                    protobuf::envelope(&form.api_version(), form.kind, &message)
                }
            };
            return out.put_slice(&protobuf::watch_frame(kind, &body));
        }
        let object = match &self.form {
            Form::Object => codec::in_version(self.target.form(), object.clone(), entry),
            form => {
                let Ok(document) = parse(object) else { return };
                self.shown(form.clone(), &document).to_string().into()
            }
        };
        line(out, kind, &object);
    }

    fn error(&self, out: &mut BytesMut, status: &Status) {
        let status = status.to_json();
        if self.media != Media::Protobuf {
            return line(out, "ERROR", status.to_string().as_bytes());
        }
        let message = builtin().of_kind("", "v1", "Status").map(|id| builtin().write_protobuf(id, &status));
        let body = protobuf::envelope("v1", "Status", &message.unwrap_or_default());
        out.put_slice(&protobuf::watch_frame("ERROR", &body));
    }

    fn shown(&mut self, form: Form, document: &Value) -> Value {
        match form {
            Form::Object => document.clone(),
            Form::Metadata { version } => partial(document, &version),
            Form::Table { version, include } => {
                let resource = self.target.form();
                let list_meta = json!({"resourceVersion": document["metadata"]["resourceVersion"]});
                let mut table = columns::table(resource.own_columns(), &version, list_meta);
                if std::mem::replace(&mut self.begun, true) {
                    table["columnDefinitions"] = Value::Null;
                }
                table["rows"] = json!([codec::row(resource, &version, document, include, Timestamp::now())]);
                table
            }
        }
    }

    fn bookmark(&mut self, out: &mut BytesMut, revision: i64, annotations: Option<Value>) {
        let resource = self.target.resource();
        let mut object = json!({"kind": resource.kind, "apiVersion": resource.api_version(),
            "metadata": {"resourceVersion": revision.to_string()}});
        if let Some(annotations) = annotations {
            object["metadata"]["annotations"] = annotations;
        }
        self.event(out, "BOOKMARK", &object.to_string().into(), None);
    }
}

fn line(out: &mut BytesMut, kind: &str, object: &[u8]) {
    out.reserve(object.len() + 40);
    out.put_slice(b"{\"type\":\"");
    out.put_slice(kind.as_bytes());
    out.put_slice(b"\",\"object\":");
    out.put_slice(object);
    out.put_slice(b"}\n");
}
