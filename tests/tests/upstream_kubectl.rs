//! Upstream's own kubectl, oldest and newest, against our API server: what people do with it on a cluster.
//!
//! The programs come from Debian's suites by `scripts/upstream`, which needs a Debian mirror the first time.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use tests::{Said, TestCluster, checkout, eventually, run};

struct Kubectl<'a> {
    cluster: &'a TestCluster,
    program: PathBuf,
    /// Minor version.
    minor: u32,
}

impl Kubectl<'_> {
    fn said(&self, line: &str, input: &str) -> Said {
        let arguments: Vec<&str> = line.split_whitespace().collect();
        self.cluster.kubectl_of(&self.program, &arguments, input)
    }
    #[track_caller]
    fn does(&self, line: &str) -> String {
        self.gets(line, "")
    }
    #[track_caller]
    fn gets(&self, line: &str, input: &str) -> String {
        let said = self.said(line, input);
        assert!(said.ok, "1.{} {line}: {}{}", self.minor, said.out, said.err);
        said.out
    }
    #[track_caller]
    fn refuses(&self, line: &str, input: &str, expected: &[&str]) {
        let said = self.said(line, input);
        assert!(!said.ok, "1.{} {line}: succeeded: {}", self.minor, said.out);
        assert!(expected.iter().any(|text| said.err.contains(text)), "1.{} {line}: {}", self.minor, said.err);
    }
}

#[test]
fn kubectl_1_20_from_bookworm() {
    session("bookworm", "kubernetes-client", 20);
}

#[test]
fn kubectl_1_32_from_trixie() {
    session("trixie", "kubectl", 32);
}

#[test]
fn kubectl_1_36_from_sid() {
    session("sid", "kubectl", 36);
}

const RC: &str = "
apiVersion: v1
kind: ReplicationController
metadata:
  name: web
spec:
  replicas: 2
  selector: {app: web}
  template:
    metadata:
      labels: {app: web}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: main
        image: busybox
        command: [sh, -c, 'echo started; exec sleep 1000']
        ports: [{containerPort: 80}]
---
apiVersion: v1
kind: Service
metadata:
  name: web
spec:
  selector: {app: web}
  ports: [{port: 80}]
";

