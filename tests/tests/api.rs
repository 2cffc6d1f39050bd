//! kube-apiserver on a real etcd, asked as any client would: what it refuses and how, what it promises, and what it does
//! while etcd is away.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tests::{TestCluster, eventually, programs, run};

fn api() -> TestCluster {
    TestCluster::start(&["etcd", "kube-apiserver"])
}

const PODS: &str = "/api/v1/namespaces/default/pods";
const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
const JSON: &str = "Content-Type: application/json";

fn pod(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [{"name": "c", "image": "busybox"}]}})
}

/// The default namespace is made while the server starts.
fn wait_for_default(api: &TestCluster) {
    eventually("namespace default and service kubernetes", || {
        let (code, body) = api.curl("GET", "/api/v1/namespaces/default/endpoints/kubernetes", &[], b"");
        if code == 200 { Ok(()) } else { Err(body) }
    });
}

#[test]
fn bad_input_is_refused_with_a_path_and_changes_nothing() {
    let api = api();
    wait_for_default(&api);
    let before = api.get("/api/v1/pods")["items"].as_array().unwrap().len();
    let strict = format!("{PODS}?fieldValidation=Strict");
    let query = format!("{PODS}?dryRun=Some");
    let with = |change: &dyn Fn(&mut Value)| {
        let mut pod = pod("bad");
        change(&mut pod);
        pod.to_string()
    };
    let long = format!("{{\"metadata\":{{\"name\":\"{}\"}}}}", "a".repeat(10 * 1024 * 1024));
    let cases: Vec<(&str, &str, String, u16, &str)> = vec![
        ("malformed JSON", PODS, "{\"kind\":".into(), 400, "the body is not JSON: EOF while parsing"),
        ("not an object", PODS, "[]".into(), 400, "must be an object"),
        (
            "another kind",
            PODS,
            with(&|p| p["kind"] = "Service".into()),
            400,
            "the kind in the data (Service) does not match the expected kind (Pod)",
        ),
        (
            "another version",
            PODS,
            with(&|p| p["apiVersion"] = "v2".into()),
            400,
            "does not match the expected API version",
        ),
        (
            "unknown field",
            &strict,
            with(&|p| p["spec"]["containers"][0]["imag"] = "x".into()),
            400,
            "strict decoding error: unknown field \\\"spec.containers[0].imag\\\"",
        ),
        (
            "wrong type",
            PODS,
            with(&|p| p["spec"]["containers"] = "x".into()),
            400,
            "spec.containers: expected a list, got",
        ),
        (
            "missing field",
            PODS,
            with(&|p| p["spec"]["containers"][0] = json!({"name": "c"})),
            422,
            "spec.containers[0].image: Required value",
        ),
        (
            "bad name",
            PODS,
            with(&|p| p["metadata"]["name"] = "Bad_Name".into()),
            422,
            "metadata.name: Invalid value: \\\"Bad_Name\\\"",
        ),
        (
            "no name",
            PODS,
            with(&|p| p["metadata"] = json!({})),
            422,
            "metadata.name: Required value: name or generateName is required",
        ),
        (
            "another namespace",
            PODS,
            with(&|p| p["metadata"]["namespace"] = "other".into()),
            400,
            "does not match the namespace sent on the request",
        ),
        (
            "missing namespace",
            "/api/v1/namespaces/nope/pods",
            pod("x").to_string(),
            404,
            "namespaces \\\"nope\\\" not found",
        ),
        (
            "unknown resource",
            "/api/v1/namespaces/default/nopes",
            pod("x").to_string(),
            404,
            "could not find the requested resource",
        ),
        ("bad query", &query, pod("x").to_string(), 422, "dryRun"),
        ("10 MB", PODS, long, 413, "Request entity too large: limit is 3145728"),
        (
            "deep nesting",
            PODS,
            format!("{{\"spec\":{}{}}}", "[".repeat(5000), "]".repeat(5000)),
            413,
            "nested deeper than",
        ),
    ];
    for (name, path, body, code, message) in cases {
        let (got, said) = api.curl("POST", path, &[JSON], body.as_bytes());
        assert_eq!(got, code, "{name}: {said}");
        assert!(said.contains(message), "{name}: {said}");
        let status: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(
            (status["kind"].as_str(), status["code"].as_u64()),
            (Some("Status"), Some(u64::from(code))),
            "{name}"
        );
    }
    let (code, said) = api.curl("POST", PODS, &["Content-Type: application/cbor"], b"x");
    assert_eq!(code, 415, "{said}");
    assert_eq!(api.get("/api/v1/pods")["items"].as_array().unwrap().len(), before);
}

