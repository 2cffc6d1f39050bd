//! One task for each pod, from the moment it is bound to this node until nothing of it is left.

mod config;
mod inspect;
pub mod plan;
mod start;
pub mod status;
mod task;

pub use task::{Inbox, Message, Worker};
