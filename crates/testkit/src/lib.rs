//! A whole cluster on one machine out of the real parts: certificates, etcd, the daemons as processes.
//!
//! `make up` and the tests start clusters by the same code; only where the files lie and which ports are used differ.
//! It starts no Docker Engine and changes none.

pub mod cluster;
pub mod pki;
pub mod process;

pub use cluster::{Cluster, Layout};
pub use process::{Daemon, Error};
