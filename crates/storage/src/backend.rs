//! What a store has to offer. One contract suite (`tests/contract.rs`) holds for every implementation.

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::mpsc;

/// A key's value and the revision of its last change.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    pub key: String,
    pub value: Bytes,
    pub revision: i64,
}

/// How far a store is, and which store it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tip {
    /// Revisions of different clusters cannot be compared.
    pub cluster: u64,
    pub revision: i64,
}

/// A part of the key space at one revision.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    pub cluster: u64,
    pub revision: i64,
    pub items: Vec<Stored>,
    /// There are keys after the last item.
    pub more: bool,
    /// All keys of the range, those after the last item included.
    pub count: i64,
}

/// What must hold for a transaction to be carried out.
#[derive(Clone, Debug)]
pub enum Guard {
    Absent(String),
    /// The key's last change has this revision.
    Unchanged(String, i64),
}

impl Guard {
    pub fn key(&self) -> &str {
        match self {
            Self::Absent(key) | Self::Unchanged(key, _) => key,
        }
    }

    /// Whether it holds for what the key holds now.
    pub fn holds(&self, now: Option<&Stored>) -> bool {
        match self {
            Self::Absent(_) => now.is_none(),
            Self::Unchanged(_, revision) => now.map_or(0, |stored| stored.revision) == *revision,
        }
    }
}

#[derive(Clone, Debug)]
pub enum Op {
    /// `time_to_live`: seconds after which the key goes by itself.
    Put {
        key: String,
        value: Bytes,
        time_to_live: Option<i64>,
    },
    Delete {
        key: String,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Carried out, at this revision.
    Committed(i64),
    /// A guard did not hold; nothing was changed. What the guarded keys hold now, in the guards' order.
    Refused(Vec<Option<Stored>>),
}

/// A key that was changed; without a value it was deleted.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub key: String,
    pub value: Option<Bytes>,
    pub revision: i64,
}

/// Changes in the order of their revisions. All changes of one revision come in the same batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    pub cluster: u64,
    pub changes: Vec<Change>,
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    #[error("etcd at {endpoints} cannot be reached: {why}")]
    Unavailable { endpoints: String, why: String },
    #[error("etcd at {endpoints} did not answer within {seconds} s")]
    TimedOut { endpoints: String, seconds: u64 },
    #[error("revision {0} has been compacted")]
    Compacted(i64),
    #[error("another etcd answers: cluster {:x} at revision {}", .0.cluster, .0.revision)]
    OtherCluster(Tip),
    #[error("etcd refused the request: {0}")]
    Refused(String),
}

#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// The store's revision now, linearizable: not older than any write that was answered before the call.
    async fn tip(&self) -> Result<Tip, Error>;
    async fn revision(&self) -> Result<i64, Error> {
        Ok(self.tip().await?.revision)
    }
    async fn get(&self, key: &str) -> Result<Option<Stored>, Error>;
    /// Keys from `start` up to, but without, `end`, at a revision (0: now), `limit` at most (0: all).
    async fn range(&self, start: &str, end: &str, limit: i64, revision: i64) -> Result<Page, Error>;
    /// All operations or none.
    async fn commit(&self, guards: &[Guard], ops: Vec<Op>) -> Result<Outcome, Error>;
    /// Every change of every key from this revision on. A batch without changes only tells the cluster. The channel ends
    /// with an error, or when the receiver goes.
    async fn watch(&self, from: i64) -> Result<mpsc::Receiver<Result<Batch, Error>>, Error>;
    /// Forgets history up to this revision.
    async fn compact(&self, revision: i64) -> Result<(), Error>;
}

/// The end of the range of all keys that begin with `prefix`.
pub(crate) fn prefix_end(prefix: &str) -> String {
    // Prefixes end in '/', and '0' is the next character.
    debug_assert!(prefix.ends_with('/'));
    format!("{}0", &prefix[..prefix.len() - 1])
}
