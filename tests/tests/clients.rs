//! Clients that others wrote, against our API server: client-go and controller-runtime, the Python package, Helm. What each
//! does is in `tests/clients`; here are the clusters and the programs for it.
//!
//! They come from package registries and take minutes to build the first time, so they are `make test-clients` and not a part
//! of `make test`.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tests::{Said, TestCluster, checkout, eventually, programs, run};

fn folder(name: &str) -> PathBuf {
    checkout().join("tests/clients").join(name)
}

/// Where what was fetched or built stays for the next time: beside what cargo builds.
fn kept(name: &str) -> PathBuf {
    let target = programs().parent().expect("target/PROFILE").join("clients");
    let path = target.join(name);
    std::fs::create_dir_all(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    path
}

#[track_caller]
fn done(what: &str, command: &mut Command) -> String {
    let said = run(command);
    assert!(said.ok, "{what}:\n{}\n{}", said.out, said.err);
    said.out
}

fn go(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("go");
    command.current_dir(folder).args(arguments);
    command
}

#[test]
fn go_clients() {
    // Built before the cluster is there, with the versions of go.sum and no others.
    let program = kept("go").join("clients.test");
    let path = program.display().to_string();
    done("go test -c", &mut go(&folder("go"), &["test", "-mod=readonly", "-c", "-o", &path, "."]));
    let cluster = TestCluster::start(&["etcd", "kube-apiserver", "kube-controller-manager"]);
    let mut command = Command::new(&program);
    command.arg("-test.v").arg("-test.timeout=5m").env("KUBECONFIG", cluster.cluster.layout.kubeconfig());
    let said = done("the tests in Go", &mut command);
    for name in ["TestTyped/protobuf", "TestApply/json", "TestManager/protobuf", "TestLeaderElection/json"] {
        assert!(said.contains(&format!("--- PASS: {name}")), "{name} did not run:\n{said}");
    }
}

#[test]
fn python_client() {
    let kept = kept("python");
    let python = kept.join("bin/python");
    if !python.exists() {
        done("python3 -m venv", Command::new("python3").args(["-m", "venv"]).arg(&kept));
    }
    let list = folder("python").join("requirements.txt");
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]).arg(list);
    done("pip install", &mut pip);
    let cluster = TestCluster::start(&["etcd", "kube-apiserver", "kube-controller-manager"]);
    let mut command = Command::new(&python);
    command.args(["-B", "-m", "unittest", "--verbose"]).current_dir(folder("python"));
    let said = run(command.env("KUBECONFIG", cluster.cluster.layout.kubeconfig()));
    assert!(said.ok, "the tests in Python:\n{}\n{}", said.out, said.err);
    assert!(said.err.contains("test_dynamic_client (test_client.Clients.test_dynamic_client) ... ok"), "{}", said.err);
}

#[test]
fn helm_3() {
    session("v3", "v3.22.0");
}

#[test]
fn helm_4() {
    session("v4", "v4.3.1");
}

struct Helm<'a> {
    cluster: &'a TestCluster,
    program: PathBuf,
}

impl Helm<'_> {
    fn said(&self, line: &str) -> Said {
        let home = &self.cluster.cluster.layout.folder;
        let mut command = Command::new(&self.program);
        command.args(line.split_whitespace()).current_dir(folder("helm")).env("HOME", home);
        run(command.env("KUBECONFIG", self.cluster.cluster.layout.kubeconfig()))
    }

    #[track_caller]
    fn does(&self, line: &str) -> String {
        let said = self.said(line);
        assert!(said.ok, "helm {line}: {}{}", said.out, said.err);
        said.out
    }

    #[track_caller]
    fn json(&self, line: &str) -> Value {
        let said = self.does(&format!("{line} -o json"));
        serde_json::from_str(&said).unwrap_or_else(|e| panic!("helm {line}: {e}: {said}"))
    }
}

