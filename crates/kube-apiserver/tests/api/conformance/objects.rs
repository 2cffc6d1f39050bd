//! Lives of single kinds, where they have more to them than their verbs.

use serde_json::{Value, json};

use super::{MERGE, STRATEGIC, delete, get, names, patch, post, put, there};
use crate::common::Api;

const DEFAULT: &str = "/api/v1/namespaces/default";

fn pod(name: &str, resources: Value) -> Value {
    json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i", "resources": resources}]}})
}

/// Conformance: "Pods, QOS"
#[tokio::test(flavor = "multi_thread")]
async fn pods_have_a_class_of_service() {
    let api = Api::start().await;
    let amounts = json!({"cpu": "100m", "memory": "100Mi"});
    for (name, resources, expected) in [
        ("guaranteed", json!({"requests": amounts, "limits": amounts}), "Guaranteed"),
        ("burstable", json!({"requests": amounts}), "Burstable"),
        ("least", json!({}), "BestEffort"),
    ] {
        let made = post(&api, &format!("{DEFAULT}/pods"), pod(name, resources)).await;
        assert_eq!(made["status"]["qosClass"], expected);
    }
}

/// Conformance: "CSIInlineVolumes should support Pods with inline volumes"
#[tokio::test(flavor = "multi_thread")]
async fn pods_have_volumes_of_drivers() {
    let api = Api::start().await;
    let mut object = pod("inline", json!({}));
    object["metadata"]["labels"] = json!({"csi": "yes"});
    object["spec"]["volumes"] =
        json!([{"name": "v", "csi": {"driver": "d.example.com", "volumeAttributes": {"a": "b"}}}]);
    let all = format!("{DEFAULT}/pods");
    post(&api, &all, object).await;
    let one = format!("{all}/inline");
    let got = there(get(&api, &one).await);
    assert_eq!(got["spec"]["volumes"][0]["csi"], json!({"driver": "d.example.com", "volumeAttributes": {"a": "b"}}));
    assert_eq!(names(&api, "/api/v1/pods?labelSelector=csi%3Dyes").await, ["inline"]);
    let patched = patch(&api, &one, STRATEGIC, json!({"metadata": {"labels": {"patched": "yes"}}})).await;
    assert_eq!(patched["spec"]["volumes"], got["spec"]["volumes"]);
    delete(&api, &format!("{one}?gracePeriodSeconds=0")).await;
    assert_eq!(get(&api, &one).await.0, 404);
}

/// Conformance: "Secret patching"
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_patched_found_by_its_label_and_deleted() {
    let api = Api::start().await;
    let all = format!("{DEFAULT}/secrets");
    post(&api, &all, json!({"metadata": {"name": "s", "labels": {"testsecret": "true"}}, "data": {"key": "dmFsdWU="}}))
        .await;
    let change = json!({"metadata": {"labels": {"testsecret-constant": "true"}}, "data": {"key": "dmFsdWUxCg=="}});
    let patched = patch(&api, &format!("{all}/s"), STRATEGIC, change).await;
    assert_eq!(
        (&patched["data"]["key"], &patched["metadata"]["labels"]["testsecret"]),
        (&json!("dmFsdWUxCg=="), &json!("true"))
    );
    let everywhere = "/api/v1/secrets?labelSelector=testsecret-constant%3Dtrue";
    assert_eq!(names(&api, everywhere).await, ["s"]);
    delete(&api, &format!("{all}?labelSelector=testsecret-constant%3Dtrue")).await;
    assert!(names(&api, everywhere).await.is_empty());
}

/// Conformance: "Event, manage lifecycle of an Event"
/// Conformance: "New Event resource lifecycle, testing a single event"
///
/// Of both groups, as they are one kind: what is written in one is told in the words of the other.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_told_again_and_deleted() {
    let api = Api::start().await;
    let time = |second: u32| format!("2026-01-02T03:04:{second:02}.000000Z");
    let about = json!({"kind": "Pod", "namespace": "default", "name": "p"});
    let old = json!({"involvedObject": about, "reason": "R", "message": "first", "type": "Normal", "count": 1, "source": {"component": "test"}});
    let new = json!({"regarding": about, "reason": "R", "action": "A", "note": "first", "type": "Normal", "eventTime": time(1),
        "reportingController": "c.example.com/x", "reportingInstance": "i"});
    for (base, words, mut event, series) in [
        (format!("{DEFAULT}/events"), "message", old, json!({"count": 5, "lastObservedTime": time(9)})),
        (
            "/apis/events.k8s.io/v1/namespaces/default/events".into(),
            "note",
            new,
            json!({"count": 5, "lastObservedTime": time(9)}),
        ),
    ] {
        event["metadata"] = json!({"name": "e", "labels": {"told": "yes"}});
        post(&api, &base, event).await;
        let everywhere = format!("{}?labelSelector=told%3Dyes", base.replace("/namespaces/default", ""));
        assert_eq!(names(&api, &everywhere).await, ["e"], "{base}");
        let one = format!("{base}/e");
        let patched = patch(&api, &one, STRATEGIC, json!({words: "second"})).await;
        assert_eq!(patched[words], "second", "{base}");
        let mut event = there(get(&api, &one).await);
        event["series"] = series.clone();
        assert_eq!(put(&api, &one, &event).await["series"], series, "{base}");
        // The other group has the same event.
        let other = if words == "note" {
            format!("{DEFAULT}/events/e")
        } else {
            "/apis/events.k8s.io/v1/namespaces/default/events/e".into()
        };
        let told = there(get(&api, &other).await);
        assert_eq!(
            (&told[if words == "note" { "message" } else { "note" }], &told["series"]),
            (&json!("second"), &series),
            "{base}"
        );
        delete(&api, &one).await;
        assert!(names(&api, &everywhere).await.is_empty(), "{base}");
        assert_eq!(get(&api, &other).await.0, 404, "{base}");
    }
}

