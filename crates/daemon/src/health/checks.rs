//! `/healthz`, `/livez` and `/readyz` in upstream's forms: all checks of a path, or one by its name. Why a check fails is told to those who
//! ask for it by name alone, as the paths themselves are open to everybody.

use std::{borrow::Cow, collections::BTreeSet, pin::Pin};

use hyper::{StatusCode, header};
use percent_encoding::percent_decode_str;

use super::{Reply, text};

pub type Check = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync>;

/// The paths that a check is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probes(u8);

impl Probes {
    pub const HEALTH: Self = Self(1);
    pub const LIVE: Self = Self(2);
    pub const READY: Self = Self(4);
    pub const ALL: Self = Self(7);

    fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

struct Named {
    of: Probes,
    name: &'static str,
    check: Check,
}

pub struct Checks(Vec<Named>);

impl Default for Checks {
    /// Who answers at all has passed this one.
    fn default() -> Self {
        let mut checks = Self(Vec::new());
        checks.add(Probes::ALL, "ping", Box::new(|| Box::pin(std::future::ready(Ok(())))));
        checks
    }
}

impl Checks {
    pub fn add(&mut self, of: Probes, name: &'static str, check: Check) {
        self.0.push(Named { of, name, check });
    }

    /// `None`: the path is none of a check.
    pub async fn respond(&self, path: &str, query: &str) -> Option<Reply> {
        let path = path.strip_prefix('/')?;
        let (probe, name) = path.split_once('/').map_or((path, None), |(probe, name)| (probe, Some(name)));
        let of = match probe {
            "healthz" => Probes::HEALTH,
            "livez" => Probes::LIVE,
            "readyz" => Probes::READY,
            _ => return None,
        };
        let mut checks = self.0.iter().filter(|check| check.of.has(of));
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            return Some(verdict(probe, checks, query).await);
        };
        let reply = match (checks.find(|check| check.name == name)?.check)().await {
            Ok(()) => text(StatusCode::OK, "ok"),
            Err(why) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("internal server error: {why}\n")),
        };
        Some(unsniffed(reply))
    }
}

/// `ok`, or the list of checks with the failed ones.
async fn verdict(probe: &str, checks: impl Iterator<Item = &Named>, query: &str) -> Reply {
    let parameters = || query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let decode = |value| percent_decode_str(value).decode_utf8_lossy();
    let excluded: BTreeSet<Cow<'_, str>> =
        parameters().filter(|(name, _)| *name == "exclude").map(|(_, value)| decode(value)).collect();
    let (mut body, mut failed, mut unknown) = (String::new(), false, excluded.clone());
    for Named { name, check, .. } in checks {
        if excluded.contains(*name) {
            unknown.remove(*name);
            body += &format!("[+]{name} excluded: ok\n");
            continue;
        }
        match check().await {
            Ok(()) => body += &format!("[+]{name} ok\n"),
            Err(why) => {
                tracing::debug!("/{probe}: {name}: {why}");
                body += &format!("[-]{name} failed: reason withheld\n");
                failed = true;
            }
        }
    }
    if !unknown.is_empty() {
        let names: Vec<String> = unknown.iter().map(|name| format!("{name:?}")).collect();
        body += &format!("warn: some health checks cannot be excluded: no matches for {}\n", names.join(","));
    }
    if failed {
        return unsniffed(text(StatusCode::INTERNAL_SERVER_ERROR, format!("{body}{probe} check failed\n")));
    }
    let verbose = parameters().any(|(name, _)| name == "verbose");
    unsniffed(text(StatusCode::OK, if verbose { format!("{body}{probe} check passed\n") } else { "ok".to_owned() }))
}

fn unsniffed(mut reply: Reply) -> Reply {
    reply.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, header::HeaderValue::from_static("nosniff"));
    reply
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    fn told(result: Result<(), &str>) -> Check {
        let result = result.map_err(str::to_owned);
        Box::new(move || Box::pin(std::future::ready(result.clone())))
    }

    #[tokio::test]
    async fn checks_are_told_in_upstreams_forms() {
        let mut checks = Checks::default();
        checks.add(Probes::ALL, "etcd", told(Err("no answer")));
        checks.add(Probes::READY, "poststarthook/rbac/bootstrap-roles", told(Ok(())));
        let all = "[+]ping ok\n[-]etcd failed: reason withheld\n[+]poststarthook/rbac/bootstrap-roles ok\n";
        for (path, query, code, expected) in [
            ("/readyz", "", 500, format!("{all}readyz check failed\n")),
            ("/readyz", "exclude=etcd", 200, "ok".to_owned()),
            ("/livez", "verbose&exclude=etcd", 200, "[+]ping ok\n[+]etcd excluded: ok\nlivez check passed\n".to_owned()),
            (
                "/healthz",
                "verbose=1&exclude=etcd&exclude=no%2Fne&exclude=a",
                200,
                "[+]ping ok\n[+]etcd excluded: ok\nwarn: some health checks cannot be excluded: no matches for \"a\",\"no/ne\"\n\
                 healthz check passed\n"
                    .to_owned(),
            ),
            ("/readyz/etcd", "", 500, "internal server error: no answer\n".to_owned()),
            ("/livez/ping", "", 200, "ok".to_owned()),
            ("/readyz/poststarthook/rbac/bootstrap-roles", "", 200, "ok".to_owned()),
        ] {
            let reply = checks.respond(path, query).await.unwrap();
            assert_eq!(reply.headers()["x-content-type-options"], "nosniff");
            let (status, body) = (reply.status().as_u16(), reply.into_body().collect().await.unwrap().to_bytes());
            assert_eq!((status, String::from_utf8_lossy(&body)), (code, expected.into()), "{path}?{query}");
        }
        for path in ["/livez/none", "/livez/poststarthook/rbac/bootstrap-roles", "/health", "livez", "/"] {
            assert!(checks.respond(path, "").await.is_none(), "{path}");
        }
    }
}
