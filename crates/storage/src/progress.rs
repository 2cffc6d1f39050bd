//! How far the cache is: of which store, in which era of it, up to which revision; and waiting for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::backend::{self, Backend};
use crate::revision::Revisions;

/// How long a reader waits for the cache to catch up with the store.
pub(crate) const CATCH_UP: Duration = Duration::from_secs(3);

#[derive(Clone, Debug, thiserror::Error)]
pub enum CacheError {
    #[error(transparent)]
    Backend(#[from] backend::Error),
    #[error("too old resource version: {asked} ({oldest})")]
    Expired { asked: i64, oldest: i64 },
    #[error("Too large resource version: {asked}, current: {current}")]
    Future { asked: i64, current: i64 },
    #[error("the cache is being filled from etcd")]
    NotReady,
}

/// Every change up to the revision is in the stores, and in their watchers' reach.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Reached {
    /// 0: not known yet.
    pub(crate) cluster: u64,
    /// Grows when what was said before no longer holds: another etcd, or one from a backup.
    pub(crate) era: u64,
    /// 0: not filled yet.
    pub(crate) revision: i64,
}

pub(crate) struct Progress {
    revisions: Revisions,
    reached: watch::Sender<Reached>,
    /// The same revision, for those who only look.
    revision: AtomicI64,
    /// A reader met an answer that does not fit what was seen before.
    pub(crate) doubt: Notify,
}

impl Progress {
    pub(crate) fn new(backend: Arc<dyn Backend>) -> Arc<Self> {
        Arc::new(Self {
            revisions: Revisions::new(backend),
            reached: watch::Sender::default(),
            revision: AtomicI64::new(0),
            doubt: Notify::new(),
        })
    }

    pub(crate) fn revision(&self) -> i64 {
        self.revision.load(Ordering::Acquire)
    }

    pub(crate) fn reached(&self) -> Reached {
        *self.reached.borrow()
    }

    pub(crate) async fn until(&self, enough: impl FnMut(&Reached) -> bool) {
        // Only fails when the sender goes, and `self` holds it.
        let _ = self.reached.subscribe().wait_for(enough).await;
    }

    async fn soon(&self, asked: i64, enough: impl FnMut(&Reached) -> bool) -> Result<(), CacheError> {
        match tokio::time::timeout(CATCH_UP, self.until(enough)).await {
            Ok(()) => Ok(()),
            Err(_) if self.revision() > 0 => Err(CacheError::Future { asked, current: self.revision() }),
            Err(_) => Err(CacheError::NotReady),
        }
    }

    /// Waits until the cache shows at least what the store holds now.
    pub(crate) async fn catch_up(&self) -> Result<i64, CacheError> {
        let before = self.reached();
        let tip = self.revisions.now().await?;
        if tip.cluster == before.cluster && tip.revision >= before.revision {
            self.wait_for(tip.revision).await?;
        } else if before.revision == 0 {
            self.soon(tip.revision, |now| now.revision > 0 && now.revision >= tip.revision).await?;
        } else {
            // Another etcd answers, or one that was set back. The cache has to see it before anything is read.
            self.doubt.notify_one();
            self.soon(tip.revision, |now| now.era > before.era && now.revision > 0 && now.revision >= tip.revision)
                .await?;
        }
        Ok(tip.revision)
    }

    /// Waits until the cache has this revision.
    pub(crate) async fn wait_for(&self, wanted: i64) -> Result<(), CacheError> {
        if self.revision() >= wanted {
            return Ok(());
        }
        self.soon(wanted, |reached| reached.revision >= wanted).await
    }

    /// Stores have everything up to here.
    pub(crate) fn publish(&self, cluster: u64, revision: i64) {
        self.set(|reached| Reached { cluster, revision: reached.revision.max(revision), ..*reached });
    }

    /// What was told before no longer holds; nothing can be read until the stores are filled anew.
    pub(crate) fn begin_era(&self, cluster: u64) {
        self.set(|reached| Reached { era: reached.era + 1, revision: 0, cluster });
    }

    fn set(&self, next: impl Fn(&Reached) -> Reached) {
        self.reached.send_if_modified(|reached| {
            let (old, new) = (*reached, next(reached));
            *reached = new;
            self.revision.store(new.revision, Ordering::Release);
            old != new
        });
    }
}
