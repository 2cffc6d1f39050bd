//! Watchers of one object, one namespace or one value of a field: an event reaches only those that want it.
//!
//! Each has an inbox of positions in the ring. Events are kept by the ring alone, so being overtaken by the ring is the
//! only way to fall behind.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;

use crate::event::Event;
use crate::filter::Filter;

#[derive(Default)]
pub(crate) struct Inbox {
    letters: Mutex<Letters>,
    pub(crate) wake: Notify,
}

#[derive(Default)]
pub(crate) struct Letters {
    pub(crate) positions: VecDeque<u64>,
    /// Will be woken by the next pulse.
    stirred: bool,
}

impl Inbox {
    pub(crate) fn new(positions: VecDeque<u64>) -> Arc<Self> {
        Arc::new(Self { letters: Mutex::new(Letters { positions, stirred: false }), wake: Notify::new() })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Letters> {
        self.letters.lock().expect("no holder panics")
    }
}

/// By what a watcher is found.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Topic {
    Key(Box<str>),
    Field(Box<str>),
    Namespace(Box<str>),
}

impl Topic {
    /// `None`: everything must be looked at.
    pub(crate) fn of(filter: &Filter) -> Option<Self> {
        match (filter.namespace.as_str(), filter.name.as_str(), filter.first_field()) {
            ("", "", None) => None,
            (namespace, name, _) if !namespace.is_empty() && !name.is_empty() => {
                Some(Self::Key(format!("{namespace}/{name}").into()))
            }
            (_, _, Some(value)) => Some(Self::Field(value.into())),
            // A name alone: of an object without a namespace, or of any namespace.
            ("", name, _) => Some(Self::Key(name.into())),
            (namespace, _, _) => Some(Self::Namespace(namespace.into())),
        }
    }
}

type Inboxes = HashMap<Box<str>, Vec<Arc<Inbox>>>;

#[derive(Default)]
pub(crate) struct Index {
    by_key: Inboxes,
    by_field: Inboxes,
    by_namespace: Inboxes,
    /// Who got something since the last pulse.
    stirred: Vec<Arc<Inbox>>,
}

impl Index {
    fn of(&mut self, topic: Topic) -> (&mut Inboxes, Box<str>) {
        match topic {
            Topic::Key(key) => (&mut self.by_key, key),
            Topic::Field(value) => (&mut self.by_field, value),
            Topic::Namespace(namespace) => (&mut self.by_namespace, namespace),
        }
    }

    /// `shown`: what lies behind it in the ring is told of with the next pulse, to this inbox as well.
    pub(crate) fn add(&mut self, topic: Topic, inbox: Arc<Inbox>, shown: u64) {
        let mut letters = inbox.lock();
        if letters.positions.back().is_some_and(|last| *last >= shown) {
            letters.stirred = true;
            self.stirred.push(inbox.clone());
        }
        drop(letters);
        let (inboxes, value) = self.of(topic);
        inboxes.entry(value).or_default().push(inbox);
    }

    pub(crate) fn remove(&mut self, topic: Topic, inbox: &Arc<Inbox>) {
        let (inboxes, value) = self.of(topic);
        if let Some(list) = inboxes.get_mut(&value) {
            list.retain(|other| !Arc::ptr_eq(other, inbox));
            if list.is_empty() {
                inboxes.remove(&value);
            }
        }
    }

    /// `base`: what lies before it in the ring is gone.
    pub(crate) fn tell(&mut self, event: &Event, position: u64, base: u64) {
        let Self { by_key, by_field, by_namespace, stirred } = self;
        let mut push = |inboxes: &Inboxes, value: &str| {
            for inbox in inboxes.get(value).into_iter().flatten() {
                let mut letters = inbox.lock();
                // One that was overtaken finds its first letter unreadable; more letters would not help it.
                if letters.positions.front().is_some_and(|first| *first < base) {
                    letters.positions.truncate(1);
                } else {
                    letters.positions.push_back(position);
                }
                if !std::mem::replace(&mut letters.stirred, true) {
                    stirred.push(inbox.clone());
                }
            }
        };
        let Some(entry) = event.states().next() else { return };
        if !by_namespace.is_empty() {
            push(by_namespace, entry.namespace());
        }
        if !by_key.is_empty() {
            push(by_key, &entry.key);
            if entry.name().len() < entry.key.len() {
                push(by_key, entry.name());
            }
        }
        if !by_field.is_empty() {
            let mut values = event.states().map(|entry| entry.fields.first().map_or("", |value| &**value));
            let (now, before) = (values.next(), values.next());
            for value in now.into_iter().chain(before.filter(|_| before != now)) {
                push(by_field, value);
            }
        }
    }

    /// Wakes those that got something.
    pub(crate) fn pulse(&mut self) {
        for inbox in self.stirred.drain(..) {
            inbox.lock().stirred = false;
            inbox.wake.notify_one();
        }
    }

    pub(crate) fn wake_all(&self) {
        let all = self.by_key.values().chain(self.by_field.values()).chain(self.by_namespace.values());
        all.flatten().for_each(|inbox| inbox.wake.notify_one());
    }
}
