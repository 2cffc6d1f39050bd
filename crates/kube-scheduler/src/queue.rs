//! Pods that wait for a node: ready, backing off after a failure, or waiting for something that can help.
//!
//! Pure: time comes in as an argument.
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use crate::{model::Pod, plugins::Helps};

const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LAST_BACKOFF: Duration = Duration::from_secs(10);
/// Even when nothing that was known to help has happened, a pod is tried again after this time.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// Higher priority first, then who came first.
type Rank = (Reverse<i32>, u64);

#[derive(Debug)]
enum Place {
    Active(Rank),
    Backoff(Instant, u64),
    Waiting {
        since: Instant,
        helped_by: Vec<Helps>,
    },
    /// Out of the queue, at work.
    InFlight,
}

#[derive(Debug)]
struct Entry {
    pod: Arc<Pod>,
    serial: u64,
    attempts: u32,
    /// Not to be tried before, whatever happens.
    not_before: Instant,
    place: Place,
}

#[derive(Debug, Default)]
pub struct Queue {
    entries: HashMap<String, Entry>,
    active: BTreeMap<Rank, String>,
    backoff: BTreeMap<(Instant, u64), String>,
    waiting: BTreeSet<String>,
    serial: u64,
}

/// How many pods are where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Depths {
    pub active: usize,
    pub backoff: usize,
    pub unschedulable: usize,
}

impl Queue {
    pub fn depths(&self) -> Depths {
        Depths { active: self.active.len(), backoff: self.backoff.len(), unschedulable: self.waiting.len() }
    }

    /// A pod is new, or has changed. A change of what it asks for is a reason to try it again.
    pub fn set(&mut self, pod: Arc<Pod>, now: Instant) {
        let uid = pod.uid().to_owned();
        let Some(entry) = self.entries.get_mut(&uid) else {
            self.serial += 1;
            let (serial, place) = (self.serial, Place::InFlight);
            self.entries.insert(uid.clone(), Entry { pod, serial, attempts: 0, not_before: now, place });
            return self.activate(&uid, now);
        };
        let changed = asks_for_other(&entry.pod, &pod);
        entry.pod = pod;
        if changed && !matches!(entry.place, Place::InFlight) {
            self.unplace(&uid);
            self.activate(&uid, now);
        }
    }

    /// The pod is gone, or has a node.
    pub fn remove(&mut self, uid: &str) {
        self.unplace(uid);
        self.entries.remove(uid);
    }

    /// The next pod to try, which is then in flight.
    pub fn pop(&mut self, now: Instant) -> Option<Arc<Pod>> {
        self.ripen(now);
        let (_, uid) = self.active.pop_first()?;
        let entry = self.entries.get_mut(&uid)?;
        entry.place = Place::InFlight;
        entry.attempts += 1;
        Some(entry.pod.clone())
    }

    /// A pod in flight could not be placed; it waits for what can help.
    pub fn wait(&mut self, uid: &str, helped_by: Vec<Helps>, now: Instant) {
        let Some(entry) = self.entries.get_mut(uid) else { return };
        entry.not_before = now + backoff(entry.attempts);
        entry.place = Place::Waiting { since: now, helped_by };
        self.waiting.insert(uid.to_owned());
    }

    /// A pod in flight failed for a reason that is not its own; it is tried again after its back-off.
    pub fn retry(&mut self, uid: &str, now: Instant) {
        let Some(entry) = self.entries.get_mut(uid) else { return };
        entry.not_before = now + backoff(entry.attempts);
        self.activate(uid, now);
    }

    /// Something has happened: pods that it can help are tried again.
    pub fn happened(&mut self, what: Helps, now: Instant) {
        self.wake(now, |_, helped_by| helped_by.contains(&what));
    }

    /// Moves what is due; tells when the next is.
    pub fn ripen(&mut self, now: Instant) -> Option<Instant> {
        while let Some(entry) = self.backoff.first_entry()
            && entry.key().0 <= now
        {
            let uid = entry.remove();
            self.activate(&uid, now);
        }
        self.wake(now, |since, _| now.duration_since(since) >= LONGEST_WAIT);
        let backoff = self.backoff.first_key_value().map(|((due, _), _)| *due);
        let waiting = (!self.waiting.is_empty()).then(|| now + Duration::from_secs(30));
        backoff.into_iter().chain(waiting).min()
    }

    fn wake(&mut self, now: Instant, is_due: impl Fn(Instant, &[Helps]) -> bool) {
        let due = |uid: &&String| match self.entries.get(*uid).map(|entry| &entry.place) {
            Some(Place::Waiting { since, helped_by }) => is_due(*since, helped_by),
            _ => false,
        };
        let due: Vec<String> = self.waiting.iter().filter(due).cloned().collect();
        for uid in due {
            self.waiting.remove(&uid);
            self.activate(&uid, now);
        }
    }

