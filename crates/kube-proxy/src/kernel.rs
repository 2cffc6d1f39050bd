//! The kernel's side: runs nftables' scripts, and what else the rules need of the kernel.

use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    #[error("nft can't be run: {0}; install the package nftables")]
    Start(std::io::Error),
    #[error("nft refused the rules: {0}")]
    Refused(String),
}

/// Runs a script as one transaction: all of it or nothing.
pub async fn apply(script: &str) -> Result<(), KernelError> {
    let mut command = Command::new("nft");
    let path = std::env::var("PATH").unwrap_or_default();
    command.args(["-f", "-"]).env("PATH", format!("{path}:/usr/sbin:/sbin"));
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(KernelError::Start)?;
    if let Some(mut input) = child.stdin.take() {
        // When nft ends early its own message says why.
        let _ = input.write_all(script.as_bytes()).await;
    }
    let output = child.wait_with_output().await.map_err(KernelError::Start)?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(KernelError::Refused(text.lines().take(3).collect::<Vec<_>>().join("; ")))
}

/// Takes the table away; none being there is fine.
pub async fn remove(table: &str) -> Result<(), KernelError> {
    // "add" first, so that "delete" finds it.
    apply(&format!("add table ip {table}\ndelete table ip {table}\n")).await
}

/// Answers between pods of one bridge must pass the rules too, or a client sees the pod's address instead of the
/// service's. Returns what could not be set.
pub fn prepare() -> Vec<String> {
    let settings = [("net/ipv4/ip_forward", "1"), ("net/bridge/bridge-nf-call-iptables", "1")];
    let mut problems = Vec::new();
    for (name, value) in settings {
        let path = format!("/proc/sys/{name}");
        if std::fs::read_to_string(&path).is_ok_and(|now| now.trim() == value) {
            continue;
        }
        if let Err(error) = std::fs::write(&path, value) {
            let setting = name.replace('/', ".");
            problems.push(format!("{setting} can't be set to {value}: {error}"));
        }
    }
    problems
}
