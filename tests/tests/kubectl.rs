//! Our kubectl against the real API server: what it prints, and how it ends.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use tests::{Said, TestCluster, checkout, programs};

struct Cli {
    cluster: TestCluster,
}

impl Cli {
    fn new() -> Self {
        Self { cluster: TestCluster::control_plane() }
    }

    fn given(&self, line: &str, input: &str) -> Said {
        let arguments: Vec<&str> = line.split_whitespace().collect();
        self.cluster.kubectl_of(&programs().join("kubectl"), &arguments, input)
    }

    #[track_caller]
    fn ok(&self, line: &str, input: &str, expected: &str) {
        let said = self.given(line, input);
        assert!(said.ok, "kubectl {line}: {}", said.err);
        assert_eq!(said.out, expected, "kubectl {line}");
    }

    #[track_caller]
    fn refused(&self, line: &str, input: &str, expected: &str) {
        let said = self.given(line, input);
        assert!(!said.ok, "kubectl {line}: {}", said.out);
        assert_eq!((said.out.as_str(), said.err.as_str()), ("", expected), "kubectl {line}");
    }
}

const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: '1'}\n";
const CONTROLLER: &str = "{\"apiVersion\": \"v1\", \"kind\": \"ReplicationController\", \"metadata\": {\"name\": \"web\",},
  \"spec\": {\"replicas\": 0, \"selector\": {\"app\": \"web\"}, \"template\": {\"metadata\": {\"labels\": {\"app\": \"web\"}},
  \"spec\": {\"containers\": [{\"name\": \"c\", \"image\": \"nginx\"},],},},},}";

#[test]
fn objects_come_change_and_go() {
    let cli = Cli::new();
    cli.ok("create namespace shop", "", "namespace/shop created\n");
    cli.refused("create namespace shop", "", "Error from server (AlreadyExists): namespaces \"shop\" already exists\n");
    cli.ok("create -f- -n shop", MAP, "configmap/a created\n");
    cli.refused(
        "create -f - -n shop",
        MAP,
        "Error from server (AlreadyExists): error when creating \"STDIN\": configmaps \"a\" already exists\n",
    );
    let said = cli.given("apply -f - -n shop", &MAP.replace("'1'", "'2'"));
    assert_eq!(said.out, "configmap/a configured\n", "{}", said.err);
    assert!(
        said.err.starts_with("Warning: resource configmaps/a is missing the kubectl.kubernetes.io/last-applied"),
        "{}",
        said.err
    );
    cli.ok("apply -f - -n shop", &MAP.replace("'1'", "'2'"), "configmap/a unchanged\n");
    cli.ok("apply -f - -n shop", &MAP.replace("x: '1'", "w: '1'"), "configmap/a configured\n");
    cli.ok("get cm a -n shop -o jsonpath={.data}", "", "{\"w\":\"1\"}");
    cli.ok("get cm/a -n shop -o name", "", "configmap/a\n");
    cli.ok("get cm -n shop --no-headers -o jsonpath={.items[*].metadata.name}", "", "a");
    cli.ok("label cm a -n shop tier=web", "", "configmap/a labeled\n");
    cli.refused(
        "label cm a -n shop tier=db",
        "",
        "error: 'tier' already has a value (web), and --overwrite is false\n",
    );
    cli.ok("label cm a -n shop tier-", "", "configmap/a unlabeled\n");
    cli.ok("annotate cm a -n shop why=so", "", "configmap/a annotated\n");
    cli.ok("patch cm a -n shop -p {\"data\":{\"z\":\"1\"}}", "", "configmap/a patched\n");
    cli.ok("patch cm a -n shop -p {\"data\":{\"z\":\"1\"}}", "", "configmap/a patched (no change)\n");
    cli.ok("delete cm a -n shop", "", "configmap \"a\" deleted from shop namespace\n");
    cli.refused("get cm a -n shop", "", "Error from server (NotFound): configmaps \"a\" not found\n");
    cli.ok("get cm a -n shop --ignore-not-found", "", "");
    cli.ok("delete ns shop", "", "namespace \"shop\" deleted\n");
    cli.refused("get ns shop", "", "Error from server (NotFound): namespaces \"shop\" not found\n");
}

#[test]
fn controllers_are_scaled_and_described() {
    let cli = Cli::new();
    // Trailing commas, as the old walkthroughs have them.
    cli.ok("create -f -", CONTROLLER, "replicationcontroller/web created\n");
    cli.ok("scale rc web --replicas=2", "", "replicationcontroller/web scaled\n");
    cli.ok("get rc web -o jsonpath={.spec.replicas}", "", "2");
    cli.refused("scale rc web --replicas=1 --current-replicas=7", "", "error: Expected replicas to be 7, was 2\n");
    cli.refused(
        "scale rc nope --replicas=1",
        "",
        "Error from server (NotFound): replicationcontrollers \"nope\" not found\n",
    );
    cli.ok("wait rc/web --for=jsonpath={.status.replicas}=2", "", "replicationcontroller/web condition met\n");
    let table = cli.given("get rc,svc", "").done();
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("NAME                        DESIRED   CURRENT   READY   AGE"), "{table}");
    assert!(lines[1].starts_with("replicationcontroller/web   2         2         0       "), "{table}");
    assert_eq!(lines[2], "", "{table}");
    assert!(lines[4].starts_with("service/kubernetes   ClusterIP   "), "{table}");
    let told = cli.given("describe rc web", "").done();
    for part in [
        "Name:         web\nNamespace:    default\nSelector:     app=web\n",
        "Replicas:     2 current / 2 desired\nPods Status:  0 Running / 2 Waiting / 0 Succeeded / 0 Failed\n",
        "Pod Template:\n  Labels:  app=web\n  Containers:\n   c:\n    Image:         nginx\n",
        "Events:\n  Type    Reason            Age   From                    Message\n",
    ] {
        assert!(told.contains(part), "{part}\n---\n{told}");
    }
    let described = cli.given("describe pods -l app=web", "").done();
    assert_eq!(described.matches("Controlled By:").count(), 2, "{described}");
    assert!(
        described.contains("Node:             <none>") || described.contains("Node:           <none>"),
        "{described}"
    );
    cli.ok("delete rc web", "", "replicationcontroller \"web\" deleted from default namespace\n");
}

