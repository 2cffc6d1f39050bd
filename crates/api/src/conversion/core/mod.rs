//! The core group before version 1: v1beta3, which looks much as v1 does, and v1beta1, which has no metadata, and states instead of specs.
//!
//! Both know fields that came later under their names of today, so that an old client that reads an object and writes it back takes
//! nothing away from it.

mod amounts;
mod container;
mod metadata;
mod objects;
mod pod;
mod service;
pub mod v1beta3;

pub use metadata::{list, status};
pub use objects::{BINDING, ENDPOINTS, EVENT, LIMIT_RANGE, MINION, PLAIN, RESOURCE_QUOTA, SERVICE_ACCOUNT};
pub use pod::{POD, REPLICATION_CONTROLLER};
pub use service::SERVICE;
