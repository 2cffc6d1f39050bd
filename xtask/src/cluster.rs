//! The local cluster of `make up`: etcd and the daemons as background processes, state in `.run`.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use testkit::cluster::{DAEMONS, cleanup_arguments, own_address};
use testkit::process::{accepts, free_ports, running, signal};
use testkit::{Cluster, Layout};

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(PathBuf::new, Path::to_owned)
}

fn layout() -> Result<Layout> {
    let run = root().join(".run");
    let programs = std::env::current_exe()?.parent().map(Path::to_owned).context("this program has no folder")?;
    let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname")?.trim().to_lowercase();
    let mut layout = Layout::local(&run, &programs, own_address(), &hostname);
    if let Ok(text) = std::fs::read_to_string(etcd_ports(&run)) {
        let ports: Vec<u16> = text.split_whitespace().filter_map(|port| port.parse().ok()).collect();
        if let [client, peer] = ports[..] {
            (layout.etcd_port, layout.etcd_peer_port) = (client, peer);
        }
    }
    Ok(layout)
}

/// The ports of our etcd, where another one had the usual ones when it was started.
fn etcd_ports(run: &Path) -> PathBuf {
    run.join("etcd-ports")
}

/// An etcd of this machine that is not ours is left alone: ours then takes other ports, for good.
fn avoid_other_etcd(layout: &mut Layout) -> Result<()> {
    let taken = |port| accepts((Ipv4Addr::LOCALHOST, port).into());
    if running(&pid_file(layout, "etcd"), "etcd").is_some()
        || !(taken(layout.etcd_port) || taken(layout.etcd_peer_port))
    {
        return Ok(());
    }
    let [client, peer] = free_ports::<2>()?;
    say(format_args!("another etcd has port {}: it is left alone, ours takes {client}", layout.etcd_port));
    (layout.etcd_port, layout.etcd_peer_port) = (client, peer);
    std::fs::create_dir_all(&layout.folder)?;
    std::fs::write(etcd_ports(&layout.folder), format!("{client} {peer}\n"))?;
    Ok(())
}

fn say(text: impl std::fmt::Display) {
    println!("==> {text}");
}

fn pid_file(layout: &Layout, name: &str) -> PathBuf {
    layout.folder.join("pids").join(name)
}

pub fn up() -> Result<()> {
    let mut layout = layout()?;
    avoid_other_etcd(&mut layout)?;
    let cluster = Cluster::prepare(layout.clone())?;
    allow_forwarding()?;
    for name in DAEMONS {
        let pid_file = pid_file(&layout, name);
        if running(&pid_file, name).is_some() {
            say(format_args!("{name}: runs already"));
            continue;
        }
        for (port, flag) in ports(&layout, name) {
            if accepts((Ipv4Addr::LOCALHOST, port).into()) {
                bail!("{name} cannot start: port {port} ({flag}) is taken by another program of this machine");
            }
        }
        let daemon = cluster.start(name)?;
        daemon.detach(&pid_file)?;
        say(format_args!("{name}: started, log in .run/log/{name}.log"));
    }
    println!("\nThe cluster runs at {}. To use it:\n", layout.server());
    println!("    export KUBECONFIG={}", layout.kubeconfig().display());
    println!("    export PATH={}:$PATH\n", layout.programs.display());
    Ok(())
}

fn ports(layout: &Layout, name: &str) -> Vec<(u16, &'static str)> {
    match name {
        "etcd" => vec![(layout.etcd_port, "clients"), (layout.etcd_peer_port, "peers")],
        "kube-apiserver" => vec![(layout.apiserver_port, "--secure-port")],
        "kube-controller-manager" => vec![(layout.health_ports[0], "--port")],
        "kube-scheduler" => vec![(layout.health_ports[1], "--port")],
        "kubelet" => vec![(layout.kubelet_port, "--port")],
        _ => vec![(layout.health_ports[2], "--healthz-port")],
    }
}

/// Pods and services are reached by way of this machine.
fn allow_forwarding() -> Result<()> {
    let path = "/proc/sys/net/ipv4/ip_forward";
    if std::fs::read_to_string(path).is_ok_and(|text| text.trim() == "1") {
        return Ok(());
    }
    say("switching on IP forwarding (net.ipv4.ip_forward)");
    std::fs::write(path, "1").with_context(|| format!("{path}: run this as root"))
}

pub fn down() -> Result<()> {
    let layout = layout()?;
    for name in DAEMONS.into_iter().rev() {
        let pid_file = pid_file(&layout, name);
        let Some(pid) = running(&pid_file, name) else {
            continue;
        };
        signal(pid, 15);
        let gone = || running(&pid_file, name).is_none();
        let begin = std::time::Instant::now();
        while !gone() {
            if begin.elapsed().as_secs() > 15 {
                signal(pid, 9);
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        std::fs::remove_file(&pid_file).ok();
        say(format_args!("{name}: stopped"));
        if ["kube-proxy", "kubelet"].contains(&name) {
            clean(&layout, name)?;
        }
    }
    Ok(())
}

/// Runs the program of the crate `benches`, whose dependencies are not for this one.
pub fn bench() -> Result<()> {
    allow_forwarding()?;
    let program = std::env::current_exe()?.with_file_name("bench");
    let status = Command::new(&program).args(std::env::args().skip(2)).status();
    let status = status.with_context(|| program.display().to_string())?;
    if !status.success() {
        bail!("bench: {status}");
    }
    Ok(())
}

/// A daemon that left something in the kernel or in Docker knows best how to take it away.
fn clean(layout: &Layout, name: &str) -> Result<()> {
    let program = layout.programs.join(name);
    let status = Command::new(&program).arg("--cleanup").args(cleanup_arguments(layout, name)).status();
    let status = status.with_context(|| program.display().to_string())?;
    if !status.success() {
        bail!("{name} --cleanup: {status}");
    }
    Ok(())
}
