//! One application through all five daemons: the guestbook on real images, and what happens to it when things break.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tests::{TestCluster, checkout, eventually, run};

const DEFAULT: &str = "/api/v1/namespaces/default";

fn docker(arguments: &[&str]) -> String {
    run(Command::new("docker").args(arguments)).done().trim().to_owned()
}

fn http(address: SocketAddr, path: &str) -> Result<String, String> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(3)).map_err(|e| e.to_string())?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).map_err(|e| e.to_string())?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: guestbook\r\n\r\n").map_err(|e| e.to_string())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(|e| e.to_string())?;
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).ok_or(answer)
}

/// Another host: a network namespace with a link to this machine.
struct OtherHost(String);

impl OtherHost {
    fn new(cluster: &TestCluster) -> Self {
        let host = Self(format!("host-{}", cluster.cluster.layout.bridge));
        let Self(name) = &host;
        let link = format!("o{}", cluster.cluster.layout.bridge);
        // 198.18.0.0/15 is for tests of devices; the node's own number keeps clusters apart.
        let number: u8 = cluster.cluster.layout.bridge.trim_start_matches("kbr").parse().unwrap();
        for line in [
            format!("netns add {name}"),
            format!("link add {link} type veth peer name eth0 netns {name}"),
            format!("addr add 198.18.{number}.1/24 dev {link}"),
            format!("link set {link} up"),
            format!("-n {name} addr add 198.18.{number}.2/24 dev eth0"),
            format!("-n {name} link set eth0 up"),
            format!("-n {name} route add default via 198.18.{number}.1"),
        ] {
            run(Command::new("ip").args(line.split(' '))).done();
        }
        host
    }

    fn curl(&self, url: &str) -> String {
        let Self(name) = self;
        run(Command::new("ip").args(["netns", "exec", name, "curl", "-sS", "--max-time", "10", url])).done()
    }
}

