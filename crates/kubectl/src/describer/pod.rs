//! Pods, and the templates of pods.

use serde_json::Value;

use super::text::{Text, items, or_none, plain, text, title};
use crate::duration::rfc1123;

pub fn describe(out: &mut Text, object: &Value) {
    let (spec, status) = (&object["spec"], &object["status"]);
    out.field("Name", text(object, "/metadata/name"));
    out.field("Namespace", text(object, "/metadata/namespace"));
    if let Some(priority) = spec["priority"].as_i64() {
        out.field("Priority", priority);
    }
    for (name, pointer) in [
        ("Priority Class Name", "/priorityClassName"),
        ("Runtime Class Name", "/runtimeClassName"),
        ("Service Account", "/serviceAccountName"),
    ] {
        if !text(spec, pointer).is_empty() {
            out.field(name, text(spec, pointer));
        }
    }
    match text(spec, "/nodeName") {
        "" => out.field("Node", "<none>"),
        node => out.field("Node", format_args!("{node}/{}", text(status, "/hostIP"))),
    }
    if !text(status, "/startTime").is_empty() {
        out.field("Start Time", rfc1123(text(status, "/startTime")));
    }
    out.labels(object);
    out.annotations(object);
    match text(object, "/metadata/deletionTimestamp") {
        "" => out.field("Status", text(status, "/phase")),
        since => {
            let lasts =
                since.parse::<jiff::Timestamp>().map_or(0, |t| jiff::Timestamp::now().as_second() - t.as_second());
            out.field("Status", format_args!("Terminating (lasts {})", api::columns::duration(lasts.max(0))));
            let grace = &object["metadata"]["deletionGracePeriodSeconds"];
            out.field("Termination Grace Period", format_args!("{}s", plain(grace)));
        }
    }
    for (name, pointer) in [("Reason", "/reason"), ("Message", "/message")] {
        if !text(status, pointer).is_empty() {
            out.field(name, text(status, pointer));
        }
    }
    out.field("IP", text(status, "/podIP"));
    let ips: Vec<&str> = items(&status["podIPs"]).map(|ip| text(ip, "/ip")).collect();
    if ips.is_empty() {
        out.field("IPs", "<none>");
    } else {
        out.line("IPs:");
        out.inside(|out| ips.iter().for_each(|ip| out.field("IP", ip)));
    }
    if let Some(owner) = items(&object["metadata"]["ownerReferences"]).find(|owner| owner["controller"] == true) {
        out.field("Controlled By", format_args!("{}/{}", text(owner, "/kind"), text(owner, "/name")));
    }
    if !text(status, "/nominatedNodeName").is_empty() {
        out.field("NominatedNodeName", text(status, "/nominatedNodeName"));
    }
    for (title, field, statuses) in [
        ("Init Containers", "initContainers", "initContainerStatuses"),
        ("Containers", "containers", "containerStatuses"),
    ] {
        if field == "containers" || items(&spec[field]).next().is_some() {
            containers(out, title, &spec[field], Some(&status[statuses]), object);
        }
    }
    if items(&spec["readinessGates"]).next().is_some() {
        out.raw("Readiness Gates:\n  Type\tStatus");
        for gate in items(&spec["readinessGates"]) {
            let kind = text(gate, "/conditionType");
            let found = items(&status["conditions"]).find(|c| text(c, "/type") == kind);
            out.raw(format_args!("  {kind} \t{} ", found.map_or("<none>", |c| text(c, "/status"))));
        }
    }
    if items(&status["conditions"]).next().is_some() {
        out.raw("Conditions:\n  Type\tStatus");
        for condition in items(&status["conditions"]) {
            out.raw(format_args!("  {} \t{} ", text(condition, "/type"), text(condition, "/status")));
        }
    }
    volumes(out, &spec["volumes"]);
    out.field("QoS Class", text(status, "/qosClass"));
    out.map("Node-Selectors", &spec["nodeSelector"], "=");
    tolerations(out, &spec["tolerations"]);
}

/// What stands below `Pod Template:`.
pub fn template(out: &mut Text, template: &Value) {
    out.line("Pod Template:");
    out.inside(|out| {
        out.labels(template);
        if template["metadata"]["annotations"].is_object() {
            out.annotations(template);
        }
        let spec = &template["spec"];
        if !text(spec, "/serviceAccountName").is_empty() {
            out.field("Service Account", text(spec, "/serviceAccountName"));
        }
        if items(&spec["initContainers"]).next().is_some() {
            containers(out, "Init Containers", &spec["initContainers"], None, template);
        }
        containers(out, "Containers", &spec["containers"], None, template);
        volumes(out, &spec["volumes"]);
        out.map("Node-Selectors", &spec["nodeSelector"], "=");
        tolerations(out, &spec["tolerations"]);
    });
}

