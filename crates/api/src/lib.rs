//! The API as data and pure functions: which resources there are, what their fields are, and what must hold of them.
//!
//! No I/O, no clock but what callers pass in, no storage. kube-apiserver serves it; kubectl and the daemons use its
//! quantities, selectors and patches.

pub mod budget;
pub mod catalog;
pub mod columns;
pub mod conversion;
pub mod discovery;
pub mod field;
pub mod managedfields;
pub mod meta;
pub mod patch;
pub mod podsecurity;
pub mod quantity;
pub mod quota;
pub mod resources;
pub mod schema;
pub mod selector;
pub mod status;
pub mod strategy;
pub mod tolerations;
pub mod unhonoured;
pub mod validation;
pub mod warnings;
pub mod yaml;
