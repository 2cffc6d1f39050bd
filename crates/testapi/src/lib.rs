//! kube-apiserver in the process of a test: the library itself on its store in memory, spoken to over gRPC without a network.
//!
//! Its rules are the real ones, and so are the rights of who speaks to it. What a test makes go wrong lies between it and its clients.

mod faults;
mod library;
mod server;
mod wire;

pub use faults::refused;
pub use library::{Library, WITHOUT_CONTROLLERS, plugins, user};
pub use server::ApiServer;
