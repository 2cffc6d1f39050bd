//! What clients must not be able to do: two tables of hostile inputs, one of bodies and one of parameters, against every verb of
//! every row of the catalog. Each answer is a Status, and what is stored stays as it is.

use serde_json::{Value, json};

use crate::common::Api;
use crate::samples::{collection, name_of, object, stored};

const JSON_PATCH: &str = "application/json-patch+json";

/// Bodies that are no object of any kind, or want to be more than they are.
fn bodies() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let copies: Vec<Value> = (0..26).map(|n| json!({"op": "copy", "from": "", "path": format!("/x{n}")})).collect();
    let whole = |value: Value| json!([{"op": "replace", "path": "", "value": value}]).to_string().into_bytes();
    let mut table = vec![
        ("the whole object becomes a number", JSON_PATCH, whole(json!(1))),
        ("the whole object becomes a list", JSON_PATCH, whole(json!([]))),
        ("the whole object becomes nothing", JSON_PATCH, whole(Value::Null)),
        ("the metadata becomes a number", JSON_PATCH, br#"[{"op":"replace","path":"/metadata","value":1}]"#.to_vec()),
        ("the metadata goes", JSON_PATCH, br#"[{"op":"remove","path":"/metadata"}]"#.to_vec()),
        ("the object is copied into itself again and again", JSON_PATCH, Value::from(copies).to_string().into_bytes()),
        (
            "an index beyond all",
            JSON_PATCH,
            br#"[{"op":"add","path":"/metadata/finalizers/99999999999999999999","value":1}]"#.to_vec(),
        ),
    ];
    for media in ["application/json", "application/merge-patch+json", "application/strategic-merge-patch+json"] {
        table.extend([
            ("a number", media, b"1".to_vec()),
            ("a list", media, b"[]".to_vec()),
            ("nothing", media, b"null".to_vec()),
            ("half an object", media, b"{\"metadata\":".to_vec()),
            ("no UTF-8", media, b"{\"metadata\":{\"name\":\"\xff\"}}".to_vec()),
            ("depth", media, [b"{\"a\":".repeat(50_000), b"1".to_vec(), b"}".repeat(50_000)].concat()),
            ("metadata that is a list", media, br#"{"metadata":[1]}"#.to_vec()),
            ("another kind", media, br#"{"kind":"Nope","apiVersion":"v9"}"#.to_vec()),
        ]);
    }
    table.extend([
        ("protobuf of nothing", "application/vnd.kubernetes.protobuf", b"k8s\0".to_vec()),
        ("garbage as protobuf", "application/vnd.kubernetes.protobuf", b"k8s\0\x0a\xff\xff\xff\xff\x0f".to_vec()),
        ("YAML whose aliases are sixteen million values", "application/yaml", {
            let list = vec!["1"; 4000].join(",");
            let aliases = vec!["*a"; 4000].join(",");
            format!("a: &a [{list}]\nb: [{aliases}]\n").into_bytes()
        }),
        ("YAML that is a list", "application/yaml", b"- 1".to_vec()),
        ("an unknown form", "application/x-nope", b"{}".to_vec()),
    ]);
    table
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_bodies_are_refused_and_change_nothing() {
    let api = Api::start().await;
    for resource in &stored() {
        let (all, name) = (collection(resource), "hostile-body");
        let one = format!("{all}/{}", name_of(resource, name));
        let (code, made) = api.json("POST", &all, &object(resource, name)).await;
        assert_eq!(code, 201, "{}: {made}", resource.kind);
        let mut places = vec![one.clone()];
        places.extend(resource.subresources.iter().map(|sub| format!("{one}/{}", sub.name)));
        for (what, media, body) in bodies() {
            let mut requests: Vec<(&str, &str)> =
                places.iter().flat_map(|p| [("PUT", &**p), ("PATCH", &**p)]).collect();
            requests.push(("POST", &all));
            for (method, path) in requests {
                // Merge patches of an object are no harm by themselves: what they ask for must be refused by the rules.
                let (code, answer) = api.call(method, path, media, &body).await;
                let said = String::from_utf8_lossy(&answer);
                assert!((400..500).contains(&code), "{method} {path}, {what} as {media}: {code} {said}");
                let status: Value = serde_json::from_slice(&answer).expect("a Status");
                assert_eq!(
                    (&status["kind"], &status["code"]),
                    (&json!("Status"), &json!(code)),
                    "{method} {path}, {what}"
                );
            }
        }
        let (_, now) = api.json("GET", &one, &Value::Null).await;
        assert_eq!(now, made, "{}", resource.kind);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_parameters_are_refused_or_bounded() {
    let api = Api::start().await;
    // What stands in the query, and whether a read and a write may take it all the same.
    let table = [
        ("dryRun=Foo", true, false),
        ("dryRun=All&dryRun=Foo", true, false),
        ("fieldValidation=Nope", true, false),
        ("labelSelector=%3D%3D%3D", false, true),
        ("labelSelector=a%20in%20((((", false, true),
        ("fieldSelector=nope%3D1", false, true),
        ("limit=-1", false, true),
        ("limit=99999999999999999999", false, true),
        ("resourceVersion=-1", false, true),
        ("resourceVersion=9223372036854775808", false, true),
        ("continue=e30", false, true),
        ("resourceVersionMatch=Sideways", false, true),
    ];
    for resource in &stored() {
        let all = collection(resource);
        let (code, made) = api.json("POST", &all, &object(resource, "hostile-parameter")).await;
        assert_eq!(code, 201, "{}: {made}", resource.kind);
        for (query, read, write) in table {
            let (code, said) = api.json("GET", &format!("{all}?{query}"), &Value::Null).await;
            assert_eq!(code == 200, read, "GET {all}?{query}: {code} {said}");
            let target = format!("{all}?{query}");
            let (code, said) = api.json("POST", &target, &object(resource, "another")).await;
            assert_eq!(code == 201, write, "POST {target}: {code} {said}");
            if write {
                let (code, said) = api
                    .json(
                        "DELETE",
                        &format!("{all}/{}", name_of(resource, "another")),
                        &json!({"gracePeriodSeconds": 0, "propagationPolicy": "Background"}),
                    )
                    .await;
                assert!([200, 409].contains(&code), "{code} {said}");
                if resource.kind == "Namespace" {
                    let finalized = json!({"metadata": {"name": "another"}, "spec": {"finalizers": []}});
                    let (code, said) = api.json("PUT", &format!("{all}/another/finalize"), &finalized).await;
                    assert_eq!(code, 200, "{said}");
                }
            }
        }
        let huge = i64::MAX;
        // A watch with such a timeout begins; a client that goes away ends it.
        let path = format!("{all}?watch=1&timeoutSeconds={huge}&resourceVersion=0");
        let watching = api.call("GET", &path, "application/json", b"");
        let ended = tokio::time::timeout(std::time::Duration::from_millis(50), watching).await;
        assert!(ended.is_err(), "{path} ended at once: {ended:?}");
        for options in [
            json!({"dryRun": ["Foo"]}),
            json!({"dryRun": ["All", "Foo"]}),
            json!({"propagationPolicy": "Nope"}),
            json!({"gracePeriodSeconds": -1}),
        ] {
            let (code, said) =
                api.json("DELETE", &format!("{all}/{}", name_of(resource, "hostile-parameter")), &options).await;
            assert!([400, 422].contains(&code), "{all} {options}: {code} {said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grace_period_beyond_all_times_is_refused() {
    let api = Api::start().await;
    let pods = "/api/v1/namespaces/default/pods";
    let mut pod = json!({"metadata": {"name": "bound"},
        "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "busybox"}]}});
    assert_eq!(api.json("POST", pods, &pod).await.0, 201);
    let path = format!("{pods}/bound?gracePeriodSeconds=1000000000000000000");
    let (code, said) = api.json("DELETE", &path, &Value::Null).await;
    assert_eq!((code, &said["reason"]), (422, &json!("Invalid")), "{said}");
    pod["metadata"]["name"] = "own".into();
    pod["spec"]["terminationGracePeriodSeconds"] = json!(1_000_000_000_000_000_000_i64);
    if api.json("POST", pods, &pod).await.0 == 201 {
        let (code, said) = api.json("DELETE", &format!("{pods}/own"), &Value::Null).await;
        assert_eq!(code, 422, "{said}");
    }
    assert_eq!(api.json("GET", &format!("{pods}/bound"), &Value::Null).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn deletions_stay_inside_their_borders() {
    let api = Api::start().await;
    for name in api::strategy::SYSTEM_NAMESPACES {
        let (code, said) = api.json("DELETE", &format!("/api/v1/namespaces/{name}"), &Value::Null).await;
        assert_eq!(
            (code, said["message"].as_str()),
            (403, Some(&*format!("namespaces {name:?} is forbidden: this namespace may not be deleted")))
        );
    }
    for resource in stored().iter().filter(|resource| resource.namespaced) {
        let all = collection(resource).replace("/namespaces/default", "");
        for method in ["DELETE", "POST", "PUT", "PATCH"] {
            let (code, said) = api.json(method, &all, &object(resource, "x")).await;
            assert_eq!((code, &said["reason"]), (405, &json!("MethodNotAllowed")), "{method} {all}: {said}");
        }
    }
}

/// The cache may not know yet that a namespace goes: the store does.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_made_in_a_namespace_that_goes() {
    let api = Api::start().await;
    let object = json!({"metadata": {"name": "x"}});
    for round in 0..20 {
        let name = format!("going-{round}");
        let made = api.json("POST", "/api/v1/namespaces", &json!({"metadata": {"name": name}})).await;
        assert_eq!(made.0, 201, "{}", made.1);
        let namespace = format!("/api/v1/namespaces/{name}");
        let config_maps = format!("{namespace}/configmaps");
        // Labels change the namespace, and are no reason to refuse anything.
        let labels = json!({"metadata": {"labels": {"round": round.to_string()}}}).to_string();
        let patch = "application/merge-patch+json";
        let (labelled, made) = tokio::join!(
            api.call("PATCH", &namespace, patch, labels.as_bytes()),
            api.json("POST", &config_maps, &object)
        );
        assert_eq!((labelled.0, made.0), (200, 201), "{}", made.1);
        // What comes after the deletion's answer is refused, however far the cache is.
        assert_eq!(api.json("DELETE", &namespace, &Value::Null).await.0, 200);
        let (code, said) = api.json("POST", &config_maps, &json!({"metadata": {"name": "late"}})).await;
        assert_eq!(
            (code, said["details"]["causes"][0]["reason"].as_str()),
            (403, Some("NamespaceTerminating")),
            "{said}"
        );
    }
}
