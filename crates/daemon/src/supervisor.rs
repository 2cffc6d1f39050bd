//! The tasks of a daemon, from start to a graceful end.
//!
//! A task that ends while nobody asked it to ends the process, and systemd starts it anew: half a daemon is worse than none.
use std::{collections::HashMap, fmt::Display, future::Future, process::ExitCode, time::Duration};

use sd_notify::NotifyState;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::{Id, JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;

/// How long tasks may take to end once asked to.
const GRACE: Duration = Duration::from_secs(20);

/// What a task may return: nothing, or a `Result` whose error says why it ended.
pub trait Outcome: Send + 'static {
    fn failure(self) -> Option<String>;
}

impl Outcome for () {
    fn failure(self) -> Option<String> {
        None
    }
}

impl<E: Display + Send + 'static> Outcome for Result<(), E> {
    fn failure(self) -> Option<String> {
        self.err().map(|error| error.to_string())
    }
}

#[derive(Debug, Default)]
pub struct Supervisor {
    tasks: JoinSet<Option<String>>,
    names: HashMap<Id, String>,
    token: CancellationToken,
}

/// Why the supervisor stopped waiting.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Asked,
    Task { name: String, reason: String },
}

impl Supervisor {
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancelled when the daemon is to end; a task ends soon after.
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    pub fn spawn<F>(&mut self, name: impl Into<String>, task: F)
    where
        F: Future<Output: Outcome> + Send + 'static,
    {
        let handle = self.tasks.spawn(async move { task.await.failure() });
        self.names.insert(handle.id(), name.into());
    }

    /// Tells systemd that the daemon serves.
    pub fn ready(&self) {
        notify(&[NotifyState::Ready]);
    }

    /// Runs until a signal, the cancelled token, or the end of a task.
    pub async fn run(self) -> ExitCode {
        let signals = signal(SignalKind::terminate()).and_then(|term| Ok((term, signal(SignalKind::interrupt())?)));
        match signals {
            Ok((term, interrupt)) => self.run_until(term, interrupt).await,
            Err(error) => crate::fail(format_args!("can't listen for signals: {error}")),
        }
    }

    async fn run_until(mut self, mut term: Signal, mut interrupt: Signal) -> ExitCode {
        let mut code = ExitCode::SUCCESS;
        let end = tokio::select! {
            _ = term.recv() => End::Asked,
            _ = interrupt.recv() => End::Asked,
            _ = feed_watchdog() => End::Asked,
            end = self.first_end() => end,
        };
        match end {
            End::Asked => tracing::info!("ending"),
            End::Task { name, reason } => {
                tracing::error!("task {name} ended: {reason}");
                code = ExitCode::FAILURE;
            }
        }
        notify(&[NotifyState::Stopping]);
        self.token.cancel();
        tokio::select! {
            _ = self.drain() => code,
            _ = term.recv() => forced(),
            _ = interrupt.recv() => forced(),
        }
    }

    /// Waits for the first task that ends, or for the token.
    async fn first_end(&mut self) -> End {
        let token = self.token.clone();
        loop {
            let ended = tokio::select! {
                _ = token.cancelled() => return End::Asked,
                ended = self.tasks.join_next_with_id() => ended,
            };
            match ended {
                // Nothing to supervise: only a signal ends such a daemon.
                None => token.cancelled().await,
                Some(_) if token.is_cancelled() => return End::Asked,
                Some(ended) => return self.describe(ended),
            }
        }
    }

    fn describe(&mut self, ended: Result<(Id, Option<String>), JoinError>) -> End {
        let (id, reason) = match ended {
            Ok((id, reason)) => (id, reason.unwrap_or_else(|| "it should have gone on".to_owned())),
            Err(error) => (error.id(), error.to_string()),
        };
        End::Task { name: self.names.remove(&id).unwrap_or_default(), reason }
    }

    async fn drain(&mut self) {
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(GRACE, all).await.is_err() {
            tracing::warn!("{} tasks did not end in time", self.tasks.len());
        }
    }
}

fn forced() -> ExitCode {
    tracing::warn!("forced to end by a second signal");
    ExitCode::FAILURE
}

fn notify(state: &[NotifyState]) {
    if let Err(error) = sd_notify::notify(false, state) {
        tracing::debug!("systemd can't be notified: {error}");
    }
}

/// Tells systemd's watchdog that the runtime turns, where the unit asks for it; never ends.
async fn feed_watchdog() {
    let mut microseconds = 0;
    if !sd_notify::watchdog_enabled(false, &mut microseconds) {
        return std::future::pending().await;
    }
    let mut ticks = tokio::time::interval(Duration::from_micros(microseconds / 2).max(Duration::from_millis(100)));
    loop {
        ticks.tick().await;
        notify(&[NotifyState::Watchdog]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(name: &str, reason: &str) -> End {
        End::Task { name: name.to_owned(), reason: reason.to_owned() }
    }

    #[tokio::test]
    async fn the_first_unexpected_end_is_told_by_name_and_reason() {
        let mut supervisor = Supervisor::new();
        supervisor.spawn("stays", std::future::pending::<()>());
        supervisor.spawn("fails", async { Err::<(), _>("no disk") });
        assert_eq!(supervisor.first_end().await, ended("fails", "no disk"));

        let mut supervisor = Supervisor::new();
        supervisor.spawn("returns", async {});
        assert_eq!(supervisor.first_end().await, ended("returns", "it should have gone on"));

        let mut supervisor = Supervisor::new();
        supervisor.spawn("panics", async {
            if true {
                panic!("oh")
            }
        });
        assert!(matches!(supervisor.first_end().await, End::Task { name, .. } if name == "panics"));
    }

    #[tokio::test]
    async fn a_cancelled_token_ends_gracefully() {
        let mut supervisor = Supervisor::new();
        let token = supervisor.token();
        supervisor.spawn("waits", async move { token.cancelled().await });
        supervisor.token().cancel();
        assert_eq!(supervisor.run().await, ExitCode::SUCCESS);
    }
}
