//! What the tests of whole clusters share: a cluster of their own, commands against it, and waiting for what must become
//! true. The tests themselves are in `tests/`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::{Cluster, Daemon, Layout};

/// Long enough for a loaded machine; tests wait for events and end as soon as they can.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// A cluster beside others, in a folder that goes with it.
pub struct TestCluster {
    pub cluster: Cluster,
    daemons: BTreeMap<String, Daemon>,
    _folder: tempfile::TempDir,
}

/// What a command said.
#[derive(Debug)]
pub struct Said {
    pub ok: bool,
    pub out: String,
    pub err: String,
}

impl Said {
    #[track_caller]
    pub fn done(self) -> String {
        assert!(self.ok, "failed: {}{}", self.out, self.err);
        self.out
    }

    /// The failure's message.
    #[track_caller]
    pub fn refused(self) -> String {
        assert!(!self.ok, "succeeded: {}", self.out);
        self.err
    }
}

/// Where `cargo build` puts the daemons.
pub fn programs() -> PathBuf {
    let own = std::env::current_exe().expect("a test is a program");
    let folder = own.parent().and_then(Path::parent).expect("target/PROFILE/deps/TEST");
    let daemon = folder.join("kube-apiserver");
    assert!(daemon.exists(), "{} is missing: run `cargo build --workspace` first", daemon.display());
    folder.to_owned()
}

pub fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests lie in the checkout").to_owned()
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> Said {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { ok: output.status.success(), out: text(&output.stdout), err: text(&output.stderr) }
}

