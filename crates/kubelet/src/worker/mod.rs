//! One task for each pod, from the moment it is bound to this node until nothing of it is left.

pub mod plan;
pub mod status;