fn session(suite: &str, package: &str, minor: u32) {
    let folder = run(Command::new(checkout().join("scripts/upstream")).args([suite, package])).done();
    let program = PathBuf::from(folder.trim()).join("usr/bin/kubectl");
    let cluster = TestCluster::whole();
    let kubectl = Kubectl { cluster: &cluster, program, minor };

    let version: Value = serde_json::from_str(&kubectl.does("version -o json")).unwrap();
    assert_eq!(version["clientVersion"]["minor"].as_str().map(|m| m.trim_end_matches('+')), Some(&*minor.to_string()));
    assert!(version["serverVersion"]["gitVersion"].as_str().unwrap().starts_with("v1."));
    assert!(kubectl.does("cluster-info").contains("is running at"));
    assert!(kubectl.does("api-resources").contains("replicationcontrollers"));
    assert!(kubectl.does("api-versions").contains("coordination.k8s.io/v1"));

    // Create, look, label, change.
    let created = kubectl.gets("create --validate=true -f -", RC);
    assert!(
        created.contains("replicationcontroller/web created") && created.contains("service/web created"),
        "{created}"
    );
    kubectl.refuses("create -f -", RC, &["replicationcontrollers \"web\" already exists"]);
    cluster.wait_for_pods("app=web", 2);
    let pods = kubectl.does("get pods -l app=web");
    assert!(pods.starts_with("NAME") && pods.contains("READY   STATUS    RESTARTS"), "{pods}");
    assert_eq!(pods.matches("1/1     Running").count(), 2, "{pods}");
    assert!(kubectl.does("get pods -o wide").contains("10."), "addresses");
    assert!(kubectl.does("get pods,svc -A").contains("service/kubernetes"));
    assert_eq!(kubectl.does("get rc web -o jsonpath={.spec.replicas}"), "2");
    assert_eq!(kubectl.does("get rc -o name").trim(), "replicationcontroller/web");
    assert!(kubectl.does("get rc web -o yaml").contains("terminationMessagePath: /dev/termination-log"));
    assert!(kubectl.does("get nodes").contains("Ready"));
    let described = kubectl.does("describe rc web");
    assert!(described.contains("Pods Status:  2 Running") && described.contains("SuccessfulCreate"), "{described}");
    assert!(kubectl.does("describe pod -l app=web").contains("Started"), "events of the pods");
    assert!(kubectl.does("describe node").contains("Allocatable:"));
    kubectl.does("label rc web tier=front");
    kubectl.does("annotate svc web note=x");
    assert!(kubectl.does("get rc --show-labels").contains("tier=front"));
    let pod = cluster.wait_for_pods("app=web", 2)[0]["metadata"]["name"].as_str().unwrap().to_owned();
    assert_eq!(kubectl.does(&format!("logs {pod}")).trim(), "started");
    assert!(kubectl.does("get events").contains("Scheduled"));

    // Apply: made, left, changed, with a field taken away again.
    kubectl.gets("apply -f -", RC);
    let unchanged = kubectl.gets("apply -f -", RC);
    assert_eq!(unchanged.matches("unchanged").count(), 2, "{unchanged}");
    let changed = RC
        .replace("replicas: 2", "replicas: 3")
        .replace("kind: Service\nmetadata:\n", "kind: Service\nmetadata:\n  labels: {mark: red}\n");
    let configured = kubectl.gets("apply -f -", &changed);
    assert_eq!(configured.matches("configured").count(), 2, "{configured}");
    cluster.wait_for_pods("app=web", 3);
    kubectl.gets("apply -f -", RC);
    assert!(!kubectl.does("get svc web --show-labels").contains("mark=red"), "a label that the file no longer has");
    cluster.wait_for_pods("app=web", 2);
    kubectl.does("scale rc web --replicas=1");
    cluster.wait_for_pods("app=web", 1);
    kubectl.does("patch svc web -p {\"spec\":{\"ports\":[{\"port\":80,\"name\":\"http\"}]}}");
    assert_eq!(kubectl.does("get svc web -o jsonpath={.spec.ports[*].name}"), "http");
    kubectl.does("create configmap words --from-literal=a=b");
    assert_eq!(kubectl.does("get configmap words -o jsonpath={.data.a}"), "b");
    kubectl.does("create namespace room");
    eventually("the namespace in the list", || {
        let list = kubectl.does("get ns");
        if list.contains("room   ") { Ok(()) } else { Err(list) }
    });

    // Explain, and what is refused.
    let explained = kubectl.does("explain rc.spec.template.spec.containers.image");
    assert!(explained.contains("Container image name"), "{explained}");
    assert!(kubectl.does("explain service").contains("FIELDS:"));
    assert!(kubectl.does("explain pod.spec --recursive").contains("restartPolicy"));
    let unknown = RC.replace("replicas: 2", "replicaz: 2").replace("name: web", "name: other");
    kubectl.refuses("create -f -", &unknown, &["unknown field \"replicaz\"", "unknown field \"spec.replicaz\""]);
    let wrong = RC.replace("replicas: 2", "replicas: many").replace("name: web", "name: other");
    kubectl.refuses("create -f -", &wrong, &["spec.replicas"]);
    kubectl.refuses("create -f -", "kind: [", &["error parsing", "error converting YAML"]);
    let bad = RC.replace("name: web\n", "name: Web_1\n");
    kubectl.refuses("create -f -", &bad, &["metadata.name: Invalid value: \"Web_1\""]);
    kubectl.refuses("get pods nope", "", &["Error from server (NotFound): pods \"nope\" not found"]);
    kubectl.refuses("get nopes", "", &["error: the server doesn't have a resource type \"nopes\""]);

    // Delete, and wait until it is gone.
    kubectl.does("delete rc,svc -l app!=x --wait=true");
    cluster.wait_for_pods("app=web", 0);
    kubectl.does("delete namespace room");
    kubectl.refuses("get ns room", "", &["NotFound"]);
}