/// Conformance: "LimitRange, resources"
#[tokio::test(flavor = "multi_thread")]
async fn a_limit_range_gives_defaults_and_keeps_bounds() {
    let api = Api::start().await;
    let amounts =
        |cpu: &str, memory: &str, disk: &str| json!({"cpu": cpu, "memory": memory, "ephemeral-storage": disk});
    let range = json!({"metadata": {"name": "limits"}, "spec": {"limits": [{"type": "Container",
        "min": amounts("50m", "100Mi", "100Gi"), "max": amounts("500m", "500Mi", "500Gi"),
        "default": amounts("500m", "500Mi", "500Gi"), "defaultRequest": amounts("100m", "200Mi", "200Gi")}]}});
    let ranges = format!("{DEFAULT}/limitranges");
    let made = post(&api, &ranges, range).await;
    assert_eq!(there(get(&api, &format!("{ranges}/limits")).await), made);
    let pods = format!("{DEFAULT}/pods");
    let of = |pod: &Value| pod["spec"]["containers"][0]["resources"].clone();
    let bare = post(&api, &pods, pod("bare", json!({}))).await;
    assert_eq!(
        of(&bare),
        json!({"limits": amounts("500m", "500Mi", "500Gi"), "requests": amounts("100m", "200Mi", "200Gi")})
    );
    let partly =
        post(&api, &pods, pod("partly", json!({"limits": {"cpu": "300m"}, "requests": {"memory": "150Mi"}}))).await;
    assert_eq!(
        of(&partly),
        json!({"limits": amounts("300m", "500Mi", "500Gi"), "requests": amounts("300m", "150Mi", "200Gi")})
    );
    for (name, bad) in [("low", json!({"requests": {"cpu": "10m"}})), ("high", json!({"limits": {"memory": "600Mi"}}))]
    {
        assert_eq!(api.json("POST", &pods, &pod(name, bad)).await.0, 403, "{name}");
    }
    // The range of now is what counts.
    let change = json!({"spec": {"limits": [{"type": "Container", "min": {"cpu": "9m"}, "max": {"cpu": "1"}, "default": {"cpu": "500m"}, "defaultRequest": {"cpu": "100m"}}]}});
    let mut range = there(get(&api, &format!("{ranges}/limits")).await);
    range["spec"] = change["spec"].clone();
    put(&api, &format!("{ranges}/limits"), &range).await;
    while api.json("POST", &pods, &pod("low", json!({"requests": {"cpu": "10m"}}))).await.0 != 201 {
        tokio::task::yield_now().await;
    }
    delete(&api, &format!("{ranges}/limits")).await;
    // Admission follows the ranges, so it knows a moment later.
    let dry = format!("{pods}?dryRun=All");
    while of(&post(&api, &dry, pod("free", json!({}))).await) != json!({}) {
        tokio::task::yield_now().await;
    }
}

/// Conformance: "LimitRange, list, patch and delete a LimitRange by collection"
#[tokio::test(flavor = "multi_thread")]
async fn a_limit_range_is_patched() {
    let api = Api::start().await;
    let ranges = format!("{DEFAULT}/limitranges");
    post(
        &api,
        &ranges,
        json!({"metadata": {"name": "l"}, "spec": {"limits": [{"type": "Container", "max": {"cpu": "500m"}}]}}),
    )
    .await;
    let change = json!({"metadata": {"labels": {"l": "patched"}}, "spec": {"limits": [{"type": "Container", "max": {"cpu": "300m"}}]}});
    let patched = patch(&api, &format!("{ranges}/l"), STRATEGIC, change).await;
    let limits = patched["spec"]["limits"].as_array().unwrap();
    assert_eq!(
        (limits.len(), &limits[0]["max"]["cpu"], &patched["metadata"]["labels"]["l"]),
        (1, &json!("300m"), &json!("patched"))
    );
}

