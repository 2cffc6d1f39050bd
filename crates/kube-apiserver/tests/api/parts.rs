//! Subresources that show and change a part of an object, over REST.

use serde_json::{Value, json};

use crate::common::Api;

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_gets_ephemeral_containers_and_other_amounts() {
    let api = Api::start().await;
    let pods = "/api/v1/namespaces/default/pods";
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [
        {"name": "c", "image": "busybox", "resources": {"requests": {"cpu": "1"}}}]}});
    assert_eq!(api.json("POST", pods, &pod).await.0, 201);
    let strategic = "application/strategic-merge-patch+json";
    let patch = |sub: &str, patch: Value| {
        let (api, path) = (&api, format!("{pods}/p/{sub}"));
        async move {
            let (code, body) = api.call("PATCH", &path, strategic, patch.to_string().as_bytes()).await;
            (code, serde_json::from_slice::<Value>(&body).unwrap())
        }
    };
    let debug = json!({"spec": {"ephemeralContainers": [{"name": "debug", "image": "busybox"}]}});
    let (code, now) = patch("ephemeralcontainers", debug).await;
    assert_eq!((code, &now["metadata"]["generation"]), (200, &json!(2)), "{now}");
    assert_eq!(now["spec"]["ephemeralContainers"][0]["imagePullPolicy"], "Always");
    let (code, now) = patch("ephemeralcontainers", json!({"spec": {"ephemeralContainers": null}})).await;
    assert_eq!((code, &now["reason"]), (422, &json!("Invalid")), "{now}");
    let amounts = json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "2"}}}]}});
    let (code, now) = patch("resize", amounts).await;
    assert_eq!((code, &now["spec"]["containers"][0]["resources"]["requests"]["cpu"]), (200, &json!("2")), "{now}");
    let (code, now) = patch("resize", json!({"spec": {"containers": [{"name": "c", "image": "other"}]}})).await;
    assert_eq!(code, 422, "{now}");
    // Other changes of a pod that has ephemeral containers are as they were.
    let (code, now) = api.json("GET", &format!("{pods}/p"), &Value::Null).await;
    assert_eq!((code, &now["metadata"]["generation"]), (200, &json!(3)));
    let mut labelled = now.clone();
    labelled["metadata"]["labels"] = json!({"a": "b"});
    let (code, said) = api.json("PUT", &format!("{pods}/p"), &labelled).await;
    assert_eq!(code, 200, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_approval_approves() {
    let api = Api::start().await;
    let all = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
    let pem = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KLS0tLS1FTkQgQ0VSVElGSUNBVEUgUkVRVUVTVC0tLS0tCg==";
    let request = json!({"metadata": {"name": "r"},
        "spec": {"request": pem, "signerName": "example.com/signer", "usages": ["client auth"]}});
    let (code, mut made) = api.json("POST", all, &request).await;
    assert_eq!(code, 201, "{made}");
    made["status"]["conditions"] = json!([{"type": "Approved", "status": "True"}]);
    let (code, now) = api.json("PUT", &format!("{all}/r/status"), &made).await;
    assert_eq!((code, now["status"].get("conditions")), (200, None), "{now}");
    made["metadata"]["resourceVersion"] = now["metadata"]["resourceVersion"].clone();
    let (code, now) = api.json("PUT", &format!("{all}/r/approval"), &made).await;
    assert_eq!((code, &now["status"]["conditions"][0]["type"]), (200, &json!("Approved")), "{now}");
    let mut issued = now.clone();
    issued["status"] = json!({"certificate": "eA=="});
    let (code, now) = api.json("PUT", &format!("{all}/r/status"), &issued).await;
    assert_eq!((code, &now["status"]["conditions"][0]["type"]), (200, &json!("Approved")), "{now}");
    assert_eq!(now["status"]["certificate"], "eA==");
}

#[tokio::test(flavor = "multi_thread")]
async fn deployments_scale_and_jobs_select_their_own_pods() {
    let api = Api::start().await;
    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    let template = json!({"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let deployment = json!({"metadata": {"name": "d"},
        "spec": {"selector": {"matchLabels": {"app": "x"}}, "template": template}});
    let (code, made) = api.json("POST", deployments, &deployment).await;
    assert_eq!((code, &made["metadata"]["generation"]), (201, &json!(1)), "{made}");
    let (_, mut scale) = api.json("GET", &format!("{deployments}/d/scale"), &Value::Null).await;
    assert_eq!((&scale["spec"]["replicas"], &scale["status"]["selector"]), (&json!(1), &json!("app=x")));
    scale["spec"]["replicas"] = json!(3);
    assert_eq!(api.json("PUT", &format!("{deployments}/d/scale"), &scale).await.0, 200);
    let (_, now) = api.json("GET", &format!("{deployments}/d"), &Value::Null).await;
    assert_eq!((&now["spec"]["replicas"], &now["metadata"]["generation"]), (&json!(3), &json!(2)));
    let jobs = "/apis/batch/v1/namespaces/default/jobs";
    let job = json!({"metadata": {"name": "j"},
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}});
    let (code, made) = api.json("POST", jobs, &job).await;
    let selected = &made["spec"]["selector"]["matchLabels"]["batch.kubernetes.io/controller-uid"];
    assert_eq!((code, selected), (201, &made["metadata"]["uid"]), "{made}");
    assert_eq!(api.json("PUT", &format!("{jobs}/j"), &made).await, (200, made));
}

/// Of fields that nothing honours: once, when they come, and by whoever brings them.
#[tokio::test]
async fn who_asks_in_vain_is_warned() {
    let api = Api::start_plugins(&[], &["StorageObjectInUseProtection", "ServiceAccount"]).await;
    let pods = "/api/v1/namespaces/default/pods";
    let mut pod = json!({"metadata": {"name": "p"},
        "spec": {"hostUsers": false, "containers": [{"name": "c", "image": "i:1"}]}});
    let (code, warnings) = api.warned("POST", pods, &pod).await;
    assert_eq!(code, 201);
    let expected = "spec.hostUsers: accepted, and not honoured by this version: containers have the host's users";
    assert_eq!(warnings, [expected]);
    let path = format!("{pods}/p");
    let (code, warnings) = api.warned("PATCH", &path, &json!({"metadata": {"labels": {"a": "b"}}})).await;
    assert_eq!((code, warnings), (200, Vec::new()));
    pod["metadata"]["name"] = "q".into();
    pod["spec"]["hostUsers"] = true.into();
    assert_eq!(api.warned("POST", pods, &pod).await, (201, Vec::new()));
    let service = json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}});
    let services = "/api/v1/namespaces/default/services";
    assert_eq!(api.warned("POST", services, &service).await, (201, Vec::new()));
    let (code, warnings) =
        api.warned("PATCH", &format!("{services}/s"), &json!({"spec": {"externalIPs": ["192.0.2.1"]}})).await;
    assert_eq!((code, warnings.len()), (200, 1), "{warnings:?}");
    assert!(warnings[0].starts_with("spec.externalIPs: accepted"), "{warnings:?}");
}
