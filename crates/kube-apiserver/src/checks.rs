//! The conditions of `/healthz`, `/livez` and `/readyz`, by upstream's names.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use daemon::Health;
use daemon::health::Probes;
use storage::{Backend, Cache};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::authorization::Rbac;

/// As upstream: so long etcd may take to answer.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Probes are open to everybody: however many come, etcd is asked so often.
const EVERY: Duration = Duration::from_millis(500);

/// What is done once after the start.
#[derive(Default)]
pub struct Hook(AtomicBool);

impl Hook {
    pub fn done(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub fn is_done(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Default)]
pub struct Hooks {
    pub namespaces: Hook,
    pub priorities: Hook,
    pub service: Hook,
    pub roles: Hook,
}

pub fn register(
    health: &mut Health,
    backend: Arc<dyn Backend>,
    cache: Arc<Cache>,
    rbac: Rbac,
    hooks: &Arc<Hooks>,
    token: CancellationToken,
) {
    let etcd = Arc::new(Asked { backend, last: Mutex::new(None) });
    for (of, name) in [(Probes::ALL, "etcd"), (Probes::READY, "etcd-readiness")] {
        let etcd = etcd.clone();
        health.check(of, name, move || {
            let etcd = etcd.clone();
            async move { etcd.ask().await }
        });
    }
    health.ready_when("informer-sync", move || match (cache.is_ready(), rbac.is_ready()) {
        (false, _) => Err("the watch cache is being filled from etcd".into()),
        (_, false) => Err("roles and bindings are being read".into()),
        _ => Ok(()),
    });
    type Of = fn(&Hooks) -> &Hook;
    let named: [(&'static str, Of); 4] = [
        ("poststarthook/start-system-namespaces-controller", |hooks| &hooks.namespaces),
        ("poststarthook/scheduling/bootstrap-system-priority-classes", |hooks| &hooks.priorities),
        ("poststarthook/bootstrap-controller", |hooks| &hooks.service),
        ("poststarthook/rbac/bootstrap-roles", |hooks| &hooks.roles),
    ];
    for (name, of) in named {
        let hooks = hooks.clone();
        health.check(Probes::ALL, name, move || {
            std::future::ready(if of(&hooks).is_done() { Ok(()) } else { Err("not finished".to_owned()) })
        });
    }
    health.ready_when("shutdown", move || match token.is_cancelled() {
        true => Err("process is shutting down".into()),
        false => Ok(()),
    });
}

/// Whether etcd answers, asked by one at a time.
struct Asked {
    backend: Arc<dyn Backend>,
    last: Mutex<Option<(Instant, Result<(), String>)>>,
}

impl Asked {
    async fn ask(&self) -> Result<(), String> {
        let mut last = self.last.lock().await;
        if let Some((at, answer)) = &*last
            && at.elapsed() < EVERY
        {
            return answer.clone();
        }
        let answer = match tokio::time::timeout(TIMEOUT, self.backend.tip()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(why)) => Err(format!("etcd failed: {why}")),
            Err(_) => Err(format!("etcd failed: no answer within {} s", TIMEOUT.as_secs())),
        };
        *last = Some((Instant::now(), answer.clone()));
        answer
    }
}

#[cfg(test)]
mod tests {
    use api::catalog::Catalog;
    use http_body_util::BodyExt;
    use storage::Memory;

    use super::*;
    use crate::admission::Admission;
    use crate::registry::{Ranges, Registry};

    async fn told(health: &Health, path: &str) -> (u16, String) {
        let reply = health.respond(path, "").await;
        let (status, body) = (reply.status().as_u16(), reply.into_body().collect().await.unwrap().to_bytes());
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    #[tokio::test]
    async fn each_condition_is_met_in_its_time() {
        let backend = Memory::new();
        let cache = Cache::start(backend.clone());
        let ranges = Ranges { services: "10.254.0.0/16".parse().unwrap(), node_ports: 30000..=32767 };
        let registry =
            Registry::new(Catalog::builtin(), backend.clone(), cache.clone(), Admission::default(), ranges, 3600);
        let (rbac, hooks, token) = (Rbac::default(), Arc::<Hooks>::default(), CancellationToken::new());
        let mut health = Health::unbound();
        register(&mut health, backend, cache.clone(), rbac.clone(), &hooks, token.clone());
        cache.ready().await;
        assert_eq!(told(&health, "/livez/etcd").await, (200, "ok".into()));
        let why = "internal server error: roles and bindings are being read\n";
        assert_eq!(told(&health, "/readyz/informer-sync").await, (500, why.into()));
        let expected = "[+]ping ok\n[+]etcd ok\n[-]poststarthook/start-system-namespaces-controller failed: reason withheld\n\
            [-]poststarthook/scheduling/bootstrap-system-priority-classes failed: reason withheld\n\
            [-]poststarthook/bootstrap-controller failed: reason withheld\n\
            [-]poststarthook/rbac/bootstrap-roles failed: reason withheld\nlivez check failed\n";
        assert_eq!(told(&health, "/livez").await, (500, expected.into()));
        for hook in [&hooks.namespaces, &hooks.priorities, &hooks.service, &hooks.roles] {
            hook.done();
        }
        assert_eq!(told(&health, "/livez").await.0, 200);
        tokio::spawn(rbac.clone().run(registry.clone(), token.clone()));
        let ready = async {
            while told(&health, "/readyz").await.0 != 200 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), ready).await.unwrap();
        token.cancel();
        assert_eq!(told(&health, "/readyz/shutdown").await.1, "internal server error: process is shutting down\n");
        assert_eq!((told(&health, "/readyz").await.0, told(&health, "/livez").await.0), (500, 200));
        assert_eq!(told(&health, "/livez/shutdown").await.0, 404);
    }
}
