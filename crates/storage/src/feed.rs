//! The tasks that fill and feed the cache: a list, the watch from there on, and what to do when etcd goes away, forgets
//! or is another one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;

use crate::backend::{self, Backend, Tip, prefix_end};
use crate::cache::Shared;
use crate::entry::Entry;
use crate::store::Inner;

const PAGE: i64 = 1000;
/// Kinds that are listed at the same time.
const LISTS: usize = 16;
const FIRST_DELAY: Duration = Duration::from_millis(50);
const LAST_DELAY: Duration = Duration::from_secs(1);

/// Where the task that feeds the cache is.
#[derive(Debug)]
enum State {
    /// Reading everything, the first time or after history was lost.
    Listing,
    /// Watching from the revision on. The cache was behind until it has seen `until`.
    Watching { from: i64, until: i64 },
    /// The store did not answer. What was seen before `from` need not be read again.
    BackOff { from: Option<i64> },
}

pub(crate) async fn run(shared: &Shared) {
    let mut state = State::Listing;
    let outage = Outage::default();
    let mut delay = FIRST_DELAY;
    loop {
        state = match state {
            State::Listing => match list_all(shared).await {
                Ok(revision) => State::Watching { from: revision + 1, until: revision },
                Err(error) => outage.began(&error, None),
            },
            State::Watching { from, until } => {
                let began = from;
                let next = follow(shared, from, until, &outage).await;
                if !matches!(next, State::BackOff { from: Some(from) } if from == began) {
                    delay = FIRST_DELAY;
                }
                next
            }
            State::BackOff { from } => {
                tokio::time::sleep(delay).await;
                delay = (delay * 2).min(LAST_DELAY);
                match (from, shared.backend.tip().await) {
                    // A watch from the future would silently show nothing, so it must be the same history.
                    (Some(from), Ok(tip))
                        if tip.revision >= from - 1 && tip.cluster == shared.progress.reached().cluster =>
                    {
                        State::Watching { from, until: tip.revision }
                    }
                    (_, Ok(_)) => State::Listing,
                    (from, Err(error)) => outage.began(&error, from),
                }
            }
        };
    }
}

/// Applies changes until the watch ends.
async fn follow(shared: &Shared, mut from: i64, until: i64, outage: &Outage) -> State {
    let cluster = shared.progress.reached().cluster;
    let mut changes = match shared.backend.watch(from).await {
        Ok(changes) => changes,
        Err(backend::Error::Compacted(_)) => return State::Listing,
        Err(error) => return outage.began(&error, Some(from)),
    };
    loop {
        let batch = tokio::select! {
            batch = changes.recv() => batch,
            () = shared.progress.doubt.notified() => return State::Listing,
        };
        match batch {
            Some(Ok(batch)) if batch.cluster != cluster => return State::Listing,
            Some(Ok(batch)) => {
                from = batch.changes.last().map_or(from, |last| last.revision + 1);
                shared.apply(batch);
                if from > until {
                    outage.over();
                }
            }
            Some(Err(backend::Error::Compacted(_))) => return State::Listing,
            Some(Err(error)) => return outage.began(&error, Some(from)),
            None => return State::BackOff { from: Some(from) },
        }
    }
}

/// Reads everything at one revision. Only when all stores have it, the cache has it.
async fn list_all(shared: &Shared) -> Result<i64, backend::Error> {
    let tip = shared.backend.tip().await?;
    let reached = shared.progress.reached();
    let other = reached.revision > 0 && (tip.cluster != reached.cluster || tip.revision < reached.revision);
    if other {
        tracing::warn!(
            cluster = %format_args!("{:x} → {:x}", reached.cluster, tip.cluster),
            revision = %format_args!("{} → {}", reached.revision, tip.revision),
            "this is another etcd, or one restored from a backup: all watches end, everything is read anew"
        );
    }
    // A first attempt that failed half-way may have read of an etcd that is gone by now.
    if other || reached.revision == 0 {
        shared.progress.begin_era(tip.cluster);
    }
    let era = shared.progress.reached().era;
    let mut stores = shared.stores().into_iter();
    let mut lists = JoinSet::new();
    loop {
        while lists.len() < LISTS
            && let Some(store) = stores.next()
        {
            let backend = shared.backend.clone();
            lists.spawn(async move {
                let (seen, revision) = list(&*backend, &store, tip.cluster, tip.revision).await?;
                store.fill(seen, revision, era, false);
                Ok(())
            });
        }
        match lists.join_next().await {
            Some(Ok(result)) => result?,
            Some(Err(panic)) => std::panic::resume_unwind(panic.into_panic()),
            None => break,
        }
    }
    shared.progress.publish(tip.cluster, tip.revision);
    Ok(tip.revision)
}

/// Fills a store that was added while the cache runs. Changes that come meanwhile are held back by the store.
pub(crate) async fn fill_alone(shared: &Shared, store: &Arc<Inner>) {
    let mut delay = FIRST_DELAY;
    loop {
        // Before that, everything is listed anyway.
        shared.progress.until(|reached| reached.revision > 0).await;
        if !store.needs_filling() {
            return;
        }
        let reached = shared.progress.reached();
        match list(&*shared.backend, store, reached.cluster, 0).await {
            // A listing from before what the cache has seen would be of another history.
            Ok((seen, revision)) if revision >= reached.revision && shared.progress.reached().era == reached.era => {
                return store.fill(seen, revision, reached.era, true);
            }
            Ok(_) => {}
            Err(error) => tracing::debug!(prefix = &*store.prefix, %error, "listing again"),
        }
        tokio::time::sleep(delay).await;
        delay = (delay * 2).min(LAST_DELAY);
    }
}

/// All objects of a store at a revision; 0: now.
async fn list(
    backend: &dyn Backend,
    store: &Inner,
    cluster: u64,
    mut revision: i64,
) -> Result<(Vec<Arc<Entry>>, i64), backend::Error> {
    let (mut start, end) = (store.prefix.to_string(), prefix_end(&store.prefix));
    let mut seen = Vec::new();
    loop {
        let page = backend.range(&start, &end, PAGE, revision).await?;
        if page.cluster != cluster {
            return Err(backend::Error::OtherCluster(Tip { cluster: page.cluster, revision: page.revision }));
        }
        revision = page.revision;
        if let Some(last) = page.items.last() {
            start = format!("{}\0", last.key);
        }
        for item in page.items {
            let key = &item.key[store.prefix.len()..];
            seen.push(Arc::new(Entry::new(key, &item.value, item.revision, &store.selectable)));
        }
        if !page.more {
            return Ok((seen, revision));
        }
    }
}

/// Says once that the store is away, and once that it is back and nothing that was missed is missing.
#[derive(Default)]
struct Outage(AtomicBool);

impl Outage {
    fn began(&self, error: &backend::Error, from: Option<i64>) -> State {
        if !self.0.swap(true, Ordering::Relaxed) {
            tracing::warn!("{error}; trying again until it answers");
        }
        State::BackOff { from }
    }

    fn over(&self) {
        if self.0.swap(false, Ordering::Relaxed) {
            tracing::info!("etcd answers again, and the cache has what it missed");
        }
    }
}