#[test]
fn every_error_of_an_object_is_told_at_once_with_its_cause() {
    let api = api();
    wait_for_default(&api);
    let bad = json!({"metadata": {"name": "x", "labels": {"a": "b c"}}, "spec": {"restartPolicy": "Sometimes",
        "containers": [{"name": "c", "image": "i"}, {"name": "c", "image": "i", "ports": [{"containerPort": 70000}]}]}});
    let (code, status) = api.post(PODS, &bad);
    assert_eq!((code, status["reason"].as_str()), (422, Some("Invalid")));
    let causes = status["details"]["causes"].as_array().unwrap();
    let fields: Vec<(&str, &str)> =
        causes.iter().map(|c| (c["field"].as_str().unwrap(), c["reason"].as_str().unwrap())).collect();
    assert_eq!(
        fields,
        [
            ("metadata.labels", "FieldValueInvalid"),
            ("spec.containers[1].name", "FieldValueDuplicate"),
            ("spec.containers[1].ports[0].containerPort", "FieldValueInvalid"),
            ("spec.restartPolicy", "FieldValueNotSupported"),
        ]
    );
}

#[test]
fn names_are_taken_once_and_old_versions_are_conflicts() {
    let api = api();
    wait_for_default(&api);
    let (code, first) = api.post(CONFIG_MAPS, &json!({"metadata": {"name": "c"}, "data": {"n": "0"}}));
    assert_eq!(code, 201, "{first}");
    let (code, status) = api.post(CONFIG_MAPS, &json!({"metadata": {"name": "c"}}));
    assert_eq!((code, status["message"].as_str()), (409, Some("configmaps \"c\" already exists")));
    let path = format!("{CONFIG_MAPS}/c");
    let put = |object: &Value| api.curl("PUT", &path, &[JSON], object.to_string().as_bytes());
    let mut second = first.clone();
    second["data"]["n"] = "1".into();
    assert_eq!(put(&second).0, 200);
    let (code, said) = put(&second);
    assert_eq!(code, 409, "{said}");
    assert!(
        said.contains("the object has been modified; please apply your changes to the latest version and try again")
    );
    assert_eq!(api.get(&path)["data"]["n"], "1");
    // Without a version the write is unconditional; another uid never is.
    second["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    second["data"]["n"] = "2".into();
    assert_eq!(put(&second).0, 200);
    second["metadata"]["uid"] = "other".into();
    assert_eq!(put(&second).0, 409);
    // A write that changes nothing is no new version.
    let now = api.get(&path);
    let (_, same) = put(&now);
    assert_eq!(serde_json::from_str::<Value>(&same).unwrap()["metadata"], now["metadata"]);
    let (code, dry) = api.post(&format!("{CONFIG_MAPS}?dryRun=All"), &json!({"metadata": {"name": "dry"}}));
    assert_eq!(code, 201, "{dry}");
    assert_eq!(api.curl("GET", &format!("{CONFIG_MAPS}/dry"), &[], b"").0, 404);
}

#[test]
fn concurrent_writers_lose_nothing() {
    let api = api();
    wait_for_default(&api);
    api.post(CONFIG_MAPS, &json!({"metadata": {"name": "c"}, "data": {}}));
    let path = format!("{CONFIG_MAPS}/c");
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let (api, path) = (&api, &path);
            scope.spawn(move || {
                for n in 0..5 {
                    let patch = json!({"data": {format!("w{writer}-{n}"): "x"}}).to_string();
                    let headers = ["Content-Type: application/merge-patch+json"];
                    let (code, said) = api.curl("PATCH", path, &headers, patch.as_bytes());
                    assert_eq!(code, 200, "{said}");
                }
            });
        }
    });
    assert_eq!(api.get(&path)["data"].as_object().unwrap().len(), 40);
}