fn session(major: &str, version: &str) {
    let kept = kept(&format!("helm-{version}"));
    let program = kept.join("helm");
    if !program.exists() {
        let package = format!("helm.sh/helm/{major}/cmd/helm@{version}");
        done("go install", go(&kept, &["install", &package]).env("GOBIN", &kept));
    }
    let cluster = TestCluster::whole();
    let helm = Helm { cluster: &cluster, program };
    let words = |field: &str| cluster.get("/api/v1/namespaces/shop/configmaps/book-words")["data"][field].clone();
    let replicas = || {
        let front = cluster.get("/api/v1/namespaces/shop/replicationcontrollers/book-front");
        (front["spec"]["replicas"].as_u64(), front["status"]["readyReplicas"].as_u64())
    };

    // Rendered by the server's word, and not carried out.
    let dry = helm.does("install book guestbook --namespace shop --create-namespace --dry-run=server");
    assert!(dry.contains("policies: \"true\"") && dry.contains("server: \"v1."), "{dry}");
    assert_eq!(cluster.curl("GET", "/api/v1/namespaces/shop", &[], b"").0, 404);

    let installed = helm.does("install book guestbook --namespace shop --create-namespace --wait --timeout 90s");
    assert!(installed.contains("STATUS: deployed") && installed.contains("book says hello."), "{installed}");
    assert_eq!((words("greeting"), replicas()), ("hello".into(), (Some(1), Some(1))), "--wait waits for pods");
    assert_eq!(cluster.curl("GET", "/api/v1/namespaces/shop/pods/book-before", &[], b"").0, 404, "the hook is gone");
    let again = helm.said("install book guestbook --namespace shop");
    assert!(!again.ok && again.err.contains("in use") || again.err.contains("re-use"), "{}", again.err);
    let word = cluster.get("/api/v1/namespaces/shop/secrets/book-word")["data"]["word"].clone();

    // Somebody else's change stays where the chart says the same as before; what is changed in the chart comes.
    let patch = ["Content-Type: application/merge-patch+json"];
    let label = br#"{"metadata":{"labels":{"else":"x"}}}"#;
    assert_eq!(cluster.curl("PATCH", "/api/v1/namespaces/shop/services/book-front", &patch, label).0, 200);
    helm.does("upgrade book guestbook --namespace shop --set replicas=2,greeting=hi --wait --timeout 90s");
    assert_eq!((words("greeting"), replicas()), ("hi".into(), (Some(2), Some(2))));
    assert_eq!(cluster.get("/api/v1/namespaces/shop/secrets/book-word")["data"]["word"], word, "it was looked up");
    assert_eq!(cluster.get("/api/v1/namespaces/shop/services/book-front")["metadata"]["labels"]["else"], "x");
    let listed = helm.json("list --namespace shop");
    for (field, expected) in [("name", "book"), ("revision", "2"), ("status", "deployed")] {
        assert_eq!(listed[0][field], expected, "{listed}");
    }
    assert_eq!(helm.json("get values book --namespace shop")["replicas"], 2);
    assert!(helm.does("status book --namespace shop").contains("REVISION: 2"));
    assert!(helm.does("test book --namespace shop --logs").contains("tested"));

    // What the server refuses fails the release, and the one before comes back.
    let refused = helm.said("upgrade book guestbook --namespace shop --set replicas=-1");
    assert!(
        !refused.ok && refused.err.contains("must be greater than or equal to 0"),
        "{}{}",
        refused.out,
        refused.err
    );
    helm.does("rollback book 1 --namespace shop --wait --timeout 90s");
    assert_eq!((words("greeting"), replicas().0), ("hello".into(), Some(1)));
    let history = helm.json("history book --namespace shop");
    let states: Vec<&str> = history.as_array().unwrap().iter().filter_map(|one| one["status"].as_str()).collect();
    assert_eq!(states, ["superseded", "superseded", "failed", "deployed"]);

    // An object that is nobody's is not taken over.
    let (code, _) =
        cluster.post("/api/v1/namespaces/shop/serviceaccounts", &serde_json::json!({"metadata": {"name": "own"}}));
    assert_eq!(code, 201);
    let taken = helm.said("install own guestbook --namespace shop");
    assert!(!taken.ok && taken.err.contains("invalid ownership metadata"), "{}", taken.err);

    helm.does("uninstall book --namespace shop --wait --timeout 90s");
    eventually("nothing of the release", || {
        let of =
            |kind: &str| cluster.get(&format!("/api/v1/namespaces/shop/{kind}?labelSelector=app.kubernetes.io/name"));
        let left: usize = ["services", "secrets", "configmaps", "replicationcontrollers"]
            .map(|kind| of(kind)["items"].as_array().map_or(0, Vec::len))
            .iter()
            .sum();
        if left == 0 { Ok(()) } else { Err(format!("{left} objects")) }
    });
    assert_eq!(helm.json("list --namespace shop --all"), serde_json::json!([]));
    helm.does("uninstall own --namespace shop --ignore-not-found");
}