    fn activate(&mut self, uid: &str, now: Instant) {
        let Some(entry) = self.entries.get_mut(uid) else { return };
        if entry.not_before > now {
            entry.place = Place::Backoff(entry.not_before, entry.serial);
            self.backoff.insert((entry.not_before, entry.serial), uid.to_owned());
        } else {
            let rank = (Reverse(entry.pod.priority), entry.serial);
            entry.place = Place::Active(rank);
            self.active.insert(rank, uid.to_owned());
        }
    }

    fn unplace(&mut self, uid: &str) {
        match self.entries.get(uid).map(|entry| &entry.place) {
            Some(Place::Active(rank)) => drop(self.active.remove(rank)),
            Some(Place::Backoff(due, serial)) => drop(self.backoff.remove(&(*due, *serial))),
            Some(Place::Waiting { .. }) => drop(self.waiting.remove(uid)),
            Some(Place::InFlight) | None => {}
        }
    }
}

fn backoff(attempts: u32) -> Duration {
    let doublings = attempts.saturating_sub(1).min(10);
    (FIRST_BACKOFF * 2u32.pow(doublings)).min(LAST_BACKOFF)
}

fn asks_for_other(old: &Pod, new: &Pod) -> bool {
    old.requests != new.requests
        || old.tolerations != new.tolerations
        || old.affinity != new.affinity
        || old.priority != new.priority
        || old.metadata.labels != new.metadata.labels
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(uid: &str, priority: i32) -> Arc<Pod> {
        let json = json!({"metadata": {"uid": uid, "name": uid}, "spec": {"priority": priority, "containers": []}});
        Arc::new(serde_json::from_value(json).unwrap())
    }

    fn pop(queue: &mut Queue, now: Instant) -> Option<String> {
        queue.pop(now).map(|pod| pod.uid().to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn priority_then_age() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        for (uid, priority) in [("a", 0), ("b", 5), ("c", 0), ("d", 5)] {
            queue.set(pod(uid, priority), now);
        }
        queue.set(pod("c", 9), now);
        queue.remove("d");
        let order: Vec<_> = std::iter::from_fn(|| pop(&mut queue, now)).collect();
        assert_eq!(order, ["c", "b", "a"]);
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_helps_wakes_and_not_before_the_back_off() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.set(pod("a", 0), now);
        pop(&mut queue, now);
        queue.wait("a", vec![Helps::PodGone], now);
        queue.happened(Helps::NodeProperties, now);
        assert_eq!(queue.depths(), Depths { unschedulable: 1, ..Depths::default() });
        queue.happened(Helps::PodGone, now);
        assert_eq!(queue.depths(), Depths { backoff: 1, ..Depths::default() });
        assert_eq!(pop(&mut queue, now), None);
        assert_eq!(queue.ripen(now), Some(now + Duration::from_secs(1)));
        assert_eq!(pop(&mut queue, now + Duration::from_secs(1)), Some("a".into()));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_waits_for_ever() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.set(pod("a", 0), now);
        pop(&mut queue, now);
        queue.wait("a", vec![], now);
        assert_eq!(pop(&mut queue, now + Duration::from_secs(299)), None);
        assert_eq!(pop(&mut queue, now + Duration::from_secs(300)), Some("a".into()));
    }

    #[tokio::test(start_paused = true)]
    async fn failures_back_off_up_to_ten_seconds() {
        let (mut queue, mut now) = (Queue::default(), Instant::now());
        queue.set(pod("a", 0), now);
        let mut delays = Vec::new();
        for _ in 0..6 {
            pop(&mut queue, now).unwrap();
            queue.retry("a", now);
            let due = queue.ripen(now).unwrap();
            delays.push((due - now).as_secs());
            now = due;
        }
        assert_eq!(delays, [1, 2, 4, 8, 10, 10]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_that_asks_for_less_is_tried_again() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.set(pod("a", 0), now);
        pop(&mut queue, now);
        queue.wait("a", vec![], now);
        let later = now + Duration::from_secs(5);
        queue.set(pod("a", 0), later);
        assert_eq!(pop(&mut queue, later), None);
        queue.set(pod("a", 1), later);
        assert_eq!(pop(&mut queue, later), Some("a".into()));
        // Removed in flight: nothing comes back.
        queue.remove("a");
        queue.retry("a", later);
        assert_eq!(queue.depths(), Depths::default());
    }
}