#[test]
fn the_three_patches() {
    let api = api();
    wait_for_default(&api);
    api.post(PODS, &pod("p"));
    let path = format!("{PODS}/p");
    let patch = |kind: &str, patch: Value| {
        let header = format!("Content-Type: application/{kind}");
        let (code, said) = api.curl("PATCH", &path, &[&header], patch.to_string().as_bytes());
        (code, serde_json::from_str::<Value>(&said).unwrap())
    };
    let (code, merged) =
        patch("strategic-merge-patch+json", json!({"spec": {"containers": [{"name": "c", "image": "nginx"}]}}));
    assert_eq!((code, merged["spec"]["containers"][0]["image"].as_str()), (200, Some("nginx")), "{merged}");
    assert_eq!(merged["spec"]["containers"][0]["terminationMessagePolicy"], "File");
    let (code, merged) = patch("merge-patch+json", json!({"metadata": {"labels": {"app": null, "x": "y"}}}));
    assert_eq!((code, &merged["metadata"]["labels"]), (200, &json!({"x": "y"})));
    let (code, _) = patch("json-patch+json", json!([{"op": "test", "path": "/metadata/labels/x", "value": "z"}]));
    assert_eq!(code, 422);
    let (code, status) =
        patch("strategic-merge-patch+json", json!({"spec": {"containers": [{"name": "c", "command": ["x"]}]}}));
    assert_eq!((code, status["reason"].as_str()), (422, Some("Invalid")), "{status}");
    let (code, status) = patch("apply-patch", json!({}));
    assert_eq!(code, 415, "{status}");
}

#[test]
fn lists_are_selected_and_paged_at_one_revision() {
    let api = api();
    wait_for_default(&api);
    for n in 0..7 {
        let name = format!("c{n}");
        let even = if n % 2 == 0 { "yes" } else { "no" };
        api.post(CONFIG_MAPS, &json!({"metadata": {"name": name, "labels": {"even": even}}}));
    }
    let names = |list: &Value| -> Vec<String> {
        let items = list["items"].as_array().unwrap().iter();
        items.map(|i| i["metadata"]["name"].as_str().unwrap().to_owned()).collect()
    };
    let count = |query: &str| names(&api.get(&format!("{CONFIG_MAPS}?{query}"))).len();
    assert_eq!(count("labelSelector=even%3Dyes"), 4);
    assert_eq!(count("labelSelector=even+notin+(yes),even"), 3);
    assert_eq!(count("fieldSelector=metadata.name%3Dc3"), 1);
    assert_eq!(api.curl("GET", &format!("{CONFIG_MAPS}?fieldSelector=spec.x%3D1"), &[], b"").0, 400);
    let first = api.get(&format!("{CONFIG_MAPS}?limit=3"));
    assert_eq!(first["metadata"]["remainingItemCount"], 4);
    // A change between the pages does not show in them.
    api.curl("DELETE", &format!("{CONFIG_MAPS}/c5"), &[], b"");
    api.post(CONFIG_MAPS, &json!({"metadata": {"name": "c4b"}}));
    let mut all = names(&first);
    let mut next = first["metadata"]["continue"].as_str().unwrap().to_owned();
    let revision = first["metadata"]["resourceVersion"].clone();
    while !next.is_empty() {
        let page = api.get(&format!("{CONFIG_MAPS}?limit=3&continue={next}"));
        assert_eq!(page["metadata"]["resourceVersion"], revision);
        all.extend(names(&page));
        next = page["metadata"]["continue"].as_str().unwrap_or("").to_owned();
    }
    assert_eq!(all, ["c0", "c1", "c2", "c3", "c4", "c5", "c6"]);
    assert_eq!(api.curl("GET", &format!("{CONFIG_MAPS}?continue=x"), &[], b"").0, 400);
}