/// Waits until `check` gives something; `what` and the last complaint are told if it does not.
#[track_caller]
pub fn eventually<T>(what: &str, mut check: impl FnMut() -> Result<T, String>) -> T {
    let begin = Instant::now();
    loop {
        match check() {
            Ok(found) => return found,
            Err(last) if begin.elapsed() > PATIENCE => panic!("{what}: not within {PATIENCE:?}; last: {last}"),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

impl TestCluster {
    /// Starts these daemons, in this order.
    pub fn start(daemons: &[&str]) -> Self {
        Self::start_with(daemons, |_| {})
    }

    /// As [`Self::start`], in a layout that was changed before.
    pub fn start_with(daemons: &[&str], change: impl FnOnce(&mut Layout)) -> Self {
        // Test programs run at the same time, so the process's id tells them apart; 60 of them are enough.
        static NEXT: AtomicU8 = AtomicU8::new(0);
        let number = (std::process::id() % 19 + 1) as u8 * 3 + NEXT.fetch_add(1, Ordering::Relaxed) % 3;
        let folder = tempfile::Builder::new().prefix("pilothouse-").tempdir().expect("/tmp can be written");
        let mut layout = Layout::beside(folder.path(), &programs(), number).expect("free ports");
        change(&mut layout);
        let cluster = Cluster::prepare(layout).expect("certificates can be made");
        let mut test = Self { cluster, daemons: BTreeMap::new(), _folder: folder };
        for name in daemons {
            test.run_daemon(name);
        }
        test
    }

    pub fn control_plane() -> Self {
        Self::start(&["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"])
    }

    pub fn whole() -> Self {
        let cluster = Self::start(&testkit::cluster::DAEMONS);
        cluster.wait_for_node("True");
        cluster
    }

    pub fn run_daemon(&mut self, name: &str) {
        let daemon = self.cluster.start(name).unwrap_or_else(|e| panic!("{e}"));
        self.daemons.insert(name.to_owned(), daemon);
    }

    /// Starts a daemon whose peers may be missing, and does not wait for it.
    pub fn run_daemon_unready(&mut self, name: &str) {
        let daemon = self.cluster.spawn(name).unwrap_or_else(|e| panic!("{e}"));
        self.daemons.insert(name.to_owned(), daemon);
    }

    pub fn daemon(&mut self, name: &str) -> &mut Daemon {
        self.daemons.get_mut(name).unwrap_or_else(|| panic!("{name} was not started"))
    }

    /// SIGKILL, and the same program again.
    pub fn kill_and_restart(&mut self, name: &str) {
        self.daemon(name).kill();
        self.run_daemon(name);
    }

    pub fn log(&self, name: &str) -> String {
        let path = self.cluster.layout.folder.join("log").join(format!("{name}.log"));
        std::fs::read_to_string(&path).unwrap_or_default()
    }

    /// Our kubectl.
    pub fn kubectl(&self, arguments: &[&str]) -> Said {
        self.kubectl_of(&programs().join("kubectl"), arguments, "")
    }

    /// Any kubectl, with text for its standard input.
    pub fn kubectl_of(&self, program: &Path, arguments: &[&str], input: &str) -> Said {
        let file = self.cluster.layout.folder.join(format!("input-{:?}", std::thread::current().id()));
        std::fs::write(&file, input).expect("the test's folder can be written");
        let stdin = std::fs::File::open(&file).expect("written above");
        let mut command = Command::new(program);
        command.args(arguments).env("KUBECONFIG", self.cluster.layout.kubeconfig()).env("TERM", "dumb");
        // A cache of its own: discovery of another cluster must not be believed.
        command.env("HOME", &self.cluster.layout.folder).stdin(stdin);
        run(&mut command)
    }

    /// A request by curl with the administrator's certificate: status and body.
    pub fn curl(&self, method: &str, path: &str, headers: &[&str], body: &[u8]) -> (u16, String) {
        let pki = |file: &str| self.cluster.pki.path(file).display().to_string();
        let file = self.cluster.layout.folder.join(format!("body-{:?}", std::thread::current().id()));
        std::fs::write(&file, body).expect("the test's folder can be written");
        let mut command = Command::new("curl");
        command.args(["-sS", "--max-time", "30", "-X", method, "-w", "\n%{http_code}"]);
        command.args(["--cacert", &pki("ca.crt"), "--cert", &pki("admin.crt"), "--key", &pki("admin.key")]);
        for header in headers {
            command.args(["-H", header]);
        }
        if !body.is_empty() {
            command.args(["--data-binary", &format!("@{}", file.display())]);
        }
        let said = run(command.arg(format!("{}{path}", self.cluster.layout.server())));
        let (body, code) = said.out.rsplit_once('\n').unwrap_or(("", "0"));
        (code.parse().unwrap_or(0), format!("{body}{}", said.err))
    }

    pub fn get(&self, path: &str) -> Value {
        let (code, body) = self.curl("GET", path, &[], b"");
        assert_eq!(code, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap_or_else(|e| panic!("{path}: {e}: {body}"))
    }

    pub fn post(&self, path: &str, object: &Value) -> (u16, Value) {
        let (code, body) = self.curl("POST", path, &["Content-Type: application/json"], object.to_string().as_bytes());
        (code, serde_json::from_str(&body).unwrap_or(Value::String(body)))
    }

    pub fn wait_for_node(&self, status: &str) -> Value {
        let name = self.cluster.layout.node.clone();
        eventually("the node's Ready condition", || {
            let (code, body) = self.curl("GET", &format!("/api/v1/nodes/{name}"), &[], b"");
            let node: Value = serde_json::from_str(&body).map_err(|_| format!("{code} {body}"))?;
            let conditions = node["status"]["conditions"].as_array().cloned().unwrap_or_default();
            let ready = conditions.into_iter().find(|c| c["type"] == "Ready").ok_or("no condition Ready")?;
            if ready["status"] == status { Ok(ready) } else { Err(ready.to_string()) }
        })
    }

    /// The pods of a label selector, once there are so many and all are ready.
    pub fn wait_for_pods(&self, selector: &str, count: usize) -> Vec<Value> {
        eventually(&format!("{count} ready pods of {selector}"), || {
            let list = self.get(&format!("/api/v1/namespaces/default/pods?labelSelector={selector}"));
            let pods = list["items"].as_array().cloned().unwrap_or_default();
            let ready = |pod: &&Value| {
                let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
                let ready = conditions.into_iter().any(|c| c["type"] == "Ready" && c["status"] == "True");
                ready && pod["metadata"]["deletionTimestamp"].is_null()
            };
            if pods.len() == count && pods.iter().filter(ready).count() == count {
                return Ok(pods);
            }
            let short = |p: &Value| format!("{}: {}", p["metadata"]["name"], p["status"]);
            Err(pods.iter().map(short).collect::<Vec<_>>().join("\n"))
        })
    }
}

impl Drop for TestCluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for name in self.daemons.keys() {
                let log = self.log(name);
                let tail: Vec<&str> = log.lines().rev().take(15).collect();
                eprintln!("--- {name}:\n{}", tail.into_iter().rev().collect::<Vec<_>>().join("\n"));
            }
        }
        let layout = self.cluster.layout.clone();
        let had = |name: &str| self.daemons.contains_key(name);
        let (proxy, kubelet) = (had("kube-proxy"), had("kubelet"));
        for name in testkit::cluster::DAEMONS.into_iter().rev() {
            if let Some(mut daemon) = self.daemons.remove(name) {
                daemon.stop();
            }
        }
        // What they left in the kernel and in Docker goes with them.
        let clean = |name: &str| {
            let mut command = Command::new(layout.programs.join(name));
            command.arg("--cleanup").args(testkit::cluster::cleanup_arguments(&layout, name));
            let said = run(&mut command);
            if !said.ok {
                eprintln!("{name} --cleanup: {}", said.err);
            }
        };
        if proxy {
            clean("kube-proxy");
        }
        if kubelet {
            clean("kubelet");
        }
    }
}
