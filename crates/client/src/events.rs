//! Events: what happened to an object, for people to read.
//!
//! Recording never holds up the caller and never fails it: what can't be written in time is dropped. The same event again
//! counts up the first; an object that has too many is throttled.
use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    time::Duration,
};

use daemon::LogOnce;
use jiff::Timestamp;
use k8s_openapi::{
    Resource,
    api::core::v1::{Event, EventSource, ObjectReference},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};
use serde_json::json;
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{Client, Error, Object, Patch};

/// Events that wait to be written.
const QUEUE: usize = 1000;
/// Events that are remembered so that they can be counted up, and objects whose rate is.
const REMEMBERED: usize = 4096;
/// An object may have so many events at once, and then one in each of these times.
const BURST: f64 = 25.0;
const REFILL: Duration = Duration::from_secs(300);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventType {
    Normal,
    Warning,
}

impl EventType {
    fn as_str(self) -> &'static str {
        match self {
            EventType::Normal => "Normal",
            EventType::Warning => "Warning",
        }
    }
}

/// How an event names the object that it is about.
pub fn object_reference<K: Object>(object: &K) -> ObjectReference {
    let meta = object.metadata();
    ObjectReference {
        api_version: Some(K::API_VERSION.to_owned()),
        kind: Some(K::KIND.to_owned()),
        namespace: meta.namespace.clone(),
        name: meta.name.clone(),
        uid: meta.uid.clone(),
        resource_version: meta.resource_version.clone(),
        field_path: None,
    }
}

#[derive(Debug)]
struct Happening {
    about: ObjectReference,
    kind: EventType,
    reason: String,
    message: String,
    time: Timestamp,
}

/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct EventRecorder {
    queue: mpsc::Sender<Happening>,
}

impl EventRecorder {
    /// `component` is who says it: `replication-controller`. The second value must be run.
    pub fn new(client: &Client, component: &str, host: Option<&str>) -> (Self, Recording) {
        let (queue, happenings) = mpsc::channel(QUEUE);
        let source = EventSource { component: Some(component.to_owned()), host: host.map(str::to_owned) };
        let recording = Recording { client: client.clone(), source, happenings, memory: Memory::default() };
        (Self { queue }, recording)
    }

    pub fn record(&self, about: ObjectReference, kind: EventType, reason: &str, message: impl Into<String>) {
        let (reason, message) = (reason.to_owned(), message.into());
        let happening = Happening { about, kind, reason, message, time: Timestamp::now() };
        if let Err(error) = self.queue.try_send(happening) {
            tracing::debug!("an event is dropped: {error}");
        }
    }

    pub fn normal<K: Object>(&self, about: &K, reason: &str, message: impl Into<String>) {
        self.record(object_reference(about), EventType::Normal, reason, message);
    }

    pub fn warning<K: Object>(&self, about: &K, reason: &str, message: impl Into<String>) {
        self.record(object_reference(about), EventType::Warning, reason, message);
    }
}

/// A map that forgets the oldest.
#[derive(Debug)]
struct Bounded<K, V> {
    map: HashMap<K, V>,
    order: VecDeque<K>,
}

impl<K, V> Default for Bounded<K, V> {
    fn default() -> Self {
        Self { map: HashMap::new(), order: VecDeque::new() }
    }
}

impl<K: Clone + Eq + Hash, V> Bounded<K, V> {
    fn get_or_insert(&mut self, key: &K, value: impl FnOnce() -> V) -> &mut V {
        if !self.map.contains_key(key) {
            if self.order.len() >= REMEMBERED
                && let Some(oldest) = self.order.pop_front()
            {
                self.map.remove(&oldest);
            }
            self.order.push_back(key.clone());
        }
        self.map.entry(key.clone()).or_insert_with(value)
    }
}

/// What makes two events the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Same {
    namespace: String,
    about: (String, String, String, String),
    kind: EventType,
    reason: String,
    message: String,
}

#[derive(Debug)]
struct Tokens {
    left: f64,
    since: Instant,
}

#[derive(Debug, Default)]
struct Memory {
    /// The event's name and count.
    written: Bounded<Same, Option<(String, i32)>>,
    rates: Bounded<(String, String), Tokens>,
}

#[derive(Debug, PartialEq)]
enum Action {
    Create,
    CountUp { name: String, count: i32 },
    Drop,
}

impl Memory {
    fn plan(&mut self, same: &Same, now: Instant) -> Action {
        let object = (same.namespace.clone(), same.about.2.clone());
        let tokens = self.rates.get_or_insert(&object, || Tokens { left: BURST, since: now });
        let refilled = tokens.left + (now - tokens.since).as_secs_f64() / REFILL.as_secs_f64();
        *tokens = Tokens { left: refilled.min(BURST), since: now };
        if tokens.left < 1.0 {
            return Action::Drop;
        }
        tokens.left -= 1.0;
        match self.written.get_or_insert(same, || None) {
            Some((name, count)) => Action::CountUp { name: name.clone(), count: *count + 1 },
            None => Action::Create,
        }
    }