/// The lines of a watch, as they come.
struct Lines {
    child: std::process::Child,
    reader: BufReader<std::process::ChildStdout>,
}

impl Lines {
    fn of(api: &TestCluster, path: &str) -> Self {
        let pki = |file: &str| api.cluster.pki.path(file).display().to_string();
        let mut command = Command::new("curl");
        command.args(["-sSN", "--max-time", "60", "--cacert", &pki("ca.crt")]);
        command.args(["--cert", &pki("admin.crt"), "--key", &pki("admin.key")]);
        let url = format!("{}{path}", api.cluster.layout.server());
        let mut child = command.arg(url).stdout(Stdio::piped()).spawn().unwrap();
        let reader = BufReader::new(child.stdout.take().unwrap());
        Self { child, reader }
    }

    fn next(&mut self) -> Value {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}"))
    }

    fn next_short(&mut self) -> (String, String) {
        let event = self.next();
        let name = event["object"]["metadata"]["name"].as_str().unwrap_or("").to_owned();
        (event["type"].as_str().unwrap().to_owned(), name)
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn watches_tell_every_change_and_what_leaves_the_selection() {
    let mut api = api();
    wait_for_default(&api);
    let (_, first) = api.post(CONFIG_MAPS, &json!({"metadata": {"name": "a", "labels": {"x": "1"}}}));
    let version = first["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    let short = |kind: &str, name: &str| (kind.to_owned(), name.to_owned());
    let mut all = Lines::of(&api, &format!("{CONFIG_MAPS}?watch=1&resourceVersion={version}"));
    let mut selected = Lines::of(&api, &format!("{CONFIG_MAPS}?watch=1&labelSelector=x%3D1"));
    let mut listed = Lines::of(
        &api,
        &format!(
            "{CONFIG_MAPS}?watch=1&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan"
        ),
    );
    assert_eq!(selected.next_short(), short("ADDED", "a"));
    assert_eq!(listed.next_short(), short("ADDED", "a"));
    let bookmark = listed.next();
    assert_eq!(bookmark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    let patch = json!({"metadata": {"labels": {"x": "2"}}}).to_string();
    let merge = "Content-Type: application/merge-patch+json";
    api.curl("PATCH", &format!("{CONFIG_MAPS}/a"), &[merge], patch.as_bytes());
    api.post(CONFIG_MAPS, &json!({"metadata": {"name": "b", "labels": {"x": "1"}}}));
    api.curl("DELETE", &format!("{CONFIG_MAPS}/a"), &[], b"");
    for expected in [("MODIFIED", "a"), ("ADDED", "b"), ("DELETED", "a")] {
        assert_eq!(all.next_short(), short(expected.0, expected.1));
    }
    let gone = selected.next();
    assert_eq!((gone["type"].as_str(), &gone["object"]["metadata"]["labels"]), (Some("DELETED"), &json!({"x": "1"})));
    assert_eq!(selected.next_short(), short("ADDED", "b"));
    // After a restart the server has no history of its own: who is too old is told so, and lists again.
    api.kill_and_restart("kube-apiserver");
    let mut old = Lines::of(&api, &format!("{CONFIG_MAPS}?watch=1&resourceVersion=1"));
    let error = old.next();
    assert_eq!((error["type"].as_str(), error["object"]["code"].as_u64()), (Some("ERROR"), Some(410)));
}

#[test]
fn services_get_addresses_that_nobody_else_has_and_give_them_back() {
    let api = api();
    wait_for_default(&api);
    let services = "/api/v1/namespaces/default/services";
    let service = |name: &str, spec: Value| {
        let mut object = json!({"metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}});
        for (key, value) in spec.as_object().unwrap() {
            object["spec"][key] = value.clone();
        }
        api.post(services, &object)
    };
    let (code, a) = service("a", json!({"type": "NodePort"}));
    assert_eq!(code, 201, "{a}");
    let (ip, port) = (a["spec"]["clusterIP"].clone(), a["spec"]["ports"][0]["nodePort"].clone());
    assert_eq!(a["spec"]["ports"][0]["targetPort"], 80);
    let (code, taken) = service("b", json!({"clusterIP": ip}));
    assert_eq!(code, 422, "{taken}");
    assert!(taken["message"].as_str().unwrap().contains("provided IP is already allocated"), "{taken}");
    let ports = json!([{"port": 80, "nodePort": port}]);
    let (code, taken) = service("b", json!({"type": "NodePort", "ports": ports}));
    assert!(
        code == 422 && taken["message"].as_str().unwrap().contains("provided port is already allocated"),
        "{taken}"
    );
    let (code, outside) = service("b", json!({"clusterIP": "1.2.3.4"}));
    assert!(code == 422 && outside["message"].as_str().unwrap().contains("not in the valid range"), "{outside}");
    // Never changes once made, and is free again when the service is gone.
    let patch = json!({"spec": {"clusterIP": "10.1.1.1", "clusterIPs": ["10.1.1.1"]}}).to_string();
    let (code, said) =
        api.curl("PATCH", &format!("{services}/a"), &["Content-Type: application/merge-patch+json"], patch.as_bytes());
    assert!(code == 422 && said.contains("may not change once set"), "{said}");
    api.curl("DELETE", &format!("{services}/a"), &[], b"");
    let (code, b) = service("b", json!({"clusterIP": ip, "type": "NodePort", "ports": ports}));
    assert_eq!(code, 201, "{b}");
}

/// Status and body of a request by one of the cluster's certificates, or by nobody; with more arguments for curl.
fn asked_by(api: &TestCluster, who: &str, method: &str, path: &str, more: &[&str]) -> (u16, String) {
    let pki = |file: &str| api.cluster.pki.path(file).display().to_string();
    let mut command = Command::new("curl");
    command.args(["-s", "-X", method, "-w", "\n%{http_code}", "--cacert", &pki("ca.crt")]).args(more);
    if !who.is_empty() {
        command.args(["--cert", &pki(&format!("{who}.crt")), "--key", &pki(&format!("{who}.key"))]);
    }
    let said = run(command.arg(format!("{}{path}", api.cluster.layout.server()))).out;
    let (body, code) = said.rsplit_once('\n').unwrap_or(("", "0"));
    (code.parse().unwrap_or(0), body.to_owned())
}

#[test]
fn who_is_nobody_may_do_nothing_and_daemons_only_what_they_need() {
    let api = api();
    wait_for_default(&api);
    let secret = "/api/v1/namespaces/default/secrets/s";
    assert_eq!(api.post("/api/v1/namespaces/default/secrets", &json!({"metadata": {"name": "s"}})).0, 201);
    let node = api.cluster.layout.node.clone();
    let own_lease = format!("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{node}");
    eventually("the default roles", || {
        let (code, body) = asked_by(&api, "kube-proxy", "GET", "/api/v1/services", &[]);
        if code == 200 { Ok(()) } else { Err(body) }
    });
    for (who, method, path, code) in [
        ("", "GET", "/readyz", 200),
        ("", "GET", "/version", 200),
        ("", "GET", "/api/v1/secrets", 403),
        ("", "GET", "/metrics", 403),
        ("kube-proxy", "GET", secret, 403),
        ("kube-proxy", "DELETE", "/api/v1/namespaces/default/services/kubernetes", 403),
        ("kube-proxy", "GET", "/apis", 200),
        ("kube-scheduler", "GET", "/api/v1/nodes", 200),
        ("kube-scheduler", "GET", secret, 403),
        ("kubelet", "GET", secret, 403),
        ("kubelet", "GET", &own_lease, 404),
        ("kubelet", "GET", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/other", 403),
        ("kube-controller-manager", "GET", secret, 200),
        // Before it is known whether there is such an object.
        ("kube-proxy", "GET", "/api/v1/namespaces/default/secrets/nope", 403),
    ] {
        let (got, said) = asked_by(&api, who, method, path, &[]);
        assert_eq!(got, code, "{who:?} {method} {path}: {said}");
    }
    // The pods of a node open what they refer to.
    let mut pod = pod("reads");
    pod["spec"]["nodeName"] = node.into();
    pod["spec"]["volumes"] = json!([{"name": "v", "secret": {"secretName": "s"}}]);
    assert_eq!(api.post(PODS, &pod).0, 201);
    eventually("the secret for the kubelet", || {
        let (code, said) = asked_by(&api, "kubelet", "GET", secret, &[]);
        if code == 200 { Ok(()) } else { Err(said) }
    });
    let (_, said) = asked_by(&api, "", "GET", "/api/v1/secrets", &[]);
    assert!(said.contains("secrets is forbidden: User \\\"system:anonymous\\\" cannot list resource \\\"secrets\\\" in API group \\\"\\\" at the cluster scope"), "{said}");
    // Who may do everything may ask as anybody, and then may no more than that one.
    let as_proxy = ["-H", "Impersonate-User: system:kube-proxy"];
    assert_eq!(asked_by(&api, "admin", "GET", "/api/v1/services", &as_proxy).0, 200);
    let (code, said) = asked_by(&api, "admin", "GET", secret, &as_proxy);
    assert!(code == 403 && said.contains("User \\\"system:kube-proxy\\\" cannot get"), "{code} {said}");
    let (code, said) = asked_by(&api, "kube-proxy", "GET", secret, &["-H", "Impersonate-User: kubernetes-admin"]);
    assert!(code == 403 && said.contains("cannot impersonate resource \\\"users\\\""), "{code} {said}");
    let (code, _) = asked_by(&api, "", "GET", "/api/v1/secrets", &["-H", "Authorization: Bearer nope"]);
    assert_eq!(code, 401);
}

#[test]
fn etcd_away_is_a_clear_error_and_all_goes_on_when_it_is_back() {
    let mut api = api();
    wait_for_default(&api);
    api.post(CONFIG_MAPS, &json!({"metadata": {"name": "before"}}));
    let mut watch = Lines::of(&api, &format!("{CONFIG_MAPS}?watch=1"));
    assert_eq!(watch.next_short().1, "before");
    api.daemon("etcd").kill();
    for (method, path, body) in
        [("POST", CONFIG_MAPS, &b"{\"metadata\":{\"name\":\"x\"}}"[..]), ("GET", CONFIG_MAPS, b""), ("GET", PODS, b"")]
    {
        let (code, said) = api.curl(method, path, &[JSON], body);
        assert!((500..600).contains(&code), "{method} {path}: {code} {said}");
        assert!(said.contains("etcd at http://127.0.0.1"), "{method} {path}: {said}");
    }
    // What may be stale is still served.
    assert_eq!(api.get(&format!("{CONFIG_MAPS}?resourceVersion=0"))["items"].as_array().unwrap().len(), 1);
    api.run_daemon("etcd");
    eventually("writes after the outage", || {
        let (code, said) = api.curl("POST", CONFIG_MAPS, &[JSON], b"{\"metadata\":{\"name\":\"after\"}}");
        if code == 201 || said.contains("already exists") { Ok(()) } else { Err(said) }
    });
    assert_eq!(watch.next_short(), ("ADDED".to_owned(), "after".to_owned()), "the watch was not broken");
    let log = api.log("kube-apiserver");
    assert_eq!(log.matches("trying again until it answers").count(), 1, "said once, not in many lines:\n{log}");
}

#[test]
fn history_that_etcd_has_compacted_is_gone() {
    let api = api();
    wait_for_default(&api);
    for n in 0..4 {
        api.post(CONFIG_MAPS, &json!({"metadata": {"name": format!("c{n}")}}));
    }
    let page = api.get(&format!("{CONFIG_MAPS}?limit=2"));
    let next = page["metadata"]["continue"].as_str().unwrap().to_owned();
    api.post(CONFIG_MAPS, &json!({"metadata": {"name": "c9"}}));
    let now = api.get(CONFIG_MAPS)["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    let etcd = api.cluster.layout.etcd_url();
    run(Command::new("etcdctl").env("ETCDCTL_API", "3").args(["--endpoints", &etcd, "compact", &now])).done();
    let (code, said) = api.curl("GET", &format!("{CONFIG_MAPS}?limit=2&continue={next}"), &[], b"");
    assert_eq!(code, 410, "{said}");
}

#[test]
fn a_flag_that_cannot_be_used_is_one_line_before_anything_is_bound() {
    let api = TestCluster::start(&["etcd"]);
    let program = programs().join("kube-apiserver");
    let good = api.cluster.arguments("kube-apiserver");
    let replaced = |flag: &str, value: &str| -> Vec<String> {
        let name = format!("--{flag}=");
        let kept = good.iter().filter(|a| !a.starts_with(&name)).cloned();
        kept.chain([format!("{name}{value}")]).collect()
    };
    let listener = std::net::TcpListener::bind(("0.0.0.0", 0)).unwrap();
    let busy = listener.local_addr().unwrap().port();
    let key = api.cluster.pki.path("admin.key").display().to_string();
    for (flag, value) in [
        ("secure-port", busy.to_string()),
        ("secure-port", "x".into()),
        ("bind-address", "203.0.113.7".into()),
        ("bind-address", "nowhere".into()),
        ("tls-cert-file", "/nope.crt".into()),
        ("tls-private-key-file", key),
        ("client-ca-file", "/dev/null".into()),
        ("etcd-servers", "127.0.0.1:1".into()),
        ("service-cluster-ip-range", "10.0.0.0/99".into()),
        ("service-node-port-range", "9-1".into()),
        ("authorization-mode", "Sometimes".into()),
        ("event-ttl", "soon".into()),
        ("audit-policy-file", "/nope.yaml".into()),
        ("enable-priority-and-fairness", "true".into()),
        ("max-requests-inflight", "-1".into()),
    ] {
        let said = run(Command::new(&program).args(replaced(flag, &value))).refused();
        assert_eq!(said.trim().lines().count(), 1, "{flag}={value}: {said}");
        assert!(said.starts_with("kube-apiserver: ") && said.contains(&format!("--{flag}")), "{flag}={value}: {said}");
    }
    let said = run(Command::new(&program).arg("--nope=1")).refused();
    assert!(said.contains("--nope"), "{said}");
}

#[test]
fn garbage_on_the_port_harms_nobody() {
    use std::io::Write;
    let api = api();
    let address = format!("{}:{}", api.cluster.layout.address, api.cluster.layout.apiserver_port);
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 4096], b"\x16\x03\x01\x00\x05hello", b""] {
        let mut stream = std::net::TcpStream::connect(&address).unwrap();
        // The server may have hung up already.
        let _ = stream.write_all(garbage);
    }
    assert_eq!(api.curl("GET", "/readyz", &[], b"").0, 200);
    let many: Vec<String> = (0..2000).map(|n| format!("X-H{n}: {}", "v".repeat(100))).collect();
    let headers: Vec<&str> = many.iter().map(String::as_str).collect();
    let (code, _) = api.curl("GET", "/api/v1/pods", &headers, b"");
    assert_ne!(code, 200, "200 KB of headers");
    assert_eq!(api.curl("GET", "/readyz", &[], b"").0, 200);
}
