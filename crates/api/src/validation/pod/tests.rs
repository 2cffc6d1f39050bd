//! One row for each rule: a change of a good pod, and what is said of it.

use serde_json::{Value, json};

use super::*;

fn good() -> Value {
    json!({
        "restartPolicy": "Always", "dnsPolicy": "ClusterFirst",
        "containers": [{"name": "c", "image": "i", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
        "initContainers": [{"name": "i", "image": "i"}],
        "volumes": [{"name": "v", "emptyDir": {}}]
    })
}

fn told(spec: Value, owner: Owner) -> Vec<String> {
    let spec: PodSpec = serde_json::from_value(spec).unwrap();
    let mut errors = Errors::default();
    validate(&spec, &Path::new("spec"), owner, &mut errors);
    errors.0.iter().map(ToString::to_string).collect()
}

/// Sets what stands at a pointer, making what is missing on the way.
fn with(pointer: &str, value: Value) -> Value {
    let mut spec = good();
    let mut place = &mut spec;
    for step in pointer.split('/') {
        if let Ok(at) = step.parse::<usize>() {
            if !place.is_array() {
                *place = json!([]);
            }
            let items = place.as_array_mut().unwrap();
            while items.len() <= at {
                items.push(json!({}));
            }
            place = &mut items[at];
        } else {
            if !place.is_object() {
                *place = json!({});
            }
            place = place.as_object_mut().unwrap().entry(step).or_insert(Value::Null);
        }
    }
    *place = value;
    spec
}

#[test]
fn a_good_pod_is_good() {
    assert_eq!(told(good(), Owner::None), Vec::<String>::new());
    assert_eq!(told(good(), Owner::ReplicationController), Vec::<String>::new());
}

#[test]
fn refused() {
    let volume = |source: Value| {
        let mut volume = json!({"name": "v"});
        volume.as_object_mut().unwrap().extend(source.as_object().unwrap().clone());
        volume
    };
    let env = |from: Value| json!({"name": "E", "valueFrom": from});
    let mut missed = Vec::new();
    let items = |path: &str| json!([{"key": "k", "path": path}]);
    for (pointer, value, expected) in [
        (
            "volumes/0",
            volume(json!({"configMap": {"name": "m", "items": items("../../x")}})),
            "spec.volumes[0].configMap.items[0].path: Invalid value: \"../../x\": must not contain '..'",
        ),
        (
            "volumes/0",
            volume(json!({"secret": {"secretName": "m", "items": items("/x")}})),
            "spec.volumes[0].secret.items[0].path: Invalid value: \"/x\": must be a relative path",
        ),
        (
            "volumes/0",
            volume(json!({"secret": {"secretName": "m", "items": items("..x")}})),
            "spec.volumes[0].secret.items[0].path: Invalid value: \"..x\": must not start with '..'",
        ),
        (
            "volumes/0",
            volume(json!({"projected": {"sources": [{"configMap": {"name": "m", "items": items("../x")}}]}})),
            "spec.volumes[0].projected.sources[0].configMap.items[0].path: Invalid value: \"../x\": must not contain '..'",
        ),
        (
            "volumes/0",
            volume(json!({"projected": {"sources": [{"configMap": {"name": "m"}, "secret": {"name": "s"}}]}})),
            "spec.volumes[0].projected.sources[0].configMap: Forbidden: may not specify more than 1 volume type per source",
        ),
        (
            "volumes/0",
            volume(json!({"projected": {"sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 5}}]}})),
            "spec.volumes[0].projected.sources[0].serviceAccountToken.expirationSeconds: Invalid value: 5: may not specify a duration less than 10 minutes",
        ),
        (
            "volumes/0",
            volume(json!({"downwardAPI": {"items": [{"path": "../a", "fieldRef": {"fieldPath": "metadata.name"}}]}})),
            "spec.volumes[0].downwardAPI.items[0].path: Invalid value: \"../a\": must not contain '..'",
        ),
        (
            "volumes/0",
            volume(json!({"downwardAPI": {"items": [{"path": "a", "fieldRef": {"fieldPath": "metadata.foo"}}]}})),
            "spec.volumes[0].downwardAPI.items[0].fieldRef.fieldPath: Invalid value: \"metadata.foo\": error converting fieldPath: field label not supported: metadata.foo",
        ),
        (
            "volumes/0",
            volume(json!({"downwardAPI": {"items": [{"path": "a", "fieldRef": {"fieldPath": "status.podIP"}}]}})),
            "spec.volumes[0].downwardAPI.items[0].fieldRef.fieldPath: Unsupported value: \"status.podIP\": supported values: \"metadata.annotations\", \"metadata.labels\", \"metadata.name\", \"metadata.namespace\", \"metadata.uid\"",
        ),
        (
            "volumes/0",
            volume(json!({"downwardAPI": {"items": [{"path": "a"}]}})),
            "spec.volumes[0].downwardAPI.items[0]: Required value: one of fieldRef and resourceFieldRef is required",
        ),
        (
            "volumes/0",
            volume(json!({"configMap": {"name": "m", "defaultMode": 800}})),
            "spec.volumes[0].configMap.defaultMode: Invalid value: 800: must be a number between 0 and 0777 (octal), both inclusive",
        ),
        (
            "volumes/0",
            volume(json!({"secret": {"secretName": "m", "defaultMode": -1}})),
            "spec.volumes[0].secret.defaultMode: Invalid value: -1: must be a number between 0 and 0777 (octal), both inclusive",
        ),
        (
            "volumes/0",
            volume(json!({"hostPath": {"path": "/x", "type": "Foo"}})),
            "spec.volumes[0].hostPath.type: Unsupported value: \"Foo\": supported values: \"\", \"BlockDevice\", \"CharDevice\", \"Directory\", \"DirectoryOrCreate\", \"File\", \"FileOrCreate\", \"Socket\"",
        ),
        ("volumes/0", volume(json!({"hostPath": {"path": ""}})), "spec.volumes[0].hostPath.path: Required value"),
        (
            "volumes/0",
            volume(json!({"hostPath": {"path": "/a"}, "emptyDir": {}})),
            "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type",
        ),
        ("volumes/0", volume(json!({})), "spec.volumes[0]: Required value: must specify a volume type"),
        (
            "volumes/0",
            volume(json!({"nfs": {"server": "", "path": "/x"}})),
            "spec.volumes[0].nfs.server: Required value",
        ),
        ("volumes/1", volume(json!({"emptyDir": {}})), "spec.volumes[1].name: Duplicate value: \"v\""),
        (
            "dnsPolicy",
            json!("None"),
            "spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None",
        ),
        (
            "dnsConfig/nameservers",
            json!(["1.2.3"]),
            "spec.dnsConfig.nameservers[0]: Invalid value: \"1.2.3\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
        ),
        (
            "initContainers/0/lifecycle",
            json!({"preStop": {"exec": {"command": ["x"]}}}),
            "spec.initContainers[0].lifecycle: Forbidden: may not be set for init containers without restartPolicy=Always",
        ),
        (
            "initContainers/0/readinessProbe",
            json!({"exec": {"command": ["x"]}}),
            "spec.initContainers[0].readinessProbe: Forbidden: may not be set for init containers without restartPolicy=Always",
        ),
        ("initContainers/0/name", json!("c"), "spec.initContainers[0].name: Duplicate value: \"c\""),
        (
            "containers/0/env/0",
            env(json!({"fieldRef": {"fieldPath": "status.phase"}})),
            "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Unsupported value: \"status.phase\": supported values: \"metadata.name\", \"metadata.namespace\", \"metadata.uid\", \"spec.nodeName\", \"spec.serviceAccountName\", \"status.hostIP\", \"status.hostIPs\", \"status.podIP\", \"status.podIPs\"",
        ),
        (
            "containers/0/env/0",
            env(json!({"fieldRef": {"fieldPath": "metadata.foo"}})),
            "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: \"metadata.foo\": error converting fieldPath: field label not supported: metadata.foo",
        ),
        (
            "containers/0/env/0",
            env(json!({"resourceFieldRef": {"resource": "limits.gpu"}})),
            "spec.containers[0].env[0].valueFrom.resourceFieldRef.resource: Unsupported value: \"limits.gpu\": supported values: \"limits.cpu\", \"limits.ephemeral-storage\", \"limits.memory\", \"requests.cpu\", \"requests.ephemeral-storage\", \"requests.memory\"",
        ),
        (
            "containers/0/env/0",
            env(json!({"resourceFieldRef": {"resource": "limits.cpu", "divisor": "2"}})),
            "spec.containers[0].env[0].valueFrom.resourceFieldRef.divisor: Invalid value: \"limits.cpu\": only divisor's values 1m and 1 are supported with the cpu resource",
        ),
        (
            "containers/0/env/0",
            env(json!({"secretKeyRef": {"name": "s", "key": ""}})),
            "spec.containers[0].env[0].valueFrom.secretKeyRef.key: Required value",
        ),
        (
            "containers/0/envFrom/0",
            json!({}),
            "spec.containers[0].envFrom[0]: Invalid value: \"\": must specify one of: `configMapRef` or `secretRef`",
        ),
        (
            "tolerations/0",
            json!({"key": "k", "operator": "Exists", "effect": "NoSchedule", "tolerationSeconds": 5}),
            "spec.tolerations[0].effect: Invalid value: \"NoSchedule\": effect must be 'NoExecute' when `tolerationSeconds` is set",
        ),
        (
            "activeDeadlineSeconds",
            json!(2147483648u32),
            "spec.activeDeadlineSeconds: Invalid value: 2147483648: must be between 1 and 2147483647, inclusive",
        ),
        (
            "terminationGracePeriodSeconds",
            json!(-1),
            "spec.terminationGracePeriodSeconds: Invalid value: -1: must be greater than or equal to 0",
        ),
        (
            "terminationGracePeriodSeconds",
            json!(i64::MAX),
            "spec.terminationGracePeriodSeconds: Invalid value: 9223372036854775807: must be between 0 and 2147483647, inclusive",
        ),
        (
            "containers/0/volumeMounts/1",
            json!({"name": "v", "mountPath": "/v"}),
            "spec.containers[0].volumeMounts[1].mountPath: Invalid value: \"/v\": must be unique",
        ),
        ("containers/0/volumeMounts/0/name", json!("w"), "spec.containers[0].volumeMounts[0].name: Not found: \"w\""),
        (
            "containers/0/volumeMounts/0/subPath",
            json!("a/../../b"),
            "spec.containers[0].volumeMounts[0].subPath: Invalid value: \"a/../../b\": must not contain '..'",
        ),
        (
            "containers/0/volumeMounts/0/mountPropagation",
            json!("Bidirectional"),
            "spec.containers[0].volumeMounts[0].mountPropagation: Forbidden: Bidirectional mount propagation is available only to privileged containers",
        ),
        (
            "containers/0/livenessProbe",
            json!({"exec": {"command": ["x"]}, "tcpSocket": {"port": 1}}),
            "spec.containers[0].livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type",
        ),
        (
            "containers/0/livenessProbe",
            json!({"exec": {"command": ["x"]}, "successThreshold": 2}),
            "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1",
        ),
        (
            "containers/0/readinessProbe",
            json!({"tcpSocket": {"port": 70000}}),
            "spec.containers[0].readinessProbe.tcpSocket.port: Invalid value: 70000: must be between 1 and 65535, inclusive",
        ),
        (
            "containers/0/lifecycle",
            json!({"preStop": {}}),
            "spec.containers[0].lifecycle.preStop: Required value: must specify a handler type",
        ),
        (
            "containers/0/resources",
            json!({"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}),
            "spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1",
        ),
        (
            "containers/0/resources",
            json!({"requests": {"example.com/gpu": "2"}}),
            "spec.containers[0].resources.limits: Required value: Limit must be set for non overcommitable resources",
        ),
        (
            "containers/0/resources",
            json!({"limits": {"gpu": "2"}}),
            "spec.containers[0].resources.limits[gpu]: Invalid value: \"gpu\": must be a standard resource for containers",
        ),
        (
            "containers/0/resources",
            json!({"limits": {"hugepages-2Mi": "2Mi"}}),
            "spec.containers[0].resources: Forbidden: HugePages require cpu or memory",
        ),
        (
            "containers/0/resources",
            json!({"claims": [{"name": "x"}]}),
            "spec.containers[0].resources.claims[0].name: Not found: \"x\"",
        ),
        (
            "containers/0/securityContext",
            json!({"runAsUser": -1}),
            "spec.containers[0].securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive",
        ),
        (
            "containers/0/securityContext",
            json!({"seccompProfile": {"type": "Localhost"}}),
            "spec.containers[0].securityContext.seccompProfile.localhostProfile: Required value: must be set when seccomp type is Localhost ",
        ),
        (
            "containers/0/restartPolicy",
            json!("Always"),
            "spec.containers[0].restartPolicy: Forbidden: may not be set for non-init containers",
        ),
        (
            "containers/0/ports/0",
            json!({"containerPort": 1, "protocol": "TCP", "hostIP": "x"}),
            "spec.containers[0].ports[0].hostIP: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
        ),
        (
            "securityContext",
            json!({"sysctls": [{"name": "A b", "value": ""}]}),
            "spec.securityContext.sysctls[0].name: Invalid value: \"A b\": must have at most 253 characters and match regex ([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?",
        ),
        (
            "hostAliases/0",
            json!({"ip": "1.2", "hostnames": ["a"]}),
            "spec.hostAliases[0].ip: Invalid value: \"1.2\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
        ),
        (
            "affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution",
            json!({"nodeSelectorTerms": []}),
            "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: Required value: must have at least one node selector term",
        ),
        (
            "affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution",
            json!({"nodeSelectorTerms": [{"matchExpressions": [{"key": "k", "operator": "In"}]}]}),
            "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
        ),
        (
            "affinity/podAffinity/requiredDuringSchedulingIgnoredDuringExecution/0",
            json!({"topologyKey": ""}),
            "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: Required value: can not be empty",
        ),
        (
            "topologySpreadConstraints/0",
            json!({"maxSkew": 0, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"}),
            "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero",
        ),
        (
            "readinessGates/0",
            json!({"conditionType": "a b"}),
            "spec.readinessGates[0].conditionType: Invalid value: \"a b\": name part ",
        ),
        ("schedulingGates", json!([{"name": "a"}, {"name": "a"}]), "spec.schedulingGates[1]: Duplicate value: \"a\""),
        (
            "os",
            json!({"name": "beos"}),
            "spec.os.name: Unsupported value: \"beos\": supported values: \"linux\", \"windows\"",
        ),
        (
            "overhead",
            json!({"cpu": "-1"}),
            "spec.overhead[cpu]: Invalid value: \"-1\": must be greater than or equal to 0",
        ),
        (
            "ephemeralContainers/0",
            json!({"name": "c", "image": "i"}),
            "spec.ephemeralContainers[0].name: Duplicate value: \"c\"",
        ),
        (
            "ephemeralContainers/0",
            json!({"name": "e", "image": "i", "ports": [{"containerPort": 1}]}),
            "spec.ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral Container",
        ),
        (
            "ephemeralContainers/0",
            json!({"name": "e", "image": "i", "targetContainerName": "z"}),
            "spec.ephemeralContainers[0].targetContainerName: Not found: \"z\"",
        ),
        (
            "resourceClaims/0",
            json!({"name": "r"}),
            "spec.resourceClaims[0]: Invalid value: {\"name\":\"r\"}: must specify one of: `resourceClaimName`, `resourceClaimTemplateName`",
        ),
        (
            "serviceAccountName",
            json!("A_"),
            "spec.serviceAccountName: Invalid value: \"A_\": a lowercase RFC 1123 subdomain",
        ),
    ] {
        let errors = told(with(pointer, value), Owner::None);
        if errors.len() != 1 || !errors[0].starts_with(expected) {
            missed.push(format!("{pointer}\n{expected}\n{errors:#?}"));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n\n"));
}

#[test]
fn accepted() {
    for (pointer, value) in [
        (
            "volumes/0",
            json!({"name": "v", "configMap": {"name": "m", "defaultMode": 511, "items": [{"key": "k", "path": "a/b..c"}]}}),
        ),
        (
            "initContainers/0",
            json!({"name": "i", "image": "i", "restartPolicy": "Always", "readinessProbe": {"exec": {"command": ["x"]}}}),
        ),
        (
            "containers/0/env/0",
            json!({"name": "E", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.labels['app']"}}}),
        ),
        (
            "containers/0/env/0",
            json!({"name": "E", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}}),
        ),
        ("tolerations/0", json!({"operator": "Exists"})),
        ("containers/0/volumeMounts/1", json!({"name": "v", "mountPath": "/w", "subPath": "a/b"})),
        ("containers/0/resources", json!({"limits": {"example.com/gpu": "2", "memory": "128m"}})),
        ("terminationGracePeriodSeconds", json!(0)),
        ("dnsConfig", json!({"searches": ["a.b", "."], "options": [{"name": "ndots"}]})),
    ] {
        assert_eq!(told(with(pointer, value.clone()), Owner::None), Vec::<String>::new(), "{pointer} {value}");
    }
}

#[test]
fn templates_have_rules_of_their_own() {
    for (pointer, value, expected) in [
        (
            "restartPolicy",
            json!("Never"),
            "spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\"",
        ),
        (
            "activeDeadlineSeconds",
            json!(5),
            "spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in ReplicationController is not Supported",
        ),
    ] {
        assert_eq!(told(with(pointer, value), Owner::ReplicationController), [expected]);
    }
    let ends = "spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\"";
    assert_eq!(told(good(), Owner::Job), [ends]);
    let ephemeral = with("ephemeralContainers/0", json!({"name": "e", "image": "i"}));
    let refused = "spec.ephemeralContainers: Forbidden: ephemeral containers not allowed in pod template";
    assert_eq!(told(ephemeral, Owner::DaemonSet), [refused]);
}