fn containers(out: &mut Text, title: &str, containers: &Value, statuses: Option<&Value>, pod: &Value) {
    out.line(format_args!("{title}:"));
    for container in items(containers) {
        let name = text(container, "/name");
        let status = statuses.and_then(|s| items(s).find(|s| text(s, "/name") == name));
        out.entry(name, |out| one(out, container, status, pod));
    }
}

fn one(out: &mut Text, container: &Value, status: Option<&Value>, pod: &Value) {
    if let Some(status) = status {
        out.field("Container ID", text(status, "/containerID"));
    }
    out.field("Image", text(container, "/image"));
    if let Some(status) = status {
        out.field("Image ID", text(status, "/imageID"));
    }
    let ports = |field: &str| {
        let one = |port: &Value| format!("{}/{}", port[field].as_i64().unwrap_or(0), text(port, "/protocol"));
        items(&container["ports"]).map(one).collect::<Vec<_>>()
    };
    let several = items(&container["ports"]).count() > 1;
    for (name, field) in [("Port", "containerPort"), ("Host Port", "hostPort")] {
        let ports = ports(field).join(", ");
        out.field(&format!("{name}{}", if several { "s" } else { "" }), or_none(&ports));
    }
    if let Some(seccomp) = container.pointer("/securityContext/seccompProfile/type") {
        out.field("SeccompProfile", plain(seccomp));
    }
    for (name, field) in [("Command", "command"), ("Args", "args")] {
        if items(&container[field]).next().is_some() {
            out.line(format_args!("{name}:"));
            out.inside(|out| {
                for argument in items(&container[field]) {
                    plain(argument).lines().for_each(|line| out.line(line));
                }
            });
        }
    }
    if let Some(status) = status {
        state(out, "State", &status["state"]);
        if status["lastState"].as_object().is_some_and(|state| !state.is_empty()) {
            state(out, "Last State", &status["lastState"]);
        }
        out.field("Ready", title(&plain(&status["ready"])));
        out.field("Restart Count", status["restartCount"].as_i64().unwrap_or(0));
    }
    for (name, field) in [("Limits", "limits"), ("Requests", "requests")] {
        let amounts = &container["resources"][field];
        if amounts.as_object().is_some_and(|amounts| !amounts.is_empty()) {
            out.line(format_args!("{name}:"));
            out.inside(|out| {
                for (resource, amount) in amounts.as_object().into_iter().flatten() {
                    out.field(resource, plain(amount));
                }
            });
        }
    }
    for (name, field) in [("Liveness", "livenessProbe"), ("Readiness", "readinessProbe"), ("Startup", "startupProbe")] {
        if container[field].is_object() {
            out.field(name, probe(&container[field]));
        }
    }
    if items(&container["envFrom"]).next().is_some() {
        out.line("Environment Variables from:");
        out.inside(|out| {
            for from in items(&container["envFrom"]) {
                let (kind, source) = if from["configMapRef"].is_object() {
                    ("ConfigMap", &from["configMapRef"])
                } else {
                    ("Secret", &from["secretRef"])
                };
                let prefix = text(from, "/prefix");
                let prefix = if prefix.is_empty() { String::new() } else { format!(" with prefix '{prefix}'") };
                let optional = source["optional"] == true;
                out.line(format_args!("{}\t{kind}{prefix}\tOptional: {optional}", text(source, "/name")));
            }
        });
    }
    let environment: Vec<&Value> = items(&container["env"]).collect();
    if environment.is_empty() {
        out.field("Environment", "<none>");
    } else {
        out.line("Environment:");
        out.inside(|out| environment.iter().for_each(|variable| env(out, variable, pod)));
    }
    let mut mounts: Vec<&Value> = items(&container["volumeMounts"]).collect();
    mounts.sort_by_key(|mount| text(mount, "/mountPath"));
    if mounts.is_empty() {
        out.field("Mounts", "<none>");
    } else {
        out.line("Mounts:");
        out.inside(|out| {
            for mount in mounts {
                let mode = if mount["readOnly"] == true { "ro" } else { "rw" };
                let path = text(mount, "/subPath");
                let path = if path.is_empty() { String::new() } else { format!(",path={path:?}") };
                out.line(format_args!("{} from {} ({mode}{path})", text(mount, "/mountPath"), text(mount, "/name")));
            }
        });
    }
}

