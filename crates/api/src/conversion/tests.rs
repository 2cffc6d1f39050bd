//! Each version of each kind: there and back, and what upstream's versions make of one another.

use serde_json::{Value, json};

use crate::catalog::{Catalog, Served};
use crate::schema::builtin;

fn form(group: &str, version: &str, plural: &str) -> std::sync::Arc<Served> {
    Catalog::builtin().find(group, version, plural).unwrap_or_else(|| panic!("{group}/{version} {plural}")).clone()
}

/// As a body in this version is stored.
fn stored(form: &Served, mut body: Value) -> Value {
    let findings = builtin().fit(form.schema, &mut body);
    assert_eq!((&findings.unknown[..], &findings.wrong[..]), (&[][..], &[][..]), "{body}");
    form.to_stored(&mut body).unwrap();
    body
}

fn shown(form: &Served, stored: &Value) -> Value {
    let mut document = stored.clone();
    form.from_stored(&mut document);
    document
}

/// Documents of the stored version with much in them.
const RICH: &str = include_str!("samples.yaml");

fn documents() -> Vec<Value> {
    let samples = include_bytes!("../../schema/samples.yaml");
    let all = crate::yaml::read_documents(samples).unwrap().into_iter();
    all.chain(crate::yaml::read_documents(RICH.as_bytes()).unwrap()).map(|document| document.value).collect()
}

#[test]
fn every_version_shows_what_is_stored_and_gives_it_back() {
    let catalog = Catalog::builtin();
    let mut seen = std::collections::BTreeSet::new();
    for document in documents() {
        let is = |one: &&std::sync::Arc<Served>| {
            one.is_stored() && document["apiVersion"] == one.api_version() && document["kind"] == one.kind
        };
        let Some(home) = catalog.served().iter().find(is) else { panic!("{document}") };
        let mut document = document.clone();
        document["metadata"]["name"] = "x".into();
        document["metadata"]["resourceVersion"] = "7".into();
        document["metadata"]["labels"] = json!({"a": "b"});
        let findings = builtin().fit(home.schema, &mut document);
        assert_eq!((&findings.unknown[..], &findings.wrong[..]), (&[][..], &[][..]), "{document}");
        home.strategy.default(&mut document);
        for other in catalog.served().iter().filter(|one| one.at == home.at && !one.is_stored()) {
            let shown = shown(other, &document);
            assert_eq!(shown["apiVersion"], other.api_version());
            // Old fields that say the same again were never written: what is asked is that the document is what it was.
            let mut back = stored(other, shown.clone());
            home.strategy.default(&mut back);
            assert_eq!(back, document, "{} by way of {shown:#}", other.api_version());
            seen.insert((other.group, other.version, other.path_name()));
        }
    }
    let all =
        catalog.served().iter().filter(|one| !one.is_stored()).map(|one| (one.group, one.version, one.path_name()));
    assert_eq!(seen, all.collect(), "each version has a sample");
}

