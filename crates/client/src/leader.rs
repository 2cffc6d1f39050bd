//! Leader election by a Lease: of several equal processes one works.
//!
//! Time is measured on the own clock only: a lease counts as held for its duration after a change of it was seen. Writes are
//! guarded by the resource version, so that two can't take it at once.
use std::{future::Future, time::Duration};

use clap::Args;
use daemon::LogOnce;
use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{Client, Error};

#[derive(Args, Clone, Debug)]
pub struct LeaderFlags {
    /// Work only while holding the lease that all processes of this kind compete for
    #[arg(long, value_name = "BOOL", default_value = "true", default_missing_value = "true",
          num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set)]
    pub leader_elect: bool,
    /// Namespace of the lease
    #[arg(long, value_name = "NAMESPACE", default_value = "kube-system")]
    pub leader_elect_resource_namespace: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How long others wait for a holder that is silent.
    pub lease: Duration,
    /// How long the holder tries to renew before it gives up. Less than `lease`.
    pub renew_deadline: Duration,
    /// Between two attempts.
    pub retry: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self { lease: Duration::from_secs(15), renew_deadline: Duration::from_secs(10), retry: Duration::from_secs(2) }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("leadership of {lease} lost: {reason}")]
pub struct LostLeadership {
    pub lease: String,
    pub reason: String,
}

#[derive(Clone, Debug)]
pub struct LeaderElection {
    client: Client,
    namespace: String,
    name: String,
    identity: String,
    timing: Timing,
}

/// What to do about the lease.
#[derive(Debug, PartialEq)]
enum Action {
    Create(LeaseSpec),
    Write(LeaseSpec),
    /// Somebody else holds it.
    Wait,
}

/// The lease as it was last seen, and since when it has been like that.
#[derive(Clone, Debug)]
struct Observed {
    lease: Lease,
    since: Instant,
}

fn plan(observed: Option<&Observed>, identity: &str, timing: Timing, now: Instant, time: Timestamp) -> Action {
    let renewed = |spec: LeaseSpec| LeaseSpec {
        holder_identity: Some(identity.to_owned()),
        lease_duration_seconds: Some(timing.lease.as_secs() as i32),
        renew_time: Some(MicroTime(time)),
        ..spec
    };
    let Some(observed) = observed else {
        let acquired =
            LeaseSpec { acquire_time: Some(MicroTime(time)), lease_transitions: Some(0), ..Default::default() };
        return Action::Create(renewed(acquired));
    };
    let spec = observed.lease.spec.clone().unwrap_or_default();
    match spec.holder_identity.as_deref() {
        Some(holder) if holder == identity => Action::Write(renewed(spec)),
        Some(holder) if !holder.is_empty() && now < observed.since + held_for(&spec, timing) => Action::Wait,
        _ => Action::Write(renewed(LeaseSpec {
            acquire_time: Some(MicroTime(time)),
            lease_transitions: Some(spec.lease_transitions.unwrap_or_default() + 1),
            ..spec
        })),
    }
}

fn held_for(spec: &LeaseSpec, timing: Timing) -> Duration {
    let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    seconds.map_or(timing.lease, Duration::from_secs)
}

/// The times in which this process may work; each is a token that is cancelled when its time is over.
#[derive(Clone, Debug)]
pub struct Terms(watch::Receiver<Option<CancellationToken>>);

/// Who grants [`Terms`].
#[derive(Debug)]
pub struct Grant(watch::Sender<Option<CancellationToken>>);

impl Grant {
    pub fn new() -> (Self, Terms) {
        let (sender, receiver) = watch::channel(None);
        (Self(sender), Terms(receiver))
    }

    pub fn term(&self, term: CancellationToken) {
        self.0.send_replace(Some(term));
    }
}

impl Terms {
    /// The term that runs, or the next one.
    pub async fn current(&mut self) -> CancellationToken {
        loop {
            let term = self.0.borrow_and_update().clone();
            if let Some(term) = term.filter(|term| !term.is_cancelled()) {
                return term;
            }
            if self.0.changed().await.is_err() {
                // Nobody grants any more: the process is about to end.
                std::future::pending::<()>().await;
            }
        }
    }
}

impl LeaderElection {
    /// Leads whenever that is possible, until `stop`. `ready` is waited for at the begin of each term: what was decided on
    /// before an outage must not be acted on after it.
    pub async fn run<F: Future<Output = ()>>(self, grant: Grant, ready: impl Fn() -> F, stop: CancellationToken) {
        loop {
            let leadership = tokio::select! {
                _ = stop.cancelled() => return,
                leadership = self.clone().acquire(&stop) => leadership,
            };
            let Some(leadership) = leadership else { return };
            let term = leadership.lost();
            let begin = async {
                ready().await;
                grant.term(term.clone());
                term.cancelled().await;
            };
            let (kept, ()) = tokio::join!(leadership.keep(stop.clone()), async {
                tokio::select! {
                    () = begin => {}
                    _ = term.cancelled() => {}
                }
            });
            match kept {
                Ok(()) => return,
                Err(lost) => tracing::warn!("{lost}"),
            }
        }
    }

    /// `identity` must be of this process alone; see [`LeaderElection::identity`].
    pub fn new(client: &Client, namespace: &str, name: &str, identity: String, timing: Timing) -> Self {
        Self { client: client.clone(), namespace: namespace.to_owned(), name: name.to_owned(), identity, timing }
    }

