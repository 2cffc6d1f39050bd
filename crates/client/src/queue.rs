//! A queue of keys to work on: each key is queued once, and never worked on twice at a time.
//!
//! A key added while it is worked on is queued again when that work is done. Failed keys come back after a growing delay.
use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    fmt::Display,
    future::Future,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    task::{Id, JoinError, JoinSet},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

/// A failure is said when the next try is this far away.
const NEWS: Duration = Duration::from_millis(100);

/// Delays that double with each failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    pub base: Duration,
    pub max: Duration,
}

impl Backoff {
    pub const fn new(base: Duration, max: Duration) -> Self {
        Self { base, max }
    }

    /// The delay after so many failures before this one.
    pub fn delay(&self, failures: u32) -> Duration {
        self.base.saturating_mul(2u32.saturating_pow(failures)).min(self.max)
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new(Duration::from_millis(5), Duration::from_secs(1000))
    }
}

/// What becomes of a key that has been worked on without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Done,
    /// Look at it again after this time, unless something else asks for it sooner.
    After(Duration),
    /// Look at it again after its back-off, though nothing went wrong.
    Retry,
}

#[derive(Debug)]
pub struct WorkQueue<T> {
    inner: Arc<Inner<T>>,
}

impl<T> Clone for WorkQueue<T> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

#[derive(Debug)]
struct Inner<T> {
    state: Mutex<State<T>>,
    changed: Notify,
    backoff: Backoff,
}

#[derive(Debug)]
struct State<T> {
    ready: VecDeque<T>,
    /// All in `ready`, and those that come back when the work on them is done.
    dirty: HashSet<T>,
    working: HashSet<T>,
    /// The number makes equal instants distinct.
    delayed: BTreeMap<(Instant, u64), T>,
    /// The earliest place of each key in `delayed`.
    places: HashMap<T, (Instant, u64)>,
    serial: u64,
    failures: HashMap<T, u32>,
    closed: bool,
}

impl<T: Clone + Eq + Hash> State<T> {
    fn add(&mut self, key: T) {
        if !self.closed && self.dirty.insert(key.clone()) && !self.working.contains(&key) {
            self.ready.push_back(key);
        }
    }

    fn delay(&mut self, key: T, until: Instant) {
        if let Some(place) = self.places.get(&key).copied() {
            if place.0 <= until {
                return;
            }
            self.delayed.remove(&place);
        }
        self.serial += 1;
        let place = (until, self.serial);
        self.places.insert(key.clone(), place);
        self.delayed.insert(place, key);
    }

    /// Moves what is due; tells when the next is.
    fn ripen(&mut self, now: Instant) -> Option<Instant> {
        while let Some(entry) = self.delayed.first_entry() {
            if entry.key().0 > now {
                return Some(entry.key().0);
            }
            let key = entry.remove();
            self.places.remove(&key);
            self.add(key);
        }
        None
    }
}

impl<T: Clone + Eq + Hash + Send + 'static> Default for WorkQueue<T> {
    fn default() -> Self {
        Self::new(Backoff::default())
    }
}