impl Drop for OtherHost {
    fn drop(&mut self) {
        // The link goes with the namespace.
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

/// Applies the guestbook's manifests, on a node port of its own: other clusters may run on this machine.
fn create_guestbook(cluster: &TestCluster) -> u16 {
    for part in ["redis-master", "redis-slave", "frontend"] {
        for kind in ["svc", "rc"] {
            let file = checkout().join("examples/guestbook").join(format!("{part}-{kind}.yaml"));
            let manifest = std::fs::read_to_string(&file).unwrap();
            let manifest = manifest.lines().filter(|line| !line.contains("nodePort:")).collect::<Vec<_>>().join("\n");
            let plural = if kind == "svc" { "services" } else { "replicationcontrollers" };
            let header = ["Content-Type: application/yaml"];
            let (code, said) = cluster.curl("POST", &format!("{DEFAULT}/{plural}"), &header, manifest.as_bytes());
            assert_eq!(code, 201, "{file:?}: {said}");
        }
    }
    cluster.get(&format!("{DEFAULT}/services/frontend"))["spec"]["ports"][0]["nodePort"].as_u64().unwrap() as u16
}

/// Container of each pod: name and how often it was restarted.
fn containers(cluster: &TestCluster) -> BTreeMap<String, (String, i64)> {
    let pods = cluster.get(&format!("{DEFAULT}/pods"));
    let of = |pod: &Value| {
        let status = &pod["status"]["containerStatuses"][0];
        let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
        (text(&pod["metadata"]["name"]), (text(&status["containerID"]), status["restartCount"].as_i64().unwrap_or(-1)))
    };
    pods["items"].as_array().unwrap().iter().map(of).collect()
}

#[test]
fn the_guestbook_answers_and_survives() {
    let mut cluster = TestCluster::whole();
    let node_port = create_guestbook(&cluster);
    let masters = cluster.wait_for_pods("name=redis-master", 1);
    cluster.wait_for_pods("name=redis-slave", 2);
    cluster.wait_for_pods("name=frontend", 3);

    // Reached at the node port and at the service's address, through rules in the kernel.
    let node = SocketAddr::new(cluster.cluster.layout.address, node_port);
    let page = eventually("the page with its first message", || {
        let page = http(node, "/")?;
        if page.contains("Hello World!") { Ok(page) } else { Err(page) }
    });
    assert!(page.contains("<title>Guestbook</title>") && page.contains("<html ng-app=\"redis\">"), "{page}");
    let service = cluster.get(&format!("{DEFAULT}/services/frontend"));
    let ip: std::net::IpAddr = service["spec"]["clusterIP"].as_str().unwrap().parse().unwrap();
    let through_service = SocketAddr::new(ip, 80);
    // A pod without a readiness probe is ready before Apache listens, so one of three may still refuse.
    for _ in 0..10 {
        eventually("the page through the service", || http(through_service, "/"));
    }
    let other = OtherHost::new(&cluster);
    assert!(other.curl(&format!("http://{node}/")).contains("Hello World!"), "from another host");
    http(node, "/?cmd=set&key=messages&value=jay_sais_hi").unwrap();
    eventually("the new message, read from a slave", || {
        let page = http(through_service, "/")?;
        if page.contains("jay_sais_hi") { Ok(()) } else { Err(page) }
    });

    // A pause container owns the network; names and labels are those that people look for.
    let uid = masters[0]["metadata"]["uid"].as_str().unwrap();
    let name = masters[0]["metadata"]["name"].as_str().unwrap();
    let names = docker(&["ps", "--format", "{{.Names}}", "--filter", &format!("label=io.kubernetes.pod.uid={uid}")]);
    let of_master: Vec<&str> = names.lines().collect();
    assert_eq!(of_master.len(), 2, "{names}");
    for (container, prefix) in [("pause", "k8s_POD."), ("app", "k8s_master.")] {
        let found =
            of_master.iter().find(|line| line.starts_with(prefix)).unwrap_or_else(|| panic!("{container}: {names}"));
        assert!(found.contains(&format!("_{name}_default_{uid}_")), "{found}");
    }

    // The daemons are killed and come back; not one container restarts because of it, and the page goes on.
    let before = containers(&cluster);
    for daemon in ["kubelet", "kube-scheduler", "kube-controller-manager", "kube-proxy", "kube-apiserver"] {
        cluster.kill_and_restart(daemon);
        http(node, "/").unwrap_or_else(|e| panic!("after {daemon}: {e}"));
    }
    cluster.wait_for_node("True");
    cluster.wait_for_pods("name=frontend", 3);
    assert_eq!(containers(&cluster), before);

    // A container that dies is restarted in place.
    let id = before[name].0.trim_start_matches("docker://").to_owned();
    docker(&["kill", &id]);
    eventually("the master's container restarted in place", || {
        let now = containers(&cluster);
        match now.get(name) {
            Some((other, 1)) if *other != before[name].0 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    cluster.wait_for_pods("name=redis-master", 1);

    // A pod that is deleted is replaced, and the endpoints follow.
    let victim = cluster.wait_for_pods("name=frontend", 3)[0]["metadata"]["name"].as_str().unwrap().to_owned();
    assert_eq!(cluster.curl("DELETE", &format!("{DEFAULT}/pods/{victim}"), &[], b"").0, 200);
    eventually("another pod in its place", || {
        let now = containers(&cluster);
        if now.contains_key(&victim) { Err(format!("{now:?}")) } else { Ok(()) }
    });
    let pods = cluster.wait_for_pods("name=frontend", 3);
    let mut ips: Vec<&str> = pods.iter().map(|p| p["status"]["podIP"].as_str().unwrap()).collect();
    ips.sort_unstable();
    eventually("endpoints of the pods that are there", || {
        let endpoints = cluster.get(&format!("{DEFAULT}/endpoints/frontend"));
        let addresses = endpoints["subsets"][0]["addresses"].as_array().cloned().unwrap_or_default();
        let mut known: Vec<&str> = addresses.iter().map(|a| a["ip"].as_str().unwrap()).collect();
        known.sort_unstable();
        if known == ips { Ok(()) } else { Err(endpoints.to_string()) }
    });

    // Scaled down and up again; the log of a pod is there.
    let scale = |replicas: u32| {
        let patch = json!({"spec": {"replicas": replicas}}).to_string();
        let path = format!("{DEFAULT}/replicationcontrollers/redis-slave/scale");
        let (code, said) =
            cluster.curl("PATCH", &path, &["Content-Type: application/merge-patch+json"], patch.as_bytes());
        assert_eq!(code, 200, "{said}");
    };
    scale(1);
    cluster.wait_for_pods("name=redis-slave", 1);
    scale(3);
    cluster.wait_for_pods("name=redis-slave", 3);
    let log = |query: &str| cluster.curl("GET", &format!("{DEFAULT}/pods/{name}/log{query}"), &[], b"");
    let (code, whole) = log("");
    assert!(code == 200 && whole.contains("Ready to accept connections"), "{code} {whole}");
    assert_eq!(log("?tailLines=2").1.lines().count(), 2);
    assert!(log("?previous=true").1.contains("Ready to accept connections"), "of the container that was killed");
    let (code, said) = log("?container=nope");
    assert!(code == 400 && said.contains("container nope is not valid for pod"), "{code} {said}");
    assert_eq!(cluster.kubectl(&["logs", name, "--tail=2"]).done().lines().count(), 2);
    let described = cluster.kubectl(&["describe", "pod", name]).done();
    assert!(described.contains("Restart Count:  1") && described.contains("Started container master"), "{described}");
    // Followed until its end, with what comes meanwhile.
    let talker = json!({"metadata": {"name": "talker"}, "spec": {"restartPolicy": "Never", "containers": [{"name": "c",
        "image": "busybox", "command": ["sh", "-c", "for n in 1 2 3 4 5; do echo line $n; sleep 0.3; done"]}]}});
    assert_eq!(cluster.post(&format!("{DEFAULT}/pods"), &talker).0, 201);
    let followed = eventually("the log of the talker", || {
        let said = cluster.kubectl(&["logs", "-f", "talker"]);
        if said.ok { Ok(said.out) } else { Err(said.err) }
    });
    assert_eq!(followed, "line 1\nline 2\nline 3\nline 4\nline 5\n");

    // Deleting a controller in the background takes its pods along, and their containers.
    let background = json!({"propagationPolicy": "Background"}).to_string();
    let path = format!("{DEFAULT}/replicationcontrollers/redis-slave");
    assert_eq!(cluster.curl("DELETE", &path, &["Content-Type: application/json"], background.as_bytes()).0, 200);
    cluster.wait_for_pods("name=redis-slave", 0);
    eventually("no container of the slaves", || {
        let owner = format!("label=io.pilothouse.kubelet={}", cluster.cluster.layout.folder.join("kubelet").display());
        let left = docker(&["ps", "-a", "--format", "{{.Names}}", "--filter", &owner]);
        if left.contains("redis-slave") || !left.contains("redis-master") { Err(left) } else { Ok(()) }
    });
}

#[test]
fn a_service_environment_namespace_and_missing_image() {
    let cluster = TestCluster::whole();
    let (code, said) = cluster.post("/api/v1/namespaces", &json!({"metadata": {"name": "room"}}));
    assert_eq!(code, 201, "{said}");
    let service = json!({"metadata": {"name": "redis-master"}, "spec": {"ports": [{"port": 6379}]}});
    cluster.post("/api/v1/namespaces/room/services", &service);
    cluster
        .post("/api/v1/namespaces/room/configmaps", &json!({"metadata": {"name": "c"}, "data": {"key": "from a map"}}));
    let pod = json!({"metadata": {"name": "p"}, "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "busybox",
        "env": [{"name": "WORD", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "key"}}}],
        "command": ["sh", "-c", "echo $WORD; env | sort | grep REDIS; cat /data/key"],
        "volumeMounts": [{"name": "v", "mountPath": "/data"}]}],
        "volumes": [{"name": "v", "configMap": {"name": "c"}}]}});
    let (code, said) = cluster.post("/api/v1/namespaces/room/pods", &pod);
    assert_eq!(code, 201, "{said}");
    let missing = json!({"metadata": {"name": "missing"}, "spec": {"containers": [{"name": "c", "image": "127.0.0.1:5000/no/such:1"}]}});
    cluster.post("/api/v1/namespaces/room/pods", &missing);
    let phase = |name: &str| {
        let pod = cluster.get(&format!("/api/v1/namespaces/room/pods/{name}"));
        (
            pod["status"]["phase"].as_str().unwrap_or("").to_owned(),
            pod["status"]["containerStatuses"][0]["state"].clone(),
        )
    };
    eventually("the pod's success", || match phase("p") {
        (phase, _) if phase == "Succeeded" => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let (_, log) = cluster.curl("GET", "/api/v1/namespaces/room/pods/p/log", &[], b"");
    for expected in ["from a map", "REDIS_MASTER_SERVICE_HOST=", "REDIS_MASTER_PORT_6379_TCP_PORT=6379"] {
        assert!(log.contains(expected), "{expected}: {log}");
    }
    eventually("the missing image's reason", || match phase("missing") {
        (phase, state)
            if phase == "Pending"
                && ["ErrImagePull", "ImagePullBackOff"].iter().any(|r| state["waiting"]["reason"] == **r) =>
        {
            Ok(())
        }
        other => Err(format!("{other:?}")),
    });
    // A namespace goes with all that is in it.
    assert_eq!(cluster.curl("DELETE", "/api/v1/namespaces/room", &[], b"").0, 200);
    eventually("the namespace's end", || match cluster.curl("GET", "/api/v1/namespaces/room", &[], b"") {
        (404, _) => Ok(()),
        (_, said) => Err(said),
    });
    assert_eq!(cluster.get("/api/v1/pods")["items"].as_array().unwrap().len(), 0);
}