    fn wrote(&mut self, same: &Same, name: String, count: i32) {
        *self.written.get_or_insert(same, || None) = Some((name, count));
    }
}

/// Writes the events of its recorder.
#[derive(Debug)]
pub struct Recording {
    client: Client,
    source: EventSource,
    happenings: mpsc::Receiver<Happening>,
    memory: Memory,
}

impl Recording {
    pub async fn run(mut self, token: CancellationToken) {
        let log = LogOnce::new();
        loop {
            let happening = tokio::select! {
                _ = token.cancelled() => return,
                happening = self.happenings.recv() => happening,
            };
            let Some(happening) = happening else { return token.cancelled().await };
            match self.write(happening).await {
                Ok(()) => {
                    log.over("events are written again");
                }
                // Nobody may write there any more; the event is of no use.
                Err(error) if error.is_namespace_terminating() || error.is_not_found() => {}
                Err(error) => {
                    log.trouble(format_args!("an event can't be written: {error}"));
                }
            }
        }
    }

    async fn write(&mut self, happening: Happening) -> Result<(), Error> {
        let Happening { about, kind, reason, message, time } = happening;
        let namespace = about.namespace.clone().filter(|name| !name.is_empty()).unwrap_or_else(|| "default".to_owned());
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let name = text(&about.name);
        let same = Same {
            namespace: namespace.clone(),
            about: (text(&about.kind), name.clone(), text(&about.uid), text(&about.field_path)),
            kind,
            reason: reason.clone(),
            message: message.clone(),
        };
        match self.memory.plan(&same, Instant::now()) {
            Action::Drop => return Ok(()),
            Action::CountUp { name, count } => {
                let patch = json!({ "count": count, "lastTimestamp": Time(time) });
                match self.client.patch::<Event>(&namespace, &name, Patch::Merge, &patch, "").await {
                    Ok(_) => {
                        self.memory.wrote(&same, name, count);
                        return Ok(());
                    }
                    // It has expired: it begins anew.
                    Err(error) if error.is_not_found() => {}
                    Err(error) => return Err(error),
                }
            }
            Action::Create => {}
        }
        // Objects of old versions may have capital letters in their names; events of today may not.
        let event_name = format!("{}.{:x}", name.to_ascii_lowercase(), time.as_nanosecond());
        let event = Event {
            metadata: ObjectMeta { namespace: Some(namespace), name: Some(event_name.clone()), ..Default::default() },
            involved_object: about,
            type_: Some(kind.as_str().to_owned()),
            reason: Some(reason),
            message: Some(message),
            count: Some(1),
            first_timestamp: Some(Time(time)),
            last_timestamp: Some(Time(time)),
            source: Some(self.source.clone()),
            reporting_component: self.source.component.clone(),
            reporting_instance: self.source.host.clone(),
            ..Default::default()
        };
        match self.client.create(&event).await {
            Err(error) if !error.is_already_exists() => Err(error),
            _ => {
                tracing::debug!("{} {name}: {}", Event::KIND, same.message);
                self.memory.wrote(&same, event_name, 1);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(uid: &str, message: &str) -> Same {
        Same {
            namespace: "default".into(),
            about: ("Pod".into(), "a".into(), uid.into(), String::new()),
            kind: EventType::Normal,
            reason: "Pulled".into(),
            message: message.into(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_again_counts_up() {
        let mut memory = Memory::default();
        assert_eq!(memory.plan(&same("1", "x"), Instant::now()), Action::Create);
        // Nothing was written, so it is tried anew.
        assert_eq!(memory.plan(&same("1", "x"), Instant::now()), Action::Create);
        memory.wrote(&same("1", "x"), "a.1".into(), 1);
        assert_eq!(memory.plan(&same("1", "x"), Instant::now()), Action::CountUp { name: "a.1".into(), count: 2 });
        assert_eq!(memory.plan(&same("1", "y"), Instant::now()), Action::Create);
    }

    #[tokio::test(start_paused = true)]
    async fn an_object_with_too_many_is_throttled_and_others_are_not() {
        let mut memory = Memory::default();
        for _ in 0..25 {
            assert_eq!(memory.plan(&same("1", "x"), Instant::now()), Action::Create);
        }
        assert_eq!(memory.plan(&same("1", "x"), Instant::now()), Action::Drop);
        assert_eq!(memory.plan(&same("2", "x"), Instant::now()), Action::Create);
        tokio::time::advance(REFILL).await;
        assert_eq!(memory.plan(&same("1", "x"), Instant::now()), Action::Create);
    }
}
