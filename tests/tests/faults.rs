//! Faults that are not the application's: an engine that is away, and flags that cannot be used.

use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::json;
use testkit::cluster::DAEMONS;
use tests::{TestCluster, programs, run};

/// A way to the engine's socket that can be cut, as if the engine had been stopped.
struct Socket {
    path: PathBuf,
    streams: Arc<Mutex<Vec<UnixStream>>>,
}

impl Socket {
    fn new(path: &Path) -> Self {
        let socket = Self { path: path.to_owned(), streams: Arc::default() };
        socket.connect();
        socket
    }

    fn connect(&self) {
        let listener = UnixListener::bind(&self.path).unwrap();
        let streams = self.streams.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(engine) = UnixStream::connect("/var/run/docker.sock") else { return };
                for (from, to) in [(&client, &engine), (&engine, &client)] {
                    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    std::thread::spawn(move || {
                        // Ends when either side does, or is cut.
                        let _ = io::copy(&mut from, &mut to);
                        let _ = to.shutdown(std::net::Shutdown::Both);
                    });
                }
                streams.lock().unwrap().extend([client, engine]);
            }
        });
    }

    /// Running connections end, and new ones are refused.
    fn cut(&self) {
        std::fs::remove_file(&self.path).unwrap();
        for stream in self.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }
}

#[test]
fn docker_away_makes_the_node_not_ready_with_that_reason_and_it_recovers() {
    let folder = tempfile::tempdir().unwrap();
    let socket = Socket::new(&folder.path().join("docker.sock"));
    let mut cluster = TestCluster::start_with(&DAEMONS, |layout| layout.docker_socket = Some(socket.path.clone()));
    cluster.wait_for_node("True");
    let pod = |name: &str| {
        json!({"metadata": {"name": name, "labels": {"app": name}}, "spec": {"terminationGracePeriodSeconds": 1,
            "containers": [{"name": "c", "image": "busybox", "command": ["sleep", "1000"]}]}})
    };
    cluster.post("/api/v1/namespaces/default/pods", &pod("before"));
    let before = cluster.wait_for_pods("app=before", 1)[0]["status"]["containerStatuses"].clone();

    socket.cut();
    let ready = cluster.wait_for_node("False");
    assert_eq!(ready["reason"], "KubeletNotReady");
    let message = ready["message"].as_str().unwrap();
    assert!(message.contains("container runtime is down") && message.contains("docker.sock"), "{message}");
    // A kubelet that starts while the engine is away waits for it as well.
    cluster.kill_and_restart("kubelet");
    cluster.post("/api/v1/namespaces/default/pods", &pod("during"));

    socket.connect();
    cluster.wait_for_node("True");
    cluster.wait_for_pods("app=during", 1);
    let after = cluster.wait_for_pods("app=before", 1)[0]["status"]["containerStatuses"].clone();
    assert_eq!(after[0]["containerID"], before[0]["containerID"], "no container restarts because of it");
    assert_eq!(after[0]["restartCount"], 0);
}

#[test]
fn daemons_start_in_any_order() {
    let mut cluster = TestCluster::start(&[]);
    for name in ["kubelet", "kube-proxy", "kube-scheduler", "kube-controller-manager"] {
        cluster.run_daemon_unready(name);
    }
    for name in ["etcd", "kube-apiserver"] {
        cluster.run_daemon(name);
    }
    cluster.wait_for_node("True");
    for name in ["kubelet", "kube-proxy", "kube-scheduler", "kube-controller-manager"] {
        let log = cluster.log(name);
        let waiting = log.lines().filter(|line| line.contains("kube-apiserver") && line.contains("WARN")).count();
        assert!((1..=3).contains(&waiting), "{name} says once that it waits, not in many lines:\n{log}");
    }
}

#[test]
fn a_daemons_flag_that_cannot_be_used_is_one_line() {
    let cluster = TestCluster::start(&[]);
    let missing = "/nope/file";
    let listener = std::net::TcpListener::bind(("0.0.0.0", 0)).unwrap();
    let busy = listener.local_addr().unwrap().port().to_string();
    for (daemon, flag, value) in [
        ("kube-controller-manager", "kubeconfig", missing),
        ("kube-controller-manager", "port", &busy),
        ("kube-controller-manager", "cluster-cidr", "10.0.0.0"),
        ("kube-scheduler", "kubeconfig", missing),
        ("kube-scheduler", "port", &busy),
        ("kubelet", "kubeconfig", missing),
        ("kubelet", "port", &busy),
        ("kubelet", "tls-cert-file", missing),
        ("kubelet", "client-ca-file", "/dev/null"),
        ("kubelet", "node-ip", "here"),
        ("kube-proxy", "kubeconfig", missing),
        ("kube-proxy", "healthz-port", &busy),
        ("kube-proxy", "proxy-mode", "magic"),
        ("kube-proxy", "cluster-cidr", "everything"),
        ("kube-proxy", "table", "no such; name"),
    ] {
        let name = format!("--{flag}=");
        let kept = cluster.cluster.arguments(daemon).into_iter().filter(|a| !a.starts_with(&name));
        let arguments: Vec<String> = kept.chain([format!("{name}{value}")]).collect();
        let said = run(Command::new(programs().join(daemon)).args(&arguments)).refused();
        let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
        assert_eq!(lines.len(), 1, "{daemon} {flag}={value}: {said}");
        let named = lines[0].contains(&format!("--{flag}"));
        assert!(lines[0].starts_with(&format!("{daemon}: ")) && named, "{daemon} {flag}={value}: {said}");
    }
}