#[test]
fn wrong_input_is_refused_with_upstreams_words() {
    let cli = Cli::new();
    for (line, input, expected) in [
        ("get nopes", "", "error: the server doesn't have a resource type \"nopes\"\n"),
        ("get pods x", "", "Error from server (NotFound): pods \"x\" not found\n"),
        ("nope", "", "error: unknown command \"nope\" for \"kubectl\"\n"),
        ("get pods --nope", "", "error: unknown flag: --nope\nSee 'kubectl get --help' for usage.\n"),
        ("delete pods", "", "error: resource(s) were provided, but no name was specified\n"),
        ("create -f nothere.yaml", "", "error: the path \"nothere.yaml\" does not exist\n"),
        ("create", "", "error: must specify one of -f and -k\n"),
        (
            "apply -f -",
            "apiVersion: v1\nkind: Nope\nmetadata: {name: a}\n",
            "error: resource mapping not found for name: \"a\" namespace: \"\" from \"STDIN\": no matches for kind \"Nope\" in version \
             \"v1\"\nensure CRDs are installed first\n",
        ),
        (
            "create -f -",
            "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: x, image: x, imag: y}]}\n",
            "Error from server (BadRequest): error when creating \"STDIN\": Pod in version \"v1\" cannot be handled as a Pod: strict \
             decoding error: unknown field \"spec.containers[0].imag\"\n",
        ),
        (
            "create -f -",
            "a: b: c\n",
            "error: error parsing STDIN: error converting YAML to JSON: yaml: line 1: mapping values are not allowed in this context\n",
        ),
        (
            "-s https://127.0.0.1:1 get pods",
            "",
            "The connection to the server 127.0.0.1:1 was refused - did you specify the right host or port?\n",
        ),
        ("--context nope get pods", "", "error: context \"nope\" does not exist\n"),
        ("logs nope", "", "error: error from server (NotFound): pods \"nope\" not found in namespace \"default\"\n"),
        (
            "create cm",
            "",
            "error: exactly one NAME is required, got 0\nSee 'kubectl create configmap -h' for help and examples\n",
        ),
        ("patch ns default -p {", "", "error: unable to parse \"{\": yaml: line 1: unclosed bracket '{'\n"),
    ] {
        cli.refused(line, input, expected);
    }
    // Nothing there is no failure, and is told beside the output.
    let said = cli.given("get pods", "");
    assert_eq!(
        (said.ok, said.out.as_str(), said.err.as_str()),
        (true, "", "No resources found in default namespace.\n")
    );
    assert!(cli.given("version", "").done().starts_with("Client Version: v1."));
    assert!(cli.given("cluster-info", "").done().starts_with("Kubernetes control plane is running at https://"));
}

#[test]
fn a_watch_goes_on_below_its_table() {
    let cli = Cli::new();
    cli.ok("create cm first --from-literal=x=1", "", "configmap/first created\n");
    let mut command = Command::new(programs().join("kubectl"));
    command.args(["get", "cm", "-w"]).env("KUBECONFIG", cli.cluster.cluster.layout.kubeconfig());
    let mut watch = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines().map(|line| line.unwrap());
    assert_eq!(lines.next().unwrap(), "NAME    DATA   AGE");
    assert!(lines.next().unwrap().starts_with("first   1      "));
    cli.ok("create cm a --from-literal=x=1 --from-literal=y=2", "", "configmap/a created\n");
    assert!(lines.next().unwrap().starts_with("a       2      "));
    cli.ok("delete cm first", "", "configmap \"first\" deleted from default namespace\n");
    assert!(lines.next().unwrap().starts_with("first   1      "));
    watch.kill().unwrap();
    watch.wait().unwrap();
}

#[test]
fn the_guestbook_is_created_out_of_its_folder() {
    let cli = Cli::new();
    let folder = checkout().join("examples/guestbook").display().to_string();
    let made = "replicationcontroller/frontend {}\nservice/frontend {}\nreplicationcontroller/redis-master {}\n\
        service/redis-master {}\nreplicationcontroller/redis-slave {}\nservice/redis-slave {}\n";
    // Without a space behind -f, as people type it.
    cli.ok(&format!("apply -f{folder} --dry-run=server"), "", &made.replace("{}", "created (server dry run)"));
    cli.ok(&format!("create --save-config -f{folder}"), "", &made.replace("{}", "created"));
    cli.ok(&format!("apply -f{folder}"), "", &made.replace("{}", "unchanged"));
    let gone = cli.given(&format!("delete -f{folder}"), "").done();
    assert_eq!(
        gone.lines().next(),
        Some("replicationcontroller \"frontend\" deleted from default namespace"),
        "{gone}"
    );
    assert_eq!(gone.lines().count(), 6, "{gone}");
    cli.ok("get rc -o name", "", "");
}