fn env(out: &mut Text, variable: &Value, pod: &Value) {
    let name = text(variable, "/name");
    let from = &variable["valueFrom"];
    let key = |source: &Value, kind: &str| {
        let optional = source["optional"] == true;
        format!(
            "<set to the key '{}' in {kind} '{}'>\tOptional: {optional}",
            text(source, "/key"),
            text(source, "/name")
        )
    };
    if from["fieldRef"].is_object() {
        let (version, path) = (text(from, "/fieldRef/apiVersion"), text(from, "/fieldRef/fieldPath"));
        let pointer = format!("/{}", path.replace('.', "/"));
        let value = pod.pointer(&pointer).map(plain).unwrap_or_default();
        return out.line(format_args!("{name}:\t{value} ({version}:{path})"));
    }
    if from["resourceFieldRef"].is_object() {
        return out.line(format_args!("{name}:\t ({})", text(from, "/resourceFieldRef/resource")));
    }
    if from["secretKeyRef"].is_object() {
        return out.line(format_args!("{name}:\t{}", key(&from["secretKeyRef"], "secret")));
    }
    if from["configMapKeyRef"].is_object() {
        return out.line(format_args!("{name}:\t{}", key(&from["configMapKeyRef"], "config map")));
    }
    for (at, line) in text(variable, "/value").split('\n').enumerate() {
        match at {
            0 => out.line(format_args!("{name}:\t{line}")),
            _ => out.line(format_args!("\t{line}")),
        }
    }
}

fn state(out: &mut Text, title: &str, state: &Value) {
    let some = |out: &mut Text, name: &str, value: &str| {
        if !value.is_empty() {
            out.field(name, value);
        }
    };
    if let Some(running) = state.get("running") {
        out.field(title, "Running");
        out.inside(|out| out.field("Started", rfc1123(text(running, "/startedAt"))));
    } else if let Some(ended) = state.get("terminated") {
        out.field(title, "Terminated");
        out.inside(|out| {
            some(out, "Reason", text(ended, "/reason"));
            some(out, "Message", text(ended, "/message"));
            out.field("Exit Code", ended["exitCode"].as_i64().unwrap_or(0));
            if ended["signal"].as_i64().unwrap_or(0) > 0 {
                out.field("Signal", &ended["signal"]);
            }
            out.field("Started", rfc1123(text(ended, "/startedAt")));
            out.field("Finished", rfc1123(text(ended, "/finishedAt")));
        });
    } else {
        out.field(title, "Waiting");
        out.inside(|out| some(out, "Reason", text(state, "/waiting/reason")));
    }
}

fn probe(probe: &Value) -> String {
    let number = |field: &str| probe[field].as_i64().unwrap_or(0);
    let attributes = format!(
        "delay={}s timeout={}s period={}s #success={} #failure={}",
        number("initialDelaySeconds"),
        number("timeoutSeconds"),
        number("periodSeconds"),
        number("successThreshold"),
        number("failureThreshold")
    );
    let port = |action: &Value| plain(&action["port"]);
    let what = if let Some(http) = probe.get("httpGet") {
        let scheme = text(http, "/scheme").to_lowercase();
        let path = text(http, "/path");
        let slash = if path.starts_with('/') { "" } else { "/" };
        format!("http-get {scheme}://{}:{}{slash}{path}", text(http, "/host"), port(http))
    } else if let Some(tcp) = probe.get("tcpSocket") {
        format!("tcp-socket {}:{}", text(tcp, "/host"), port(tcp))
    } else if let Some(grpc) = probe.get("grpc") {
        format!("grpc <pod>:{} {}", port(grpc), text(grpc, "/service")).trim_end().to_owned()
    } else {
        let command: Vec<String> = items(&probe["exec"]["command"]).map(plain).collect();
        format!("exec [{}]", command.join(" "))
    };
    format!("{what} {attributes}")
}

fn volumes(out: &mut Text, volumes: &Value) {
    if items(volumes).next().is_none() {
        return out.field("Volumes", "<none>");
    }
    out.line("Volumes:");
    for volume in items(volumes) {
        out.entry(text(volume, "/name"), |out| source(out, volume));
    }
}

