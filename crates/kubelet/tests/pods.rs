//! Pods on the real Docker Engine: started, restarted, ended, and found again by a kubelet that was killed.

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Agent, PATIENCE, Played, containers, is_ready, log_of, on_docker, pod};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kubelet::runtime::{Runtime, State};
use serde_json::json;

fn sleeper() -> serde_json::Value {
    json!({"terminationGracePeriodSeconds": 1, "containers": [{"name": "c", "image": "busybox", "command": ["sleep", "1000"]}]})
}

fn deleted(pod: &Pod) -> Pod {
    let mut pod = pod.clone();
    pod.metadata.deletion_timestamp = Some(Time(jiff::Timestamp::now()));
    pod.metadata.deletion_grace_period_seconds = Some(1);
    pod
}

async fn prepared(place: &common::Place, docker: &Arc<dyn Runtime>) -> (Arc<Played>, tempfile::TempDir) {
    docker.ensure_network(&place.network, &place.cidr).await.unwrap();
    (Arc::new(Played::default()), tempfile::tempdir().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_from_creation_to_its_end() {
    on_docker(|place, docker| async move {
        let (cluster, root) = prepared(&place, &docker).await;
        let service = json!({"metadata": {"name": "redis-master", "namespace": "default"},
                             "spec": {"clusterIP": "10.254.0.9", "ports": [{"port": 6379}]}});
        cluster.services.lock().unwrap().push(Arc::new(serde_json::from_value(service).unwrap()));
        let config = json!({"data": {"greeting": "hello"}});
        cluster.config_maps.lock().unwrap().insert("words".into(), serde_json::from_value(config).unwrap());
        let pod = pod("whole", json!({
            "terminationGracePeriodSeconds": 1,
            "initContainers": [{"name": "init", "image": "busybox", "command": ["sh", "-c", "echo made > /shared/file"],
                                "volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}],
            "containers": [{"name": "c", "image": "busybox",
                "command": ["sh", "-c", "echo $(GREETING) $REDIS_MASTER_SERVICE_HOST $IP; cat /shared/file /words/greeting; echo; sleep 1000"],
                "env": [{"name": "GREETING", "valueFrom": {"configMapKeyRef": {"name": "words", "key": "greeting"}}},
                        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
                "volumeMounts": [{"name": "shared", "mountPath": "/shared"}, {"name": "words", "mountPath": "/words"}]}],
            "volumes": [{"name": "shared", "emptyDir": {}}, {"name": "words", "configMap": {"name": "words"}}]
        }));
        let agent = Agent::start(&place, docker.clone(), cluster.clone(), root.path(), [pod.clone()]);
        let status = cluster.until_ready("whole").await;
        assert_eq!(status.phase.as_deref(), Some("Running"));
        let ip = status.pod_ip.clone().unwrap();
        assert!(ip.starts_with(place.cidr.trim_end_matches("0/24")), "{ip} is in {}", place.cidr);
        let found = containers(&docker).await;
        assert_eq!(found.keys().collect::<Vec<_>>(), ["whole/POD#0", "whole/c#0", "whole/init#0"]);
        let id = &found["whole/c#0"].id;
        assert_eq!(status.container_statuses.as_ref().unwrap()[0].container_id.as_deref(), Some(&*format!("docker://{id}")));
        let deadline = Instant::now() + PATIENCE;
        let expected = format!("hello 10.254.0.9 {ip}\nmade\nhello\n");
        while log_of(&docker, id).await != expected {
            assert!(Instant::now() < deadline, "{:?} is not {expected:?}", log_of(&docker, id).await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }

        agent.set(deleted(&pod));
        cluster.until("the pod's end", |played| played.deleted("whole")).await;
        assert!(containers(&docker).await.is_empty());
        assert!(std::fs::read_dir(root.path().join("pods")).unwrap().next().is_none(), "its directory is gone");
        agent.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_kubelet_finds_everything_again() {
    on_docker(|place, docker| async move {
        let (cluster, root) = prepared(&place, &docker).await;
        let (stays, goes) = (pod("stays", sleeper()), pod("goes", sleeper()));
        let agent = Agent::start(&place, docker.clone(), cluster.clone(), root.path(), [stays.clone(), goes.clone()]);
        let known = cluster.until_ready("stays").await;
        cluster.until_ready("goes").await;
        let before = containers(&docker).await;
        agent.kill().await;

        let mut stays = stays;
        stays.status = Some(known.clone());
        let again = Arc::new(Played::default());
        // One of the two was deleted while nobody looked.
        let agent = Agent::start(&place, docker.clone(), again.clone(), root.path(), [stays]);
        let deadline = Instant::now() + PATIENCE;
        while containers(&docker).await.len() > 2 {
            assert!(Instant::now() < deadline, "{:?}", containers(&docker).await.keys());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        for (name, container) in containers(&docker).await {
            assert_eq!(container, before[&name], "nothing of it was touched");
        }
        assert!(again.status("stays").is_none(), "there is nothing new to say: {:#?}", again.status("stays"));
        assert!(!again.deleted("goes"), "it is gone from the API already");
        agent.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_container_is_restarted_in_place() {
    on_docker(|place, docker| async move {
        let (cluster, root) = prepared(&place, &docker).await;
        let agent = Agent::start(&place, docker.clone(), cluster.clone(), root.path(), [pod("p", sleeper())]);
        let first = cluster.until_ready("p").await;
        let id = containers(&docker).await["p/c#0"].id.clone();
        docker.stop(&id, Duration::ZERO).await.unwrap();
        let restarted = |played: &Played| {
            played.status("p").is_some_and(|s| is_ready(&s) && s.container_statuses.unwrap()[0].restart_count == 1)
        };
        cluster.until("a restart", restarted).await;
        let status = cluster.status("p").unwrap();
        assert_eq!(status.pod_ip, first.pod_ip, "the sandbox stays");
        let last = status.container_statuses.unwrap()[0].last_state.clone().unwrap().terminated.unwrap();
        assert_eq!((last.exit_code, last.container_id), (137, Some(format!("docker://{id}"))));

        // The second time it has to wait.
        let id = containers(&docker).await["p/c#1"].id.clone();
        docker.stop(&id, Duration::ZERO).await.unwrap();
        let waits = |played: &Played| {
            let state = played.status("p").and_then(|s| s.container_statuses.unwrap()[0].state.clone()?.waiting);
            state.is_some_and(|waiting| waiting.reason.as_deref() == Some("CrashLoopBackOff"))
        };
        cluster.until("a back-off", waits).await;

        // Without its sandbox the pod is made anew, with another one.
        let sandbox = containers(&docker).await["p/POD#0"].id.clone();
        docker.remove(&sandbox).await.unwrap();
        cluster.until("a new sandbox", |played| played.status("p").is_some_and(|s| is_ready(&s))).await;
        assert!(matches!(containers(&docker).await["p/c#2"].state, State::Running { .. }));
        agent.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn troubles_are_told() {
    on_docker(|place, docker| async move {
        let (cluster, root) = prepared(&place, &docker).await;
        let one = |name: &str, container: serde_json::Value| {
            pod(name, json!({"restartPolicy": "Never", "containers": [container]}))
        };
        let pods = [
            one("noimage", json!({"name": "c", "image": "no-such/image", "imagePullPolicy": "Never"})),
            one("badname", json!({"name": "c", "image": "No Such"})),
            one("noconfig", json!({"name": "c", "image": "busybox", "envFrom": [{"configMapRef": {"name": "none"}}]})),
            one("nocommand", json!({"name": "c", "image": "busybox", "command": ["/no/such/file"]})),
            one("brief", json!({"name": "c", "image": "busybox", "command": ["true"]})),
            one("fails", json!({"name": "c", "image": "busybox", "command": ["sh", "-c", "echo last words > /dev/termination-log; exit 3"]})),
        ];
        let agent = Agent::start(&place, docker.clone(), cluster.clone(), root.path(), pods);
        let waiting = |name: &'static str, reason: &'static str| {
            let cluster = cluster.clone();
            async move {
                let shown = move |played: &Played| {
                    let state = played.status(name).and_then(|s| s.container_statuses.unwrap()[0].state.clone());
                    let reason_of = state.map(|s| {
                        let terminated = s.terminated.and_then(|t| t.reason);
                        s.waiting.and_then(|w| w.reason).or(terminated).unwrap_or_default()
                    });
                    reason_of.as_deref() == Some(reason)
                };
                cluster.until(&format!("{name}: {reason}"), shown).await;
            }
        };
        waiting("noimage", "ErrImageNeverPull").await;
        waiting("badname", "InvalidImageName").await;
        waiting("noconfig", "CreateContainerConfigError").await;
        waiting("nocommand", "ContainerCannotRun").await;
        waiting("brief", "Completed").await;
        waiting("fails", "Error").await;
        let status = cluster.status("fails").unwrap();
        assert_eq!(status.phase.as_deref(), Some("Failed"));
        let end = status.container_statuses.unwrap()[0].state.clone().unwrap().terminated.unwrap();
        assert_eq!((end.exit_code, end.message.as_deref()), (3, Some("last words\n")));
        agent.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_decide_about_readiness_and_restarts() {
    on_docker(|place, docker| async move {
        let (cluster, root) = prepared(&place, &docker).await;
        let pod = pod("probed", json!({"terminationGracePeriodSeconds": 0, "containers": [{
            "name": "c", "image": "busybox", "command": ["sh", "-c", "mkdir /w; echo ok > /w/index.html; httpd -f -p 8080 -h /w"],
            "ports": [{"name": "web", "containerPort": 8080}],
            "startupProbe": {"tcpSocket": {"port": "web"}, "periodSeconds": 1, "failureThreshold": 30},
            "readinessProbe": {"httpGet": {"path": "/index.html", "port": "web"}, "periodSeconds": 1, "failureThreshold": 1},
            "livenessProbe": {"exec": {"command": ["test", "!", "-e", "/ill"]}, "periodSeconds": 1, "failureThreshold": 2}
        }]}));
        let agent = Agent::start(&place, docker.clone(), cluster.clone(), root.path(), [pod]);
        cluster.until_ready("probed").await;
        let id = containers(&docker).await["probed/c#0"].id.clone();
        let run = |command: &str| {
            let (docker, id, command) = (docker.clone(), id.clone(), ["sh".to_owned(), "-c".to_owned(), command.to_owned()]);
            async move { docker.exec(&id, &command, PATIENCE).await.unwrap() }
        };
        run("mv /w/index.html /w/away").await;
        cluster.until("not ready", |played| !is_ready(&played.status("probed").unwrap())).await;
        run("mv /w/away /w/index.html").await;
        cluster.until_ready("probed").await;
        run("touch /ill").await;
        let restarted = |played: &Played| played.status("probed").unwrap().container_statuses.unwrap()[0].restart_count == 1;
        cluster.until("a restart", restarted).await;
        let events = cluster.events.lock().unwrap().join("\n");
        assert!(events.contains("Liveness probe failed") && events.contains("Readiness probe failed: HTTP probe failed with statuscode: 404"), "{events}");
        agent.stop().await;
    })
    .await;
}
