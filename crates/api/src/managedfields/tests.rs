use serde_json::json;

use super::*;

fn schema(group: &str, version: &str, kind: &str) -> TypeId {
    builtin().of_kind(group, version, kind).unwrap()
}

fn deployments() -> TypeId {
    schema("apps", "v1", "Deployment")
}

fn writer(manager: &str) -> Writer<'_> {
    Writer { manager, subresource: "", api_version: "apps/v1", time: "2026-01-01T00:00:00Z" }
}

fn made(manager: &str, mut object: Value) -> Value {
    update(deployments(), None, &mut object, writer(manager), &FieldSet::of_fields(&[&["status"]]));
    object
}

fn changed(manager: &str, live: &Value, change: impl Fn(&mut Value)) -> Value {
    let mut new = live.clone();
    change(&mut new);
    update(deployments(), Some(live), &mut new, writer(manager), &FieldSet::default());
    new
}

fn applied(manager: &str, live: &Value, config: Value) -> Result<Value, ApplyError> {
    apply(deployments(), live, &config, writer(manager), false, &FieldSet::default())
}

fn fields(object: &Value, manager: &str) -> Value {
    let entries = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let found = entries.into_iter().find(|entry| entry["manager"] == manager);
    found.map(|entry| entry["fieldsV1"].clone()).unwrap_or_default()
}

fn web(image: &str) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "labels": {"app": "web"}},
        "spec": {"replicas": 2, "strategy": {"rollingUpdate": {"maxSurge": 1}}, "template": {"spec": {"containers": [
            {"name": "web", "image": image, "resources": {}, "ports": [{"containerPort": 80, "protocol": "TCP"}]}]}}},
        "status": {"replicas": 0}})
}

/// As upstream writes it: what Go always writes is nobody's, pointers and what may be missing are somebody's.
#[test]
fn who_creates_manages_all_that_he_sets() {
    let object = made("kubectl-create", web("a"));
    let port = "k:{\"containerPort\":80,\"protocol\":\"TCP\"}";
    assert_eq!(
        fields(&object, "kubectl-create"),
        json!({"f:metadata": {"f:labels": {".": {}, "f:app": {}}},
            "f:spec": {"f:replicas": {}, "f:strategy": {"f:rollingUpdate": {".": {}, "f:maxSurge": {}}},
                "f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"web\"}": {".": {}, "f:name": {}, "f:image": {},
                    "f:resources": {}, "f:ports": {".": {}, port: {".": {}, "f:containerPort": {}, "f:protocol": {}}}}}}}}})
    );
    let entry = &object["metadata"]["managedFields"][0];
    assert_eq!((&entry["operation"], &entry["fieldsType"]), (&json!("Update"), &json!("FieldsV1")));
    assert_eq!((&entry["apiVersion"], &entry["time"]), (&json!("apps/v1"), &json!("2026-01-01T00:00:00Z")));
}

#[test]
fn who_changes_a_field_takes_it_and_who_removes_it_leaves_it_to_nobody() {
    let live = made("a", web("x"));
    let new = changed("b", &live, |object| {
        object["spec"]["replicas"] = 5.into();
        object["metadata"]["labels"] = json!({"app": "web", "new": "label"});
        object["spec"].as_object_mut().unwrap().remove("strategy");
    });
    assert_eq!(fields(&new, "b"), json!({"f:metadata": {"f:labels": {"f:new": {}}}, "f:spec": {"f:replicas": {}}}));
    let of_a = fields(&new, "a");
    assert_eq!(of_a["f:metadata"], json!({"f:labels": {".": {}, "f:app": {}}}));
    assert_eq!(of_a["f:spec"].as_object().unwrap().keys().collect::<Vec<_>>(), ["f:template"]);
    assert_eq!(changed("c", &new, |_| {}), new);
}

#[test]
fn the_same_manager_keeps_one_entry_per_operation_and_subresource() {
    let live = made("a", web("x"));
    let twice = changed("a", &live, |object| object["spec"]["replicas"] = 3.into());
    assert_eq!(twice["metadata"]["managedFields"].as_array().unwrap().len(), 1);
    let mut status = twice.clone();
    status["status"] = json!({"replicas": 3});
    let by_status = Writer { subresource: "status", ..writer("a") };
    update(deployments(), Some(&twice), &mut status, by_status, &FieldSet::default());
    let entries = status["metadata"]["managedFields"].as_array().unwrap();
    assert_eq!(entries.len(), 2);
    let of_status = entries.iter().find(|entry| entry["subresource"] == "status").unwrap();
    assert_eq!(of_status["fieldsV1"], json!({"f:status": {"f:replicas": {}}}));
}

