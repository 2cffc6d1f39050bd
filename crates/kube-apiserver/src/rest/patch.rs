//! Patches are `api::patch`'s part; this is the name under which the REST handlers know them.

pub use api::patch::Patch;