impl<T: Clone + Eq + Hash + Send + 'static> WorkQueue<T> {
    pub fn new(backoff: Backoff) -> Self {
        let state = State {
            ready: VecDeque::new(),
            dirty: HashSet::new(),
            working: HashSet::new(),
            delayed: BTreeMap::new(),
            places: HashMap::new(),
            serial: 0,
            failures: HashMap::new(),
            closed: false,
        };
        Self { inner: Arc::new(Inner { state: Mutex::new(state), changed: Notify::new(), backoff }) }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn add(&self, key: T) {
        self.state().add(key);
        self.inner.changed.notify_one();
    }

    /// Adds the key after the delay; an earlier delay of the same key stays.
    pub fn add_after(&self, key: T, delay: Duration) {
        if delay.is_zero() {
            return self.add(key);
        }
        self.state().delay(key, Instant::now() + delay);
        self.inner.changed.notify_one();
    }

    /// Adds the key after a delay that doubles each time, until [`WorkQueue::forget`].
    pub fn add_backed_off(&self, key: T) -> Duration {
        let delay = {
            let mut state = self.state();
            let failures = state.failures.entry(key.clone()).or_default();
            let delay = self.inner.backoff.delay(*failures);
            *failures = failures.saturating_add(1);
            delay
        };
        self.add_after(key, delay);
        delay
    }

    /// The key's next failure is its first again.
    pub fn forget(&self, key: &T) {
        self.state().failures.remove(key);
    }

    /// How many wait, those with a delay included.
    pub fn len(&self) -> usize {
        let state = self.state();
        state.ready.len() + state.delayed.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The next key; [`WorkQueue::done`] must follow. `None` once the queue is closed and what was ready has been given out.
    pub async fn next(&self) -> Option<T> {
        loop {
            let changed = self.inner.changed.notified();
            let due = {
                let mut state = self.state();
                let due = state.ripen(Instant::now());
                if let Some(key) = state.ready.pop_front() {
                    state.dirty.remove(&key);
                    state.working.insert(key.clone());
                    // Another worker may sleep while there is more.
                    if !state.ready.is_empty() {
                        self.inner.changed.notify_one();
                    }
                    return Some(key);
                }
                if state.closed {
                    self.inner.changed.notify_one();
                    return None;
                }
                due
            };
            match due {
                None => changed.await,
                Some(due) => tokio::select! {
                    _ = changed => {}
                    _ = tokio::time::sleep_until(due) => {}
                },
            }
        }
    }

    /// The work on the key has ended.
    pub fn done(&self, key: &T) {
        let mut state = self.state();
        state.working.remove(key);
        if state.dirty.contains(key) {
            state.ready.push_back(key.clone());
            self.inner.changed.notify_one();
        }
    }

    /// Takes no more keys; workers end when the ready ones are done.
    pub fn close(&self) {
        self.state().closed = true;
        self.inner.changed.notify_waiters();
        self.inner.changed.notify_one();
    }

    /// Works on keys, so many at a time, until the token is cancelled. Errors are logged, and the key comes back.
    ///
    /// Work that is under way then is cut off, and its keys are queued again for the next run.
    pub async fn run<F, E>(&self, what: &str, workers: usize, token: CancellationToken, work: impl Fn(T) -> F)
    where
        T: std::fmt::Debug,
        F: Future<Output = Result<Next, E>> + Send + 'static,
        E: Display + Send + 'static,
    {
        let mut tasks = JoinSet::new();
        let mut keys = HashMap::new();
        loop {
            let key = tokio::select! {
                _ = token.cancelled() => break,
                Some(ended) = tasks.join_next_with_id() => {
                    self.settle(what, &mut keys, ended);
                    continue;
                }
                key = self.next(), if tasks.len() < workers => key,
            };
            let Some(key) = key else { break };
            let id = tasks.spawn(work(key.clone())).id();
            keys.insert(id, key);
        }
        if token.is_cancelled() {
            tasks.abort_all();
        }
        while let Some(ended) = tasks.join_next_with_id().await {
            self.settle(what, &mut keys, ended);
        }
    }

    fn settle<E: Display>(&self, what: &str, keys: &mut HashMap<Id, T>, ended: Result<(Id, Result<Next, E>), JoinError>)
    where
        T: std::fmt::Debug,
    {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let Some(key) = keys.remove(&id) else { return };
        let result = match ended {
            Ok((_, result)) => result,
            // A bug must show: the supervisor sees the panic go on.
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // Cut off.
                Err(_) => {
                    self.add(key.clone());
                    return self.done(&key);
                }
            },
        };
        match result {
            Ok(Next::Done) => self.forget(&key),
            Ok(Next::After(delay)) => {
                self.forget(&key);
                self.add_after(key.clone(), delay);
            }
            Ok(Next::Retry) => {
                self.add_backed_off(key.clone());
            }
            Err(error) => {
                let delay = self.add_backed_off(key.clone());
                // What the first tries settle is no news: a stale cache, another writer of the object.
                if delay < NEWS {
                    tracing::debug!("{what} {key:?}: {error}; again in {delay:?}");
                } else {
                    tracing::warn!("{what} {key:?}: {error}; again in {delay:?}");
                }
            }
        }
        self.done(&key);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_key_is_queued_once_and_worked_on_once_at_a_time() {
        let queue = WorkQueue::default();
        for key in ["a", "b", "a"] {
            queue.add(key);
        }
        assert_eq!(queue.next().await, Some("a"));
        queue.add("a");
        assert_eq!(queue.next().await, Some("b"));
        assert!(tokio::time::timeout(Duration::from_secs(9), queue.next()).await.is_err());
        queue.done(&"a");
        assert_eq!(queue.next().await, Some("a"));
    }

    #[tokio::test(start_paused = true)]
    async fn failures_double_the_delay_up_to_a_bound() {
        let queue = WorkQueue::default();
        let mut delays = Vec::new();
        for _ in 0..20 {
            delays.push(queue.add_backed_off("a"));
            let before = Instant::now();
            queue.next().await;
            assert_eq!(before.elapsed().as_millis().max(1), delays.last().unwrap().as_millis().max(1));
            queue.done(&"a");
        }
        assert_eq!(delays[..3], [5, 10, 20].map(Duration::from_millis));
        assert_eq!(delays[19], Duration::from_secs(1000));
        queue.forget(&"a");
        assert_eq!(queue.add_backed_off("a"), Duration::from_millis(5));
    }

    #[tokio::test(start_paused = true)]
    async fn of_several_delays_the_earliest_counts() {
        let queue = WorkQueue::default();
        queue.add_after("a", Duration::from_secs(5));
        queue.add_after("a", Duration::from_secs(1));
        queue.add_after("a", Duration::from_secs(9));
        let before = Instant::now();
        assert_eq!(queue.next().await, Some("a"));
        assert_eq!(before.elapsed().as_secs(), 1);
        assert_eq!(queue.len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_is_cut_off_is_done_by_the_next_run() {
        let (queue, runs) = (WorkQueue::default(), Arc::new(AtomicUsize::new(0)));
        queue.add("a");
        for seconds in [1, 9] {
            let (token, counter) = (CancellationToken::new(), runs.clone());
            let work = move |_| {
                let counter = counter.clone();
                async move {
                    tokio::time::sleep(Duration::from_secs(5)).await;
                    counter.fetch_add(1, Ordering::Relaxed);
                    Ok::<_, String>(Next::Done)
                }
            };
            let end = async {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                token.cancel();
            };
            tokio::join!(queue.run("test", 1, token.clone(), work), end);
        }
        assert_eq!(runs.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn workers_run_side_by_side_and_retry_what_failed() {
        let (queue, token, runs) = (WorkQueue::default(), CancellationToken::new(), Arc::new(AtomicUsize::new(0)));
        for key in 0..10 {
            queue.add(key);
        }
        let before = Instant::now();
        let (counter, end) = (runs.clone(), token.clone());
        queue
            .run("test", 5, token.clone(), move |key: i32| {
                let (counter, end) = (counter.clone(), end.clone());
                async move {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    match counter.fetch_add(1, Ordering::Relaxed) + 1 {
                        11 => end.cancel(),
                        _ if key == 3 => return Err("no"),
                        _ => {}
                    }
                    Ok(Next::Done)
                }
            })
            .await;
        assert_eq!(runs.load(Ordering::Relaxed), 11);
        assert!(before.elapsed() < Duration::from_millis(3100), "{:?}", before.elapsed());
    }
}
