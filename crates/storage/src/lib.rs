//! Where objects are kept: etcd, or its twin in memory, and the watch cache over either.
//!
//! Only kube-apiserver uses this crate. It knows keys, bytes, revisions, labels and fields; it knows no kinds and no
//! rules. Writes go to the backend as guarded transactions, reads come from the cache.

mod backend;
mod cache;
mod entry;
mod etcd;
mod event;
mod feed;
mod filter;
mod index;
mod lease;
mod memory;
mod progress;
mod revision;
mod ring;
mod scan;
mod store;
mod watcher;

pub use backend::{Backend, Batch, Change, Error, Guard, Op, Outcome, Page, Stored, Tip};
pub use cache::Cache;
pub use entry::Entry;
pub use etcd::{Etcd, EtcdOptions};
pub use event::{Event, EventType};
pub use filter::{Filter, UnsupportedField};
pub use memory::Memory;
pub use progress::CacheError;
pub use scan::{Fields, Labels};
pub use store::{Field, Figures, Kind, List, Store};
pub use watcher::{Ended, Seen, Watcher};