fn source(out: &mut Text, volume: &Value) {
    let named = volume.as_object().into_iter().flatten().find(|(field, _)| *field != "name");
    let Some((kind, source)) = named else { return out.line("<unknown>") };
    let optional = source["optional"] == true;
    let or = |value: &str, default: &str| if value.is_empty() { default.to_owned() } else { value.to_owned() };
    match kind.as_str() {
        "hostPath" => {
            out.field("Type", "HostPath (bare host directory volume)");
            out.field("Path", text(source, "/path"));
            out.field("HostPathType", text(source, "/type"));
        }
        "emptyDir" => {
            out.field("Type", "EmptyDir (a temporary directory that shares a pod's lifetime)");
            out.field("Medium", text(source, "/medium"));
            out.field("SizeLimit", or(&plain(&source["sizeLimit"]), "<unset>"));
        }
        "configMap" => {
            out.field("Type", "ConfigMap (a volume populated by a ConfigMap)");
            out.field("Name", text(source, "/name"));
            out.field("Optional", optional);
        }
        "secret" => {
            out.field("Type", "Secret (a volume populated by a Secret)");
            out.field("SecretName", text(source, "/secretName"));
            out.field("Optional", optional);
        }
        "downwardAPI" => {
            out.field("Type", "DownwardAPI (a volume populated by information about the pod)");
            out.line("Items:");
            out.inside(|out| {
                for item in items(&source["items"]) {
                    out.line(format_args!("{} -> {}", text(item, "/fieldRef/fieldPath"), text(item, "/path")));
                }
            });
        }
        "persistentVolumeClaim" => {
            out.field("Type", "PersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same namespace)");
            out.field("ClaimName", text(source, "/claimName"));
            out.field("ReadOnly", source["readOnly"] == true);
        }
        other => {
            let mut letters = other.chars();
            let kind: String = letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
            out.field("Type", kind);
            for (name, value) in source.as_object().into_iter().flatten() {
                out.field(name, plain(value));
            }
        }
    }
}

fn tolerations(out: &mut Text, tolerations: &Value) {
    let mut title = "Tolerations:";
    for toleration in items(tolerations) {
        let mut told = text(toleration, "/key").to_owned();
        for (separator, pointer) in [("=", "/value"), (":", "/effect")] {
            let value = text(toleration, pointer);
            if !value.is_empty() {
                told += &format!("{separator}{value}");
            }
        }
        let exists = text(toleration, "/operator") == "Exists" && text(toleration, "/value").is_empty();
        if exists {
            told += if text(toleration, "/key").is_empty() && text(toleration, "/effect").is_empty() {
                "op=Exists"
            } else {
                " op=Exists"
            };
        }
        if let Some(seconds) = toleration["tolerationSeconds"].as_i64() {
            told += &format!(" for {seconds}s");
        }
        out.line(format_args!("{title}\t{told}"));
        title = "";
    }
    if !title.is_empty() {
        out.line(format_args!("{title}\t<none>"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::printer::columns::Columns;
    use expect_test::expect;
    use serde_json::json;

    #[test]
    fn a_pod_that_restarted() {
        let pod = json!({"metadata": {"name": "a", "namespace": "default", "labels": {"app": "web"},
                "ownerReferences": [{"kind": "ReplicationController", "name": "web", "controller": true}]},
            "spec": {"nodeName": "vm", "containers": [{"name": "c", "image": "nginx", "command": ["sh", "-c"],
                "ports": [{"containerPort": 80, "protocol": "TCP"}],
                "env": [{"name": "A", "value": "1"}, {"name": "B", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}}],
                "volumeMounts": [{"name": "v", "mountPath": "/z"}, {"name": "v", "mountPath": "/b", "readOnly": true}]}],
                "volumes": [{"name": "v", "hostPath": {"path": "/x"}}],
                "tolerations": [{"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}]},
            "status": {"phase": "Running", "hostIP": "10.0.0.1", "podIP": "10.1.0.1", "podIPs": [{"ip": "10.1.0.1"}], "qosClass": "BestEffort",
                "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [{"name": "c", "ready": true, "restartCount": 1, "containerID": "docker://1", "imageID": "x",
                    "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                    "lastState": {"terminated": {"reason": "Error", "exitCode": 1, "startedAt": "then", "finishedAt": "later"}}}]}});
        let mut out = Text::default();
        describe(&mut out, &pod);
        expect![[r#"
            Name:         a
            Namespace:    default
            Node:         vm/10.0.0.1
            Labels:       app=web
            Annotations:  <none>
            Status:       Running
            IP:           10.1.0.1
            IPs:
              IP:           10.1.0.1
            Controlled By:  ReplicationController/web
            Containers:
              c:
                Container ID:  docker://1
                Image:         nginx
                Image ID:      x
                Port:          80/TCP
                Host Port:     0/TCP
                Command:
                  sh
                  -c
                State:          Waiting
                  Reason:       CrashLoopBackOff
                Last State:     Terminated
                  Reason:       Error
                  Exit Code:    1
                  Started:      then
                  Finished:     later
                Ready:          True
                Restart Count:  1
                Environment:
                  A:  1
                  B:  a (v1:metadata.name)
                Mounts:
                  /b from v (ro)
                  /z from v (rw)
            Conditions:
              Type    Status
              Ready   True 
            Volumes:
              v:
                Type:          HostPath (bare host directory volume)
                Path:          /x
                HostPathType:  
            QoS Class:         BestEffort
            Node-Selectors:    <none>
            Tolerations:       k:NoExecute op=Exists for 300s
        "#]]
        .assert_eq(&Columns::of_description().align(&out.into_string()));
    }
}