/// Conformance: "ResourceQuota, update and delete"
#[tokio::test(flavor = "multi_thread")]
async fn a_quota_is_replaced_and_deleted() {
    let api = Api::start().await;
    let quotas = format!("{DEFAULT}/resourcequotas");
    let hard = |cpu: &str, memory: &str| json!({"cpu": cpu, "memory": memory});
    post(&api, &quotas, json!({"metadata": {"name": "q"}, "spec": {"hard": hard("1", "500Mi")}})).await;
    let one = format!("{quotas}/q");
    let mut quota = there(get(&api, &one).await);
    assert_eq!(quota["spec"]["hard"], hard("1", "500Mi"));
    quota["spec"]["hard"] = hard("2", "1Gi");
    put(&api, &one, &quota).await;
    assert_eq!(there(get(&api, &one).await)["spec"]["hard"], hard("2", "1Gi"));
    delete(&api, &one).await;
    assert_eq!(get(&api, &one).await.0, 404);
    assert!(names(&api, &quotas).await.is_empty());
}

/// Conformance: "ReplicaSet, is created, Replaced and Patched"
/// Conformance: "Deployment, completes the lifecycle of a Deployment"
///
/// What the API server has to do with it; the controllers' part of their lives needs them.
#[tokio::test(flavor = "multi_thread")]
async fn workloads_are_patched_and_replaced() {
    let api = Api::start().await;
    for plural in ["replicasets", "deployments"] {
        let all = format!("/apis/apps/v1/namespaces/default/{plural}");
        let template =
            json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "one"}]}});
        let spec = json!({"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": template});
        post(&api, &all, json!({"metadata": {"name": "web"}, "spec": spec})).await;
        let one = format!("{all}/web");
        let change = json!({"spec": {"replicas": 3, "template": {"spec": {"terminationGracePeriodSeconds": 3, "containers": [{"name": "c", "image": "two"}]}}}});
        let patched = patch(&api, &one, STRATEGIC, change).await;
        let inner = &patched["spec"]["template"]["spec"];
        assert_eq!(
            (&patched["spec"]["replicas"], &inner["containers"][0]["image"]),
            (&json!(3), &json!("two")),
            "{plural}"
        );
        assert_eq!(
            (&inner["terminationGracePeriodSeconds"], inner["containers"].as_array().unwrap().len()),
            (&json!(3), 1)
        );
        let mut object = patched;
        object["spec"]["template"]["spec"]["containers"][0]["image"] = "three".into();
        let replaced = put(&api, &one, &object).await;
        assert_eq!(replaced["metadata"]["generation"], 3, "{plural}");
        patch(&api, &one, MERGE, json!({"metadata": {"labels": {"note": "x"}}})).await;
        assert_eq!(there(get(&api, &one).await)["metadata"]["generation"], 3, "{plural}");
        delete(&api, &one).await;
        assert_eq!(get(&api, &one).await.0, 404);
    }
}

/// Conformance: "Service, change type, ClusterIP to ExternalName"
/// Conformance: "Service, change type, ExternalName to ClusterIP"
/// Conformance: "Service, change type, ExternalName to NodePort"
/// Conformance: "Service, change type, NodePort to ExternalName"
///
/// Addresses and ports come and go with the type; who reaches whom needs nodes.
#[tokio::test(flavor = "multi_thread")]
async fn services_change_their_type() {
    let api = Api::start().await;
    let all = format!("{DEFAULT}/services");
    let ports = json!([{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 80}]);
    let external = json!({"type": "ExternalName", "externalName": "foo.example.com"});
    for (name, from, to) in [
        ("a", json!({"type": "ClusterIP", "ports": ports}), &external),
        ("b", external.clone(), &json!({"type": "ClusterIP", "ports": ports})),
        ("c", external.clone(), &json!({"type": "NodePort", "ports": ports})),
        ("d", json!({"type": "NodePort", "ports": ports}), &external),
    ] {
        let check = |service: &Value, kind: &Value| {
            let spec = &service["spec"];
            let address = spec["clusterIP"].as_str().is_some_and(|ip| !ip.is_empty());
            let port = spec["ports"][0]["nodePort"].as_u64().unwrap_or(0) != 0;
            assert_eq!(&spec["type"], &kind["type"], "{name}: {spec}");
            assert_eq!(address, kind["type"] != "ExternalName", "{name}: {spec}");
            assert_eq!(port, kind["type"] == "NodePort", "{name}: {spec}");
            assert_eq!(spec.get("externalName"), kind.get("externalName"), "{name}");
        };
        let mut service = post(&api, &all, json!({"metadata": {"name": name}, "spec": from})).await;
        check(&service, &from);
        // As a client does it: the fields of the new type are set and those of the old one taken away, the rest is left.
        let spec = service["spec"].as_object_mut().unwrap();
        spec.remove("externalName");
        if to["type"] == "ExternalName" {
            spec.remove("ports");
        }
        for (field, value) in to.as_object().unwrap() {
            spec.insert(field.clone(), value.clone());
        }
        check(&put(&api, &format!("{all}/{name}"), &service).await, to);
    }
}