    /// The host's name with something that no other process has.
    pub fn identity() -> String {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        format!("{}_{:016x}{:016x}", host.trim(), rand::random::<u64>(), rand::random::<u64>())
    }

    /// Waits until the lease is ours. `None` when the token is cancelled before.
    pub async fn acquire(self, stop: &CancellationToken) -> Option<Leadership> {
        let log = LogOnce::new();
        tracing::info!("waiting for leadership of {}/{}", self.namespace, self.name);
        let mut observed = None;
        loop {
            match self.attempt(&mut observed).await {
                Ok(true) => {
                    tracing::info!("leading: {} holds {}/{}", self.identity, self.namespace, self.name);
                    let lost = CancellationToken::new();
                    return Some(Leadership { election: self, observed, renewed: Instant::now(), lost });
                }
                Ok(false) => {
                    log.over("the lease can be read again");
                }
                Err(Error::Unreachable(reason)) => tracing::debug!("lease {}: {reason}", self.name),
                Err(error) => {
                    log.trouble(format_args!("lease {}/{}: {error}", self.namespace, self.name));
                }
            }
            tokio::select! {
                _ = stop.cancelled() => return None,
                _ = tokio::time::sleep(self.timing.retry) => {}
            }
        }
    }

    /// Takes or renews the lease if that is allowed; tells whether it is ours.
    async fn attempt(&self, observed: &mut Option<Observed>) -> Result<bool, Error> {
        match self.client.get::<Lease>(&self.namespace, &self.name).await {
            Ok(lease) => match observed {
                Some(known) if known.lease.spec == lease.spec => known.lease = lease,
                _ => *observed = Some(Observed { lease, since: Instant::now() }),
            },
            Err(error) if error.is_not_found() => *observed = None,
            Err(error) => return Err(error),
        }
        let written = match plan(observed.as_ref(), &self.identity, self.timing, Instant::now(), Timestamp::now()) {
            Action::Wait => return Ok(false),
            Action::Create(spec) => {
                let (namespace, name) = (Some(self.namespace.clone()), Some(self.name.clone()));
                let metadata = ObjectMeta { namespace, name, ..Default::default() };
                self.client.create(&Lease { metadata, spec: Some(spec) }).await
            }
            Action::Write(spec) => {
                let metadata = observed.as_ref().map(|known| known.lease.metadata.clone()).unwrap_or_default();
                self.client.update(&Lease { metadata, spec: Some(spec) }).await
            }
        };
        match written {
            Ok(lease) => {
                *observed = Some(Observed { lease, since: Instant::now() });
                Ok(true)
            }
            // Another was faster.
            Err(error) if error.is_conflict() || error.is_already_exists() => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// The lease is ours as long as [`Leadership::keep`] runs.
#[derive(Debug)]
pub struct Leadership {
    election: LeaderElection,
    observed: Option<Observed>,
    renewed: Instant,
    lost: CancellationToken,
}

impl Leadership {
    /// Cancelled when leadership ends; all that leadership allowed must end with it.
    pub fn lost(&self) -> CancellationToken {
        self.lost.clone()
    }

    /// Renews the lease until it is lost, which is an error, or until `stop`: then the lease is given up, so that another
    /// process need not wait for its end.
    pub async fn keep(mut self, stop: CancellationToken) -> Result<(), LostLeadership> {
        let timing = self.election.timing;
        let guard = self.lost.clone().drop_guard();
        let log = LogOnce::new();
        let reason = loop {
            tokio::select! {
                _ = stop.cancelled() => {
                    drop(guard);
                    self.release().await;
                    return Ok(());
                }
                _ = tokio::time::sleep(timing.retry) => {}
            }
            let deadline = self.renewed + timing.renew_deadline;
            match tokio::time::timeout_at(deadline, self.election.attempt(&mut self.observed)).await {
                Ok(Ok(true)) => {
                    self.renewed = Instant::now();
                    log.over(format_args!("lease {} is renewed again", self.election.name));
                }
                Ok(Ok(false)) => match self.holder() {
                    Some(holder) if holder != self.election.identity => break format!("{holder} has it"),
                    _ => {}
                },
                Ok(Err(error)) => {
                    // The connection says itself that nobody is there.
                    if !matches!(error, Error::Unreachable(_)) {
                        log.trouble(format_args!("lease {}: {error}", self.election.name));
                    }
                    if Instant::now() >= deadline {
                        break error.to_string();
                    }
                }
                Err(_) => break "it could not be renewed in time".to_owned(),
            }
        };
        Err(LostLeadership { lease: format!("{}/{}", self.election.namespace, self.election.name), reason })
    }

    fn holder(&self) -> Option<&str> {
        self.observed.as_ref()?.lease.spec.as_ref()?.holder_identity.as_deref()
    }

    async fn release(self) {
        let Some(Observed { mut lease, .. }) = self.observed else { return };
        let spec = lease.spec.get_or_insert_default();
        spec.holder_identity = Some(String::new());
        spec.lease_duration_seconds = Some(1);
        spec.renew_time = Some(MicroTime(Timestamp::now()));
        let release = self.election.client.update(&lease);
        match tokio::time::timeout(self.election.timing.retry, release).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!("lease {} not given up: {error}", self.election.name),
            Err(_) => tracing::warn!("lease {} not given up: no answer", self.election.name),
        }
    }
}
