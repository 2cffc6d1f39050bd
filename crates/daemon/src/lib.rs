//! What every daemon has: flags, logging, TLS from files, a health listener, and the supervision of its tasks.
//!
//! Knows nothing of Kubernetes objects, and nothing of a particular daemon.
pub mod flags;
pub mod health;
pub mod logging;
pub mod panics;
pub mod supervisor;
pub mod tls;

use std::{fmt::Display, process::ExitCode};

pub use flags::{CommonFlags, FlagError};
pub use health::Health;
pub use logging::LogOnce;
pub use supervisor::Supervisor;

/// The runtime of a daemon. Few threads: each costs memory, and none of the daemons computes for long. A panic outside of
/// guarded work ends the process.
pub fn runtime(worker_threads: usize) -> std::io::Result<tokio::runtime::Runtime> {
    panics::end_the_process();
    tokio::runtime::Builder::new_multi_thread().worker_threads(worker_threads).enable_all().build()
}

/// Says on one line why the program can't go on.
pub fn fail(error: impl Display) -> ExitCode {
    eprintln!("{}: {error}", flags::program());
    ExitCode::FAILURE
}
