//! Logs: one line each to the standard error, from where systemd takes them to the journal.
use std::{collections::BTreeSet, fmt::Display, io::IsTerminal, sync::Mutex};

use tracing_subscriber::EnvFilter;

/// Sets up the logs. `RUST_LOG`, where set, overrides the level.
pub fn init(verbosity: u8) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(directives(verbosity)));
    let subscriber = tracing_subscriber::fmt()
        .compact()
        .with_env_filter(filter)
        .with_target(verbosity >= 4)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    // A second call, as tests in one process make it, changes nothing.
    let _ = subscriber.try_init();
}

/// The libraries that speak HTTP are too talkative to follow the daemon's own level.
fn directives(verbosity: u8) -> &'static str {
    match verbosity {
        0 | 1 => "info",
        2..=4 => "debug,h2=info,hyper=info,hyper_util=info,rustls=info,tonic=info,tower=info",
        5..=7 => "trace,h2=info,hyper=info,hyper_util=info,rustls=info,tonic=debug,tower=info",
        _ => "trace",
    }
}

/// Says a lasting trouble once, however often it is met, and once that it is over.
#[derive(Debug, Default)]
pub struct LogOnce {
    said: Mutex<BTreeSet<String>>,
}

impl LogOnce {
    /// Messages that differ are different troubles; so many of them are remembered.
    const REMEMBERED: usize = 16;

    pub const fn new() -> Self {
        Self { said: Mutex::new(BTreeSet::new()) }
    }

    /// Logs the trouble unless it has been said already. Returns whether it was logged.
    pub fn trouble(&self, message: impl Display) -> bool {
        let message = message.to_string();
        let mut said = self.said.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if said.contains(&message) || said.len() >= Self::REMEMBERED {
            return false;
        }
        tracing::warn!("{message}");
        said.insert(message)
    }

    /// Logs that the trouble is over, if there was one. Returns whether it was logged.
    pub fn over(&self, message: impl Display) -> bool {
        let mut said = self.said.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if said.is_empty() {
            return false;
        }
        said.clear();
        tracing::info!("{message}");
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_said_once_until_it_is_over() {
        let log = LogOnce::new();
        assert!(!log.over("connected"));
        assert!(log.trouble("refused"));
        assert!(!log.trouble("refused"));
        assert!(log.trouble("bad certificate"));
        assert!(log.over("connected"));
        assert!(!log.over("connected"));
        assert!(log.trouble("refused"));
    }
}
