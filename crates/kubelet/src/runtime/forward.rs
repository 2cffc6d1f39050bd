//! Lets packets from outside of the node reach the pods.
//!
//! Docker drops what is forwarded to its networks unless a container publishes the port; Kubernetes promises that every pod can be
//! reached. Docker's own place for such exceptions is the chain DOCKER-USER, which it makes and leaves alone.

use std::process::Output;

use tokio::process::Command;

use super::{Result, RuntimeError};

const CHAIN: &str = "DOCKER-USER";

async fn iptables(action: &str, bridge: Option<&str>) -> Result<Output> {
    let mut command = Command::new("iptables");
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin")).args(["-w", "5", action, CHAIN]).kill_on_drop(true);
    if let Some(bridge) = bridge {
        command.args(["-o", bridge, "-j", "ACCEPT"]);
    }
    command.output().await.map_err(|error| RuntimeError::Refused {
        status: 500,
        message: format!("iptables can't be run, so pods could not be reached from outside of this node: {error}"),
    })
}

/// Forwarding to the bridge is allowed from now on. Where Docker has no such chain it does not filter either.
pub(super) async fn allow(bridge: &str) -> Result<()> {
    if !iptables("-S", None).await?.status.success() || iptables("-C", Some(bridge)).await?.status.success() {
        return Ok(());
    }
    let inserted = iptables("-I", Some(bridge)).await?;
    if inserted.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&inserted.stderr).trim().to_owned();
    let message = format!("forwarding to {bridge} can't be allowed: iptables: {why}");
    Err(RuntimeError::Refused { status: 500, message })
}

/// Takes the rule away; none being there is fine.
pub(super) async fn forbid(bridge: &str) -> Result<()> {
    iptables("-D", Some(bridge)).await.map(|_| ())
}