fn template() -> Value {
    json!({"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
}

#[test]
fn old_workloads_have_the_defaults_of_their_version() {
    let rolling =
        |step: Value| json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": step, "maxUnavailable": step}});
    for (group, version, history, deadline, strategy) in [
        ("extensions", "v1beta1", i64::from(i32::MAX), i64::from(i32::MAX), rolling(1.into())),
        ("apps", "v1beta1", 2, 600, rolling("25%".into())),
    ] {
        let deployment = stored(
            &form(group, version, "deployments"),
            json!({"metadata": {"name": "x"}, "spec": {"template": template()}}),
        );
        assert_eq!(deployment["apiVersion"], "apps/v1");
        assert_eq!(deployment["metadata"]["labels"], json!({"app": "x"}));
        let spec = &deployment["spec"];
        assert_eq!(spec["selector"], json!({"matchLabels": {"app": "x"}}));
        assert_eq!((&spec["replicas"], &spec["revisionHistoryLimit"]), (&json!(1), &json!(history)));
        assert_eq!((&spec["progressDeadlineSeconds"], &spec["strategy"]), (&json!(deadline), &strategy));
    }
    for (group, version, plural) in [("extensions", "v1beta1", "daemonsets"), ("apps", "v1beta1", "statefulsets")] {
        let set = stored(&form(group, version, plural), json!({"spec": {"template": template()}}));
        assert_eq!(set["spec"]["updateStrategy"], json!({"type": "OnDelete"}), "{plural}");
        assert_eq!(set["spec"]["selector"], json!({"matchLabels": {"app": "x"}}), "{plural}");
    }
    let set = stored(
        &form("extensions", "v1beta1", "replicasets"),
        json!({"metadata": {"labels": {"own": "label"}}, "spec": {"template": template()}}),
    );
    assert_eq!((&set["spec"]["replicas"], &set["metadata"]["labels"]), (&json!(1), &json!({"own": "label"})));
    // From here on clients had to say what they want.
    let later = stored(&form("apps", "v1beta2", "deployments"), json!({"spec": {"template": template()}}));
    assert_eq!((later["spec"].get("selector"), &later["spec"]["revisionHistoryLimit"]), (None, &json!(10)));
}

#[test]
fn a_rollback_is_a_field_here_and_an_annotation_there() {
    let old = form("extensions", "v1beta1", "deployments");
    for (revision, text) in [(json!({"revision": 3}), "3"), (json!({}), "0")] {
        let body = json!({"spec": {"rollbackTo": revision, "template": template()}});
        let deployment = stored(&old, body);
        assert_eq!(deployment["metadata"]["annotations"], json!({"deprecated.deployment.rollback.to": text}));
        let back = shown(&old, &deployment);
        assert_eq!((&back["spec"]["rollbackTo"], back["metadata"].get("annotations")), (&revision, None));
    }
    // What is no number stays what it is.
    let odd = json!({"metadata": {"annotations": {"deprecated.deployment.rollback.to": "03"}}, "spec": {}});
    assert_eq!(shown(&old, &odd)["metadata"], odd["metadata"]);
}

#[test]
fn an_empty_selector_of_an_old_budget_selects_nothing() {
    let old = form("policy", "v1beta1", "poddisruptionbudgets");
    let key = "pdb.kubernetes.io/deprecated-v1beta1-empty-selector-match";
    let only = |operator: &str| json!({"matchExpressions": [{"key": key, "operator": operator}]});
    let through = |selector: Value| stored(&old, json!({"spec": {"selector": selector}}))["spec"]["selector"].clone();
    let back = |selector: Value| shown(&old, &json!({"spec": {"selector": selector}}))["spec"]["selector"].clone();
    assert_eq!((through(json!({})), back(only("Exists"))), (only("Exists"), json!({})));
    assert_eq!((through(only("DoesNotExist")), back(json!({}))), (json!({}), only("DoesNotExist")));
    let beside = json!({"matchLabels": {"a": "b"}, "matchExpressions": [{"key": key, "operator": "Exists"}]});
    assert_eq!(through(beside), json!({"matchLabels": {"a": "b"}}));
    assert_eq!(through(Value::Null), Value::Null);
}

#[test]
fn backends_of_old_ingresses() {
    for group in ["extensions", "networking.k8s.io"] {
        let old = form(group, "v1beta1", "ingresses");
        for (backend, service) in [
            (json!({"serviceName": "s", "servicePort": 80}), json!({"service": {"name": "s", "port": {"number": 80}}})),
            (
                json!({"serviceName": "s", "servicePort": "http"}),
                json!({"service": {"name": "s", "port": {"name": "http"}}}),
            ),
            (
                json!({"resource": {"kind": "K", "name": "r"}, "servicePort": 0}),
                json!({"resource": {"kind": "K", "name": "r"}}),
            ),
        ] {
            let body = json!({"spec": {"backend": backend, "rules": [{"http": {"paths": [{"path": "/", "backend": backend}]}}]}});
            let ingress = stored(&old, body);
            let path = json!({"path": "/", "pathType": "ImplementationSpecific", "backend": service});
            assert_eq!(ingress["spec"], json!({"defaultBackend": service, "rules": [{"http": {"paths": [path]}}]}));
            if backend.get("serviceName").is_some() {
                assert_eq!(shown(&old, &ingress)["spec"]["backend"], backend);
            }
        }
    }
}

#[test]
fn topology_becomes_fields_and_what_is_no_field_stays() {
    let old = form("discovery.k8s.io", "v1beta1", "endpointslices");
    let zone = "topology.kubernetes.io/zone";
    for (endpoint, new) in [
        (
            json!({"nodeName": "n", "topology": {zone: "z", "kubernetes.io/hostname": "n", "other": "o"}}),
            json!({"nodeName": "n", "zone": "z", "deprecatedTopology": {"other": "o"}}),
        ),
        (
            json!({"nodeName": "n", "topology": {"kubernetes.io/hostname": "m"}}),
            json!({"nodeName": "n", "deprecatedTopology": {"kubernetes.io/hostname": "m"}}),
        ),
        (
            json!({"topology": {"kubernetes.io/hostname": "m"}}),
            json!({"deprecatedTopology": {"kubernetes.io/hostname": "m"}}),
        ),
    ] {
        let with = |mut endpoint: Value| {
            endpoint["addresses"] = json!(["10.0.0.1"]);
            endpoint["conditions"] = json!({});
            json!({"addressType": "IPv4", "endpoints": [endpoint]})
        };
        let slice = stored(&old, with(endpoint.clone()));
        assert_eq!(slice["endpoints"], with(new)["endpoints"]);
        assert_eq!(shown(&old, &slice)["endpoints"], with(endpoint)["endpoints"]);
    }
}

#[test]
fn version_one_autoscalers_carry_the_rest_in_annotations() {
    let old = form("autoscaling", "v1", "horizontalpodautoscalers");
    let spec = json!({"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "x"}, "targetCPUUtilizationPercentage": 50});
    let scaler = stored(&old, json!({"spec": spec}));
    let cpu = json!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}});
    assert_eq!(scaler["spec"]["metrics"], json!([cpu]));
    let metrics = r#"[{"type":"Pods","pods":{"metricName":"requests","targetAverageValue":"1k"}}]"#;
    let behavior = r#"{"ScaleUp":null,"ScaleDown":{"StabilizationWindowSeconds":60,"SelectPolicy":"Max","Policies":[{"Type":"Pods","Value":1,"PeriodSeconds":15}]}}"#;
    let annotations = json!({"autoscaling.alpha.kubernetes.io/metrics": metrics, "autoscaling.alpha.kubernetes.io/behavior": behavior, "mine": "m"});
    let scaler = stored(&old, json!({"metadata": {"annotations": annotations}, "spec": spec}));
    let pods = json!({"type": "Pods", "pods": {"metric": {"name": "requests"}, "target": {"type": "AverageValue", "averageValue": "1k"}}});
    assert_eq!(scaler["spec"]["metrics"], json!([pods, cpu]));
    let down = json!({"stabilizationWindowSeconds": 60, "selectPolicy": "Max", "policies": [{"type": "Pods", "value": 1, "periodSeconds": 15}]});
    assert_eq!(scaler["spec"]["behavior"], json!({"scaleDown": down}));
    assert_eq!(scaler["metadata"]["annotations"], json!({"mine": "m"}));
    let back = shown(&old, &scaler);
    assert_eq!(back["spec"]["targetCPUUtilizationPercentage"], 50);
    let told = back["metadata"]["annotations"]["autoscaling.alpha.kubernetes.io/metrics"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(told).unwrap(), serde_json::from_str::<Value>(metrics).unwrap());
}

#[test]
fn new_events_of_version_one_are_whole() {
    let mut errors = crate::field::Errors::default();
    super::events::validate_create(&json!({"count": 1, "source": {"host": "h"}, "series": {"count": 1}}), &mut errors);
    let told: Vec<String> = errors.0.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 10, "{told:#?}");
    let mut errors = crate::field::Errors::default();
    let whole = json!({"eventTime": "2026-11-26T00:00:00.000000Z", "reportingComponent": "c", "reportingInstance": "i", "action": "a",
        "reason": "r", "type": "Normal"});
    super::events::validate_create(&whole, &mut errors);
    assert!(errors.is_empty());
}
