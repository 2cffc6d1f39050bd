//! Clusters to measure: real daemons on fresh data, in a folder that goes with them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use testkit::cluster::{DAEMONS, cleanup_arguments};
use testkit::{Cluster, Daemon, Layout};

use crate::load::{Connections, Protocol};

pub struct Stage {
    pub cluster: Cluster,
    daemons: BTreeMap<String, Daemon>,
    _folder: tempfile::TempDir,
}

impl Stage {
    /// Certificates and folders; nothing runs yet.
    pub fn prepare() -> Result<Self> {
        // The tests' clusters begin at 3, so both can run at the same time.
        static NEXT: AtomicU8 = AtomicU8::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed) % 2 + 1;
        let folder = tempfile::Builder::new().prefix("pilothouse-bench-").tempdir()?;
        let own = std::env::current_exe()?;
        let programs = own.parent().context("this program has no folder")?;
        let cluster = Cluster::prepare(Layout::beside(folder.path(), programs, number)?)?;
        Ok(Self { cluster, daemons: BTreeMap::new(), _folder: folder })
    }

    pub fn with(daemons: &[&str]) -> Result<Self> {
        let mut stage = Self::prepare()?;
        daemons.iter().try_for_each(|name| stage.start(name))?;
        Ok(stage)
    }

    /// Starts a daemon and waits until it is ready.
    pub fn start(&mut self, name: &str) -> Result<()> {
        let daemon = self.cluster.start(name)?;
        self.daemons.insert(name.to_owned(), daemon);
        Ok(())
    }

    pub fn stop(&mut self, name: &str) {
        if let Some(mut daemon) = self.daemons.remove(name) {
            daemon.stop();
        }
    }

    pub fn apiserver(&self) -> SocketAddr {
        SocketAddr::new(self.cluster.layout.address, self.cluster.layout.apiserver_port)
    }

    pub async fn connect(&self, protocol: Protocol, in_flight: usize) -> Result<Connections> {
        Connections::open(self.apiserver(), &self.cluster.pki, protocol, in_flight).await
    }

    /// What a daemon has worked so far.
    pub fn work(&self, name: &str) -> Result<Duration> {
        work(self.daemons.get(name).and_then(Daemon::id).with_context(|| format!("{name} does not run"))?)
    }

    /// Resident memory of a daemon, in MB.
    pub fn memory(&self, name: &str) -> Result<f64> {
        let id = self.daemons.get(name).and_then(Daemon::id).with_context(|| format!("{name} does not run"))?;
        let path = format!("/proc/{id}/status");
        let text = std::fs::read_to_string(&path).with_context(|| path.clone())?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).with_context(|| path.clone())?;
        let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse().with_context(|| path.clone())?;
        Ok(kilobytes / 1000.0)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let of_the_node: Vec<&str> =
            ["kube-proxy", "kubelet"].into_iter().filter(|name| self.daemons.contains_key(*name)).collect();
        for name in DAEMONS.into_iter().rev() {
            self.stop(name);
        }
        // What they left in the kernel and in Docker goes with them.
        for name in of_the_node {
            let layout = &self.cluster.layout;
            let mut command = Command::new(layout.programs.join(name));
            match command.arg("--cleanup").args(cleanup_arguments(layout, name)).output() {
                Ok(output) if output.status.success() => {}
                Ok(output) => eprintln!("{name} --cleanup: {}", String::from_utf8_lossy(&output.stderr)),
                Err(error) => eprintln!("{name} --cleanup: {error}"),
            }
        }
    }
}

/// What a process has worked so far, on all cores, for itself and in the kernel.
pub fn work(process: u32) -> Result<Duration> {
    const TICKS: u64 = 100;
    let path = format!("/proc/{process}/stat");
    let text = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    // The name of the program may hold anything but ends with the last parenthesis.
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).with_context(|| path.clone());
    Ok(Duration::from_millis((ticks(11)? + ticks(12)?) * 1000 / TICKS))
}
