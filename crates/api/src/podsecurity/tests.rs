use serde::Deserialize;
use serde_json::json;

use super::*;

fn told(level: &str, version: &str, annotations: Value, spec: &Value) -> String {
    let mut whole = json!({"containers": [{"name": "a"}]});
    whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    let spec = PodSpec::deserialize(whole).unwrap();
    let wanted = LevelVersion { level: level.parse().unwrap(), version: version.parse().unwrap() };
    details(&evaluate(&wanted, annotations.as_object(), &spec))
}

fn secure(security: Value) -> Value {
    json!({"containers": [{"name": "a", "securityContext": security}]})
}

#[test]
fn table_of_baseline() {
    for (version, spec, expected) in [
        ("latest", json!({}), ""),
        ("latest", json!({"hostNetwork": true, "hostPID": true}), "host namespaces (hostNetwork=true, hostPID=true)"),
        ("latest", json!({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}), "hostPath volumes (volume \"v\")"),
        (
            "latest",
            json!({"containers": [{"name": "a", "ports": [{"containerPort": 1, "hostPort": 80}]},
                {"name": "b", "ports": [{"containerPort": 1, "hostPort": 8080}]}]}),
            "hostPort (containers \"a\", \"b\" use hostPorts 80, 8080)",
        ),
        (
            "latest",
            json!({"containers": [{"name": "a", "livenessProbe": {"httpGet": {"host": "h", "port": 1}}}]}),
            "probe or lifecycle host (container \"a\" uses probe or lifecycle host \"h\")",
        ),
        ("v1.33", json!({"containers": [{"name": "a", "livenessProbe": {"httpGet": {"host": "h", "port": 1}}}]}), ""),
        (
            "latest",
            secure(json!({"privileged": true})),
            "privileged (container \"a\" must not set securityContext.privileged=true)",
        ),
        (
            "latest",
            secure(json!({"capabilities": {"add": ["NET_RAW", "KILL"]}})),
            "non-default capabilities (container \"a\" must not include \"NET_RAW\" in securityContext.capabilities.add)",
        ),
        (
            "latest",
            secure(json!({"procMount": "Unmasked"})),
            "procMount (container \"a\" must not set securityContext.procMount to \"Unmasked\")",
        ),
        (
            "latest",
            json!({"hostUsers": false, "containers": [{"name": "a", "securityContext": {"procMount": "Unmasked"}}]}),
            "",
        ),
        (
            "latest",
            json!({"securityContext": {"seLinuxOptions": {"type": "x", "user": "u"}}}),
            "seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type \"x\"; user may not be set)",
        ),
        ("v1.31", secure(json!({"seLinuxOptions": {"type": "container_engine_t"}})), ""),
        (
            "v1.30",
            secure(json!({"seLinuxOptions": {"type": "container_engine_t"}})),
            "seLinuxOptions (container \"a\" set forbidden securityContext.seLinuxOptions: type \"container_engine_t\")",
        ),
        (
            "latest",
            json!({"securityContext": {"seccompProfile": {"type": "Unconfined"}}}),
            "seccompProfile (pod must not set securityContext.seccompProfile.type to \"Unconfined\")",
        ),
        (
            "v1.26",
            json!({"securityContext": {"sysctls": [{"name": "net.ipv4.ip_local_reserved_ports", "value": "1"}]}}),
            "forbidden sysctls (net.ipv4.ip_local_reserved_ports)",
        ),
        (
            "v1.27",
            json!({"securityContext": {"sysctls": [{"name": "net.ipv4.ip_local_reserved_ports", "value": "1"}]}}),
            "",
        ),
        ("v1.99", json!({"securityContext": {"sysctls": [{"name": "net.ipv4.tcp_notsent_lowat", "value": "1"}]}}), ""),
        (
            "latest",
            json!({"securityContext": {"windowsOptions": {"hostProcess": true}}}),
            "hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)",
        ),
        (
            "latest",
            json!({"securityContext": {"appArmorProfile": {"type": "Unconfined"}}}),
            "forbidden AppArmor profile (pod must not set AppArmor profile type to \"Unconfined\")",
        ),
    ] {
        assert_eq!(told("baseline", version, json!({}), &spec), expected, "{version} {spec}");
        assert_eq!(told("privileged", version, json!({}), &spec), "");
    }
}

#[test]
fn annotations_count_as_fields_do() {
    let unconfined = json!({"container.apparmor.security.beta.kubernetes.io/a": "unconfined",
        "seccomp.security.alpha.kubernetes.io/pod": "unconfined"});
    let armor = "forbidden AppArmor profile (annotation must not set AppArmor profile type to \"container.apparmor.security.beta.kubernetes.io/a=\"unconfined\"\")";
    assert_eq!(told("baseline", "latest", unconfined.clone(), &json!({})), armor);
    let seccomp = "seccompProfile (forbidden annotation seccomp.security.alpha.kubernetes.io/pod=\"unconfined\")";
    assert_eq!(told("baseline", "v1.18", unconfined, &json!({})), format!("{armor}, {seccomp}"));
}

#[test]
fn table_of_restricted() {
    let good = json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": true,
        "seccompProfile": {"type": "RuntimeDefault"}});
    let with = |extra: Value| {
        let mut security = good.clone();
        security.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        secure(security)
    };
    for (version, spec, expected) in [
        ("latest", with(json!({})), ""),
        (
            "latest",
            json!({}),
            "allowPrivilegeEscalation != false (container \"a\" must set securityContext.allowPrivilegeEscalation=false), \
             unrestricted capabilities (container \"a\" must set securityContext.capabilities.drop=[\"ALL\"]), \
             runAsNonRoot != true (pod or container \"a\" must set securityContext.runAsNonRoot=true), \
             seccompProfile (pod or container \"a\" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")",
        ),
        ("v1.7", json!({}), "runAsNonRoot != true (pod or container \"a\" must set securityContext.runAsNonRoot=true)"),
        ("latest", with(json!({"runAsUser": 0})), "runAsUser=0 (container \"a\" must not set runAsUser=0)"),
        ("v1.22", with(json!({"runAsUser": 0})), ""),
        (
            "latest",
            with(json!({"runAsNonRoot": false})),
            "runAsNonRoot != true (container \"a\" must not set securityContext.runAsNonRoot=false)",
        ),
        (
            "latest",
            with(json!({"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE", "CHOWN"]}})),
            "unrestricted capabilities (container \"a\" must not include \"CHOWN\" in securityContext.capabilities.add)",
        ),
        (
            "latest",
            {
                let mut spec = with(json!({}));
                spec["volumes"] = json!([{"name": "v", "hostPath": {"path": "/"}}, {"name": "w", "nfs": {"server": "s", "path": "/"}}, {"name": "x", "emptyDir": {}}]);
                spec
            },
            "restricted volume types (volumes \"v\", \"w\" use restricted volume types \"hostPath\", \"nfs\")",
        ),
        ("latest", json!({"os": {"name": "windows"}, "securityContext": {"runAsNonRoot": true}}), ""),
        (
            "latest",
            {
                let mut spec = with(json!({"procMount": "Unmasked", "runAsUser": 0}));
                spec["hostUsers"] = false.into();
                spec
            },
            "procMount (container \"a\" must not set securityContext.procMount to \"Unmasked\")",
        ),
    ] {
        assert_eq!(told("restricted", version, json!({}), &spec), expected, "{version} {spec}");
    }
}
