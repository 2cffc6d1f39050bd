//! How the daemons meet kube-apiserver: typed calls over gRPC, reflectors, work queues, leader election and events.
//!
//! Holds no state of the cluster but what a reflector mirrors, and decides nothing about objects.
mod binding;
mod calls;
mod config;
mod discovery;
mod error;
mod events;
mod leader;
mod object;
mod queue;
pub mod reflector;

pub use binding::{Binder, BinderTask, Binding};
pub use calls::{Client, Listed, Patch, Selectors};
pub use config::{ClientConfig, ClientFlags, ConfigError};
pub use discovery::{ApiResource, Discoverer, Discovery};
pub use error::{Error, Result};
pub use events::{EventRecorder, EventType, Recording, object_reference};
pub use leader::{Grant, LeaderElection, LeaderFlags, Leadership, LostLeadership, Terms, Timing};
pub use object::{Key, Object, PartialObject, ResourceRef, Stored};
pub use queue::{Backoff, Next, WorkQueue};
pub use reflector::{Change, Reflector, Store};
