//! Where objects are kept: etcd, or its twin in memory, and the watch cache over either.
//!
//! Only kube-apiserver uses this crate. It knows keys, bytes, revisions, labels and fields; it knows no kinds and no
//! rules. Writes go to the backend as guarded transactions, reads come from the cache.

mod backend;
mod cache;
mod entry;
mod etcd;
mod memory;
mod revision;
mod watcher;

pub use backend::{Backend, Batch, Change, Error, Guard, Op, Outcome, Page, Stored};
pub use cache::{Cache, CacheError, Kind, List};
pub use entry::{Entry, Fields, pick};
pub use etcd::{Etcd, EtcdOptions};
pub use memory::Memory;
pub use watcher::{Event, EventType, Filter, Watcher};
