//! The documents that people wrote for v1beta1 and v1beta3, over the paths of then.

use serde_json::{Value, json};

use crate::common::Api;

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

/// As it was published, commas at the ends included.
const CONTROLLER: &str = r#"{"id": "apacheController", "kind": "ReplicationController", "apiVersion": "v1beta1",
 "labels": {"name": "fedoraapache"},
 "desiredState": {
   "replicas": 3,
   "replicaSelector": {"name": "fedoraapache"},
   "podTemplate": {
     "desiredState": {"manifest": {"version": "v1beta1", "id": "fedoraapache",
       "containers": [{"name": "fedoraapache", "image": "fedora/apache",
                       "ports": [{"containerPort": 80,}]}]}},
     "labels": {"name": "fedoraapache"},
   },
 }}"#;

fn manifest(mut container: Value) -> Value {
    container["name"] = "fedoraapache".into();
    container["image"] = "fedora/apache".into();
    json!({"version": "v1beta1", "id": "fedoraapache", "containers": [container]})
}

async fn columns(api: &Api, path: &str) -> (Vec<String>, Vec<Value>) {
    let (code, table) = api.call_for("GET", path, ("", TABLE), b"").await;
    let table: Value = serde_json::from_slice(&table).unwrap();
    assert_eq!(code, 200, "{table}");
    let names = table["columnDefinitions"].as_array().unwrap().iter();
    let names = names.map(|column| column["name"].as_str().unwrap().to_uppercase()).collect();
    (names, table["rows"].as_array().unwrap().iter().map(|row| row["cells"].clone()).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn november_2014() {
    let api = Api::start().await;
    let (code, body) = api.call("GET", "/api/v1beta1/pods", "", b"").await;
    let version = serde_json::from_slice::<Value>(&body).unwrap()["resourceVersion"].clone();
    let envelope = format!(
        "{{\"apiVersion\":\"v1beta1\",\"creationTimestamp\":null,\"items\":[],\"kind\":\"PodList\",\"resourceVersion\":{version},\"selfLink\":\"/api/v1beta1/pods\"}}"
    );
    assert_eq!((code, String::from_utf8(body).unwrap().trim()), (200, envelope.as_str()));
    assert!(version.is_i64());
    for (path, kind) in [("minions", "MinionList"), ("services", "ServiceList"), ("nodes", "MinionList")] {
        let (code, list) = api.json("GET", &format!("/api/v1beta1/{path}"), &Value::Null).await;
        assert_eq!((code, &list["kind"], &list["items"]), (200, &json!(kind), &json!([])));
    }

    let pod = json!({"id": "fedoraapache", "kind": "Pod", "apiVersion": "v1beta1",
        "desiredState": {"manifest": manifest(json!({"ports": [{"containerPort": 80, "hostPort": 80}]}))},
        "labels": {"name": "fedoraapache"}});
    let (code, made) = api.json("POST", "/api/v1beta1/pods?fieldValidation=Strict", &pod).await;
    assert_eq!((code, &made["id"], &made["namespace"]), (201, &json!("fedoraapache"), &json!("default")), "{made}");
    assert_eq!(made["selfLink"], "/api/v1beta1/pods/fedoraapache?namespace=default");
    assert_eq!(
        (&made["desiredState"]["manifest"]["version"], &made["desiredState"]["manifest"]["id"]),
        (&json!("v1beta1"), &json!("fedoraapache"))
    );
    assert_eq!((&made["labels"], &made["currentState"]["status"]), (&pod["labels"], &json!("Waiting")), "{made}");
    assert!(
        made["resourceVersion"].is_i64() && made.get("metadata").is_none() && made.get("managedFields").is_none(),
        "{made}"
    );
    let (names, rows) = columns(&api, "/api/v1beta1/pods/fedoraapache").await;
    assert_eq!(names, ["NAME", "IMAGE(S)", "HOST", "LABELS", "STATUS"]);
    assert_eq!(rows, [json!(["fedoraapache", "fedora/apache", "<unassigned>", "name=fedoraapache", "Waiting"])]);
    let (_, now) = api.json("GET", "/api/v1/namespaces/default/pods/fedoraapache", &Value::Null).await;
    let ports = &now["spec"]["containers"][0]["ports"];
    assert_eq!(
        (&now["spec"]["restartPolicy"], ports),
        (&json!("Always"), &json!([{"containerPort": 80, "hostPort": 80, "protocol": "TCP"}]))
    );

    // The scheduler of then.
    let node = json!({"id": "192.168.0.6", "kind": "Minion", "apiVersion": "v1beta1", "hostIP": "192.168.0.6", "resources": {"capacity": {"cpu": 2, "memory": 3221225472i64}}});
    let node = json!({"id": node["id"], "kind": "Minion", "apiVersion": "v1beta1", "hostIP": node["hostIP"], "resources": {"capacity": {"cpu": 2, "memory": "3221225472"}}});
    let (code, told) = api.json("POST", "/api/v1beta1/minions", &node).await;
    assert_eq!(
        (code, &told["kind"], &told["selfLink"]),
        (201, &json!("Minion"), &json!("/api/v1beta1/minions/192.168.0.6")),
        "{told}"
    );
    assert_eq!(columns(&api, "/api/v1beta1/minions").await, (vec!["NAME".to_owned()], vec![json!(["192.168.0.6"])]));
    let binding = json!({"kind": "Binding", "apiVersion": "v1beta1", "podID": "fedoraapache", "host": "192.168.0.6"});
    let (code, told) = api.json("POST", "/api/v1beta1/bindings", &binding).await;
    assert_eq!((code, &told["apiVersion"], &told["status"]), (201, &json!("v1beta1"), &json!("Success")), "{told}");
    assert_eq!(api.json("POST", "/api/v1beta1/bindings", &binding).await.0, 409);
    let (_, rows) =
        columns(&api, "/api/v1beta1/pods?fields=DesiredState.Host%3D192.168.0.6&labels=name%3Dfedoraapache").await;
    assert_eq!(rows[0][2], "192.168.0.6/");
    let (_, none) = api.json("GET", "/api/v1beta1/pods?labels=name%3Dother", &Value::Null).await;
    assert_eq!(none["items"], json!([]));

    // A name with a capital letter, and commas where JSON has none.
    let (code, told) =
        api.call("POST", "/api/v1beta1/replicationControllers", "application/yaml", CONTROLLER.as_bytes()).await;
    let told: Value = serde_json::from_slice(&told).unwrap();
    assert_eq!((code, &told["id"]), (201, &json!("apacheController")), "{told}");
    let sent = api::yaml::read(CONTROLLER.as_bytes(), &mut Vec::new()).unwrap();
    for (at, value) in [
        ("/desiredState/replicas", json!(3)),
        ("/desiredState/replicaSelector", json!({"name": "fedoraapache"})),
        ("/labels", sent["labels"].clone()),
    ] {
        assert_eq!(told.pointer(at), Some(&value));
    }
    let (_, lower) = api.json("GET", "/api/v1beta1/replicationcontrollers/apacheController", &Value::Null).await;
    assert_eq!(lower, told);
    assert_eq!(
        columns(&api, "/api/v1beta1/replicationControllers").await.0,
        ["NAME", "IMAGE(S)", "SELECTOR", "REPLICAS"]
    );
    let (_, mut today) =
        api.json("GET", "/api/v1/namespaces/default/replicationcontrollers/apacheController", &Value::Null).await;
    assert_eq!(today["spec"]["template"]["spec"]["containers"][0]["name"], "fedoraapache");
    today["spec"]["replicas"] = 2.into();
    let path = "/api/v1/namespaces/default/replicationcontrollers";
    assert_eq!(
        api.json("PUT", &format!("{path}/apacheController"), &today).await.0,
        200,
        "what is there may be changed"
    );
    today["metadata"] = json!({"name": "otherController", "labels": {"name": "x"}});
    let (code, refused) = api.json("POST", path, &today).await;
    assert_eq!((code, &refused["details"]["causes"][0]["field"]), (422, &json!("metadata.name")), "{refused}");

    let service = r#"{"id": "fedoraapache", "kind": "Service", "apiVersion": "v1beta1",
        "selector": {"name": "fedoraapache",}, "protocol": "TCP", "containerPort": 80, "port": 8987}"#;
    let (code, told) =
        api.call("POST", "/api/v1beta1/services?namespace=default", "application/yaml", service.as_bytes()).await;
    let told: Value = serde_json::from_slice(&told).unwrap();
    assert_eq!(
        (code, &told["port"], &told["containerPort"], &told["protocol"]),
        (201, &json!(8987), &json!(80), &json!("TCP")),
        "{told}"
    );
    assert!(told["portalIP"].as_str().unwrap().starts_with("10.254."), "{told}");
    let (_, today) = api.json("GET", "/api/v1/namespaces/default/services/fedoraapache", &Value::Null).await;
    assert_eq!(today["spec"]["ports"], json!([{"port": 8987, "targetPort": 80, "protocol": "TCP"}]));
    let (names, rows) = columns(&api, "/api/v1beta1/services").await;
    assert_eq!((names.join(" "), &rows[0][4]), ("NAME LABELS SELECTOR IP PORT".into(), &json!(8987)));
    let balanced =
        json!({"id": "lb", "kind": "Service", "apiVersion": "v1beta1", "port": 80, "createExternalLoadBalancer": true});
    assert_eq!(api.json("POST", "/api/v1beta1/services", &balanced).await.0, 201);
    let (_, today) = api.json("GET", "/api/v1/namespaces/default/services/lb", &Value::Null).await;
    assert_eq!(today["spec"]["type"], "LoadBalancer");

    let probe = json!({"enabled": true, "type": "http", "initialDelaySeconds": 30, "httpGet": {"path": "/_status/healthz", "port": 8080}});
    let pod = json!({"id": "probed", "kind": "Pod", "apiVersion": "v1beta1", "desiredState": {"manifest": manifest(json!({"livenessProbe": probe}))}});
    let (code, told) = api.json("POST", "/api/v1beta1/pods?fieldValidation=Strict", &pod).await;
    let told = &told["desiredState"]["manifest"]["containers"][0]["livenessProbe"];
    assert_eq!((code, &told["type"], &told["httpGet"]["port"]), (201, &json!("http"), &json!(8080)), "{told}");
    let (_, today) = api.json("GET", "/api/v1/namespaces/default/pods/probed", &Value::Null).await;
    assert_eq!(today["spec"]["containers"][0]["livenessProbe"]["initialDelaySeconds"], 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn namespaces_are_a_parameter_and_refusals_are_of_the_version() {
    let api = Api::start().await;
    let secret = json!({"id": "s", "namespace": "kube-system", "data": {"a": "AAH/"}});
    assert_eq!(api.json("POST", "/api/v1beta1/secrets?namespace=kube-system", &secret).await.0, 201);
    assert_eq!(api.json("POST", "/api/v1beta1/secrets", &secret).await.0, 400, "another namespace than the request's");
    let (code, told) = api.json("GET", "/api/v1beta1/secrets/s", &Value::Null).await;
    assert_eq!((code, &told["apiVersion"], &told["details"]["id"]), (404, &json!("v1beta1"), &json!("s")), "{told}");
    assert_eq!(told["creationTimestamp"], Value::Null);
    let (code, told) = api.json("GET", "/api/v1beta3/namespaces/default/secrets/s", &Value::Null).await;
    assert_eq!((code, &told["apiVersion"], &told["details"]["name"]), (404, &json!("v1beta3"), &json!("s")), "{told}");
    assert_eq!(api.json("GET", "/api/v1beta1/secrets/s?namespace=kube-system", &Value::Null).await.0, 200);
    for (query, found) in [("", 1), ("?namespace=kube-system", 1), ("?namespace=default", 0)] {
        let (_, list) = api.json("GET", &format!("/api/v1beta1/secrets{query}"), &Value::Null).await;
        assert_eq!(
            (list["items"].as_array().unwrap().len(), &list["selfLink"]),
            (found, &json!(format!("/api/v1beta1/secrets{query}")))
        );
    }
    // Nobody deletes what lies in all namespaces at once.
    assert_eq!(api.json("DELETE", "/api/v1beta1/secrets", &Value::Null).await.0, 405);
    let (code, told) = api.json("DELETE", "/api/v1beta1/secrets/s?namespace=kube-system", &Value::Null).await;
    assert_eq!((code, &told["apiVersion"]), (200, &json!("v1beta1")), "{told}");
    let watch = "/api/v1beta1/watch/secrets?namespace=kube-system&timeoutSeconds=1&resourceVersion=1";
    let (code, events) = api.call("GET", watch, "", b"").await;
    let first: Value = serde_json::from_slice(events.split(|byte| *byte == b'\n').next().unwrap()).unwrap();
    assert_eq!((code, &first["type"], &first["object"]["id"]), (200, &json!("ADDED"), &json!("s")), "{first}");
}

#[tokio::test(flavor = "multi_thread")]
async fn july_2015() {
    let api = Api::start().await;
    let controller = json!({"kind": "ReplicationController", "apiVersion": "v1beta3",
        "metadata": {"name": "redis-master", "labels": {"name": "redis-master"}},
        "spec": {"replicas": 1, "selector": {"name": "redis-master"},
            "template": {"metadata": {"labels": {"name": "redis-master"}},
                "spec": {"containers": [{"name": "master", "image": "redis", "ports": [{"containerPort": 6379}]}]}}}});
    let (code, made) = api
        .json("POST", "/api/v1beta3/namespaces/default/replicationcontrollers?fieldValidation=Strict", &controller)
        .await;
    assert_eq!(
        (code, &made["spec"]["template"]["spec"]["containers"][0]["ports"][0]["containerPort"]),
        (201, &json!(6379)),
        "{made}"
    );
    assert_eq!(made["metadata"]["selfLink"], "/api/v1beta3/namespaces/default/replicationcontrollers/redis-master");
    let (names, rows) = columns(&api, "/api/v1beta3/namespaces/default/replicationcontrollers").await;
    assert_eq!(names, ["CONTROLLER", "CONTAINER(S)", "IMAGE(S)", "SELECTOR", "REPLICAS"]);
    assert_eq!(rows, [json!(["redis-master", "master", "redis", "name=redis-master", 1])]);
    let service = json!({"kind": "Service", "apiVersion": "v1beta3", "metadata": {"name": "redis-slave", "labels": {"name": "redis-slave"}},
        "spec": {"ports": [{"port": 6379}], "selector": {"name": "redis-slave"}}});
    let (code, made) = api.json("POST", "/api/v1beta3/namespaces/default/services", &service).await;
    assert_eq!((code, &made["spec"]["ports"][0]["targetPort"]), (201, &json!(6379)), "{made}");
    assert!(made["spec"]["portalIP"].is_string() && made["spec"].get("clusterIP").is_none(), "{made}");
    let (names, rows) =
        columns(&api, "/api/v1beta3/namespaces/default/services?labelSelector=name%3Dredis-slave").await;
    assert_eq!(names, ["NAME", "LABELS", "SELECTOR", "IP(S)", "PORT(S)"]);
    assert_eq!((rows.len(), &rows[0][4]), (1, &json!("6379/TCP")));
    let pod = |privileged: bool, other: bool| {
        json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i", "privileged": privileged,
            "securityContext": {"privileged": other}}]}})
    };
    let pods = "/api/v1beta3/namespaces/default/pods";
    let (code, told) = api.json("POST", pods, &pod(true, false)).await;
    assert_eq!(code, 400);
    assert!(told["message"].as_str().unwrap().contains("container privileged settings do not match"), "{told}");
    assert_eq!(api.json("POST", pods, &pod(true, true)).await.0, 201);
    let names = columns(&api, pods).await.0;
    assert_eq!(names, ["POD", "IP", "CONTAINER(S)", "IMAGE(S)", "HOST", "LABELS", "STATUS", "CREATED", "MESSAGE"]);
    let binding = json!({"kind": "Binding", "apiVersion": "v1beta3", "metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}});
    assert_eq!(api.json("POST", &format!("{pods}/p/binding"), &binding).await.0, 201);
    let (_, list) = api.json("GET", &format!("{pods}?fieldSelector=spec.host%3Dn"), &Value::Null).await;
    assert_eq!(
        (&list["items"][0]["spec"]["host"], &list["metadata"]["selfLink"]),
        (&json!("n"), &json!(pods)),
        "{list}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_client_takes_nothing_away() {
    let api = Api::start().await;
    let pod = json!({"metadata": {"name": "p", "finalizers": ["example.com/f"], "annotations": {"a": "b"}},
        "spec": {"containers": [{"name": "c", "image": "i", "startupProbe": {"grpc": {"port": 1}}, "resources": {"limits": {"memory": "500M"}}}],
            "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {"matchLabels": {"a": "b"}}}]}});
    let path = "/api/v1/namespaces/default/pods";
    assert_eq!(api.json("POST", path, &pod).await.0, 201);
    let (_, before) = api.json("GET", &format!("{path}/p"), &Value::Null).await;
    for old in ["/api/v1beta1/pods/p", "/api/v1beta3/namespaces/default/pods/p"] {
        let (_, seen) = api.json("GET", old, &Value::Null).await;
        let (code, told) = api.json("PUT", old, &seen).await;
        assert_eq!((code, told), (200, seen), "{old}");
        assert_eq!(api.json("GET", &format!("{path}/p"), &Value::Null).await.1, before, "{old}");
    }
    let (code, told) =
        api.call("PATCH", "/api/v1beta1/pods/p", "application/merge-patch+json", br#"{"annotations":{"a":"c"}}"#).await;
    assert_eq!(code, 200, "{}", String::from_utf8_lossy(&told));
    let (_, after) = api.json("GET", &format!("{path}/p"), &Value::Null).await;
    assert_eq!((&after["metadata"]["annotations"], &after["spec"]), (&json!({"a": "c"}), &before["spec"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn todays_bindings_name_the_pod_too() {
    let api = Api::start().await;
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    assert_eq!(api.json("POST", "/api/v1/namespaces/default/pods", &pod).await.0, 201);
    let bindings = "/api/v1/namespaces/default/bindings";
    let binding = json!({"metadata": {"name": "p"}, "target": {"name": "n"}});
    assert_eq!(api.json("POST", bindings, &binding).await.0, 201);
    let (_, now) = api.json("GET", "/api/v1/namespaces/default/pods/p", &Value::Null).await;
    assert_eq!(now["spec"]["nodeName"], "n");
    assert_eq!(api.json("POST", bindings, &json!({"target": {"name": "n"}})).await.0, 400);
    assert_eq!(api.json("POST", bindings, &json!({"metadata": {"name": "q"}, "target": {"name": "n"}})).await.0, 404);
    assert_eq!(api.json("GET", bindings, &Value::Null).await.0, 405);
    assert_eq!(api.json("POST", "/api/v1/bindings", &binding).await.0, 405);
}