#[test]
fn more_than_ten_updaters_share_an_entry() {
    let mut object = made("m0", web("x"));
    for at in 1..20 {
        let (time, name) = (format!("2026-01-01T00:00:{at:02}Z"), format!("m{at}"));
        let mut new = object.clone();
        new["metadata"]["labels"][&name] = "x".into();
        update(deployments(), Some(&object), &mut new, Writer { time: &time, ..writer(&name) }, &FieldSet::default());
        object = new;
    }
    let entries = object["metadata"]["managedFields"].as_array().unwrap();
    assert_eq!(entries.len(), 10);
    assert_eq!(entries[0]["manager"], "ancient-changes");
    assert_eq!(fields(&object, "m19"), json!({"f:metadata": {"f:labels": {"f:m19": {}}}}));
    assert_eq!(fields(&object, "ancient-changes")["f:metadata"]["f:labels"]["f:m3"], json!({}));
}

#[test]
fn applying_sets_what_is_said_and_removes_what_is_no_longer_said() {
    let first = json!({"metadata": {"name": "web", "labels": {"a": "1", "b": "2"}}, "spec": {"replicas": 1}});
    let live = applied("me", &json!({}), first).unwrap();
    assert_eq!(
        fields(&live, "me"),
        json!({"f:metadata": {"f:labels": {"f:a": {}, "f:b": {}}}, "f:spec": {"f:replicas": {}}})
    );
    assert_eq!(live["metadata"]["managedFields"][0]["operation"], "Apply");
    let live = changed("other", &live, |object| object["metadata"]["labels"]["c"] = "3".into());
    let live = applied("me", &live, json!({"metadata": {"name": "web", "labels": {"a": "1"}}})).unwrap();
    assert_eq!(live["metadata"]["labels"], json!({"a": "1", "c": "3"}));
    assert_eq!(live.get("spec"), None);
    let live = applied("me", &live, json!({"metadata": {"name": "web"}})).unwrap();
    assert_eq!(live["metadata"]["labels"], json!({"c": "3"}));
    assert_eq!(fields(&live, "me"), Value::Null);
}

#[test]
fn another_value_for_what_is_somebody_elses_is_a_conflict() {
    let live = made("updater", web("a"));
    let config = |replicas: i64, image: &str| {
        json!({"metadata": {"name": "web"}, "spec": {"replicas": replicas,
            "template": {"spec": {"containers": [{"name": "web", "image": image}]}}}})
    };
    let error = applied("me", &live, config(7, "a")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Apply failed with 1 conflict: conflict with \"updater\" using apps/v1: .spec.replicas"
    );
    let error = applied("me", &live, config(7, "b")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Apply failed with 2 conflicts: conflicts with \"updater\" using apps/v1:\n- .spec.replicas\n\
         - .spec.template.spec.containers[name=\"web\"].image"
    );
    // The same value is shared, and force takes what differs.
    let shared = applied("me", &live, config(2, "a")).unwrap();
    assert!(fields(&shared, "updater")["f:spec"]["f:replicas"].is_object());
    assert!(fields(&shared, "me")["f:spec"]["f:replicas"].is_object());
    let forced = apply(deployments(), &live, &config(7, "a"), writer("me"), true, &FieldSet::default()).unwrap();
    assert_eq!(forced["spec"]["replicas"], 7);
    assert_eq!(fields(&forced, "updater")["f:spec"].get("f:replicas"), None);
    // Who gives up what is shared leaves it to the other.
    let left = applied("me", &shared, json!({"metadata": {"name": "web"}})).unwrap();
    assert_eq!(left["spec"]["replicas"], 2);
    let error = applied("third", &shared, config(9, "a")).unwrap_err();
    assert!(
        error.to_string().contains("conflict with \"me\": .spec.replicas") || error.to_string().contains("2 conflicts"),
        "{error}"
    );
}

#[test]
fn items_are_merged_by_their_keys_in_the_order_of_the_configuration() {
    let containers = |names: &[&str]| -> Value { names.iter().map(|name| json!({"name": name})).collect() };
    let of = |list: Value| json!({"metadata": {"name": "web"}, "spec": {"template": {"spec": {"containers": list}}}});
    let typed = Typed::new(builtin(), deployments());
    for (live, config, merged) in [
        (&["a", "b"][..], &["b", "a"][..], &["b", "a"][..]),
        (&["a", "x", "b"], &["a", "b"], &["a", "x", "b"]),
        (&["x", "a", "b", "y"], &["b", "n", "a"], &["x", "b", "y", "n", "a"]),
        (&[], &["a"], &["a"]),
        (&["a"], &[], &["a"]),
        (&["a", "b", "c", "d"], &["b", "c"], &["a", "b", "c", "d"]),
    ] {
        let result = typed.merge(&of(containers(live)), &of(containers(config)));
        assert_eq!(result["spec"]["template"]["spec"]["containers"], containers(merged), "{live:?} + {config:?}");
    }
}

#[test]
fn an_item_that_is_no_longer_applied_goes_with_its_defaults() {
    let with = |list: Value| json!({"metadata": {"name": "web"}, "spec": {"template": {"spec": {"containers": list}}}});
    let mut live =
        applied("me", &json!({}), with(json!([{"name": "a", "image": "1"}, {"name": "b", "image": "2"}]))).unwrap();
    live["spec"]["template"]["spec"]["containers"][1]["terminationMessagePath"] = "/dev/log".into();
    let live = applied("me", &live, with(json!([{"name": "a", "image": "1"}]))).unwrap();
    assert_eq!(live["spec"]["template"]["spec"]["containers"], json!([{"name": "a", "image": "1"}]));
}

#[test]
fn items_without_keys_and_twins_are_refused() {
    let with = |list: Value| json!({"spec": {"template": {"spec": {"containers": list}}}});
    let error = applied("me", &json!({}), with(json!([{"image": "a"}]))).unwrap_err().to_string();
    assert!(error.contains(".spec.template.spec.containers: ") && error.contains("omits all key fields"), "{error}");
    let error = applied("me", &json!({}), with(json!([{"name": "a"}, {"name": "a"}]))).unwrap_err().to_string();
    assert!(error.ends_with("duplicate entries for key [name=\"a\"]"), "{error}");
}

#[test]
fn what_was_never_tracked_was_somebodys_before_the_first_apply() {
    let mut live = web("a");
    live["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z".into();
    assert_eq!(
        changed("b", &live, |object| object["spec"]["replicas"] = 3.into())["metadata"].get("managedFields"),
        None
    );
    let error = applied("me", &live, json!({"spec": {"replicas": 5}})).unwrap_err().to_string();
    assert!(error.contains("conflict with \"before-first-apply\" using apps/v1: .spec.replicas"), "{error}");
    let now = applied("me", &live, json!({"spec": {"paused": true}})).unwrap();
    assert_eq!(fields(&now, "before-first-apply")["f:spec"]["f:replicas"], json!({}));
}

#[test]
fn kubectl_takes_over_what_it_applied_as_a_client() {
    let mut live = web("a");
    let last = json!({"metadata": {"name": "web"}, "spec": {"replicas": 2}}).to_string();
    live["metadata"]["annotations"] = json!({"kubectl.kubernetes.io/last-applied-configuration": last});
    let live = made("kubectl-client-side-apply", live);
    let config = json!({"metadata": {"name": "web"}, "spec": {"replicas": 6}});
    assert!(applied("me", &live, config.clone()).is_err());
    let now = applied("kubectl", &live, config.clone()).unwrap();
    assert_eq!(now["spec"]["replicas"], 6);
    let annotation =
        now["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(annotation).unwrap(), config);
    let other = json!({"spec": {"strategy": {"rollingUpdate": {"maxSurge": 4}}}});
    assert!(applied("kubectl", &live, other).is_err());
}

#[test]
fn a_client_can_have_all_forgotten_and_can_write_what_it_knows() {
    let live = made("a", web("x"));
    let forgotten = changed("b", &live, |object| object["metadata"]["managedFields"] = json!([{}]));
    assert_eq!(forgotten["metadata"].get("managedFields"), None);
    let garbage = changed("b", &live, |object| object["metadata"]["managedFields"] = json!([{"operation": "Eat"}]));
    assert_eq!(garbage, live);
    let mut entries = live["metadata"]["managedFields"].clone();
    entries[0]["manager"] = "renamed".into();
    let renamed = changed("b", &live, |object| object["metadata"]["managedFields"] = entries.clone());
    assert!(fields(&renamed, "renamed").is_object() && fields(&renamed, "a").is_null());
}

#[test]
fn applying_the_same_again_changes_nothing() {
    let config = json!({"metadata": {"name": "web", "labels": {"a": "1"}}, "spec": {"replicas": 1}});
    let live = applied("me", &json!({}), config.clone()).unwrap();
    let later = Writer { time: "2026-02-02T00:00:00Z", ..writer("me") };
    assert_eq!(apply(deployments(), &live, &config, later, false, &FieldSet::default()).unwrap(), live);
}
