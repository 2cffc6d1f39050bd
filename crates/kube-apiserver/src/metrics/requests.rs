//! `apiserver_request_…`: requests by what they are about, over REST and gRPC alike.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Instant;

use api::catalog::{Catalog, Served};
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use super::{List, SECONDS, collect, family};
use crate::attributes::{Attributes, ResourceAttributes};

/// Paths that are of no resource, as `subresource` tells them; with what is below of those that end in a slash here.
const PATHS: [&str; 12] = [
    "/healthz",
    "/livez",
    "/readyz",
    "/metrics",
    "/version",
    "/openapi/v2",
    "/openapi/v3",
    "/openid/v1/jwks",
    "/.well-known/openid-configuration",
    "/apis",
    "/api",
    "/",
];
/// Subresources that take over the connection.
const CONNECTS: [&str; 5] = ["attach", "exec", "log", "portforward", "proxy"];

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DryRun {
    #[default]
    No,
    All,
    Invalid,
}

impl DryRun {
    pub fn of(values: &[String]) -> Self {
        match values.iter().filter(|value| !value.is_empty()).all(|value| value == "All") {
            true if values.iter().all(String::is_empty) => Self::No,
            true => Self::All,
            false => Self::Invalid,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::No => "",
            Self::All => "All",
            Self::Invalid => "invalid",
        }
    }
}

/// What distinguishes requests of one resource or path.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Key {
    verb: &'static str,
    scope: &'static str,
    dry_run: DryRun,
}

/// The requests of one kind.
struct Child {
    codes: List<u16, Counter>,
    seconds: Histogram,
    /// Of those that read.
    sizes: OnceLock<Histogram>,
    running: Gauge,
}

struct Part {
    subresource: &'static str,
    children: List<Key, Arc<Child>>,
}

impl Part {
    fn new(subresource: &'static str) -> Self {
        Self { subresource, children: List::default() }
    }
}

/// A resource in one of its versions, or with empty names what is none.
struct Row {
    names: Names,
    parts: Vec<Part>,
    watch_events: Counter,
}

/// Group, version and resource.
type Names = (&'static str, &'static str, &'static str);

pub struct Requests {
    rows: RwLock<HashMap<Names, Arc<Row>>>,
    others: Arc<Row>,
}

impl Default for Requests {
    fn default() -> Self {
        let parts = std::iter::once("").chain(PATHS).map(Part::new).collect();
        let others = Arc::new(Row { names: ("", "", ""), parts, watch_events: Counter::default() });
        Self { rows: RwLock::default(), others }
    }
}

/// One request on its way. Counted when it is dropped.
pub struct Measured {
    child: Arc<Child>,
    began: Instant,
    reads: bool,
    long: bool,
    /// 0: there was no answer.
    pub code: u16,
    pub sent: u64,
}

impl Requests {
    /// `apply`: a patch is one of server-side apply.
    pub fn begin(&self, catalog: &Catalog, attributes: &Attributes, apply: bool, dry_run: DryRun) -> Measured {
        let verb = verb(attributes, apply);
        // What only reads is never one, and its metrics have no such label.
        let dry_run = if matches!(verb, "GET" | "LIST" | "WATCH" | "CONNECT") { DryRun::No } else { dry_run };
        let key = Key { verb, scope: scope(attributes), dry_run };
        let row = attributes.resource.as_ref().map_or_else(|| self.others.clone(), |about| self.row(catalog, about));
        let wanted = match &attributes.resource {
            Some(about) => about.subresource.as_str(),
            None => path(&attributes.path),
        };
        // What there is not is told of without a name.
        let part = row.parts.iter().find(|part| part.subresource == wanted).unwrap_or(&self.others.parts[0]);
        let child = part.children.get_or_make(key, || {
            Arc::new(Child {
                codes: List::default(),
                seconds: Histogram::new(SECONDS),
                sizes: OnceLock::new(),
                running: Gauge::default(),
            })
        });
        let reads = matches!(key.verb, "GET" | "LIST");
        Measured { child: child.clone(), began: Instant::now(), reads, long: false, code: 0, sent: 0 }
    }

    fn row(&self, catalog: &Catalog, about: &ResourceAttributes) -> Arc<Row> {
        let names = (about.group.as_str(), about.version.as_str(), about.resource.as_str());
        if let Some(row) = self.rows.read().unwrap_or_else(PoisonError::into_inner).get(&names) {
            return row.clone();
        }
        match catalog.find(names.0, names.1, names.2).filter(|form| form.on) {
            Some(form) => self.row_of(form),
            None => self.others.clone(),
        }
    }

    fn row_of(&self, form: &Served) -> Arc<Row> {
        let names = (form.group, form.version, form.plural);
        let mut rows = self.rows.write().unwrap_or_else(PoisonError::into_inner);
        let make = || {
            let parts = form.own_subresources().iter().map(|sub| sub.name);
            let parts = std::iter::once("").chain(parts).map(Part::new).collect();
            Arc::new(Row { names, parts, watch_events: Counter::default() })
        };
        rows.entry(names).or_insert_with(make).clone()
    }

    /// Counts the events that watches of a resource send.
    pub fn watch_events(&self, form: &Served) -> Counter {
        self.row_of(form).watch_events.clone()
    }

    fn sorted(&self) -> Vec<Arc<Row>> {
        let mut rows: Vec<_> = self.rows.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        rows.push(self.others.clone());
        rows.sort_unstable_by_key(|row| row.names);
        rows
    }
}

impl Measured {
    /// It goes on for as long as the client likes.
    pub fn long(&mut self) {
        if !std::mem::replace(&mut self.long, true) {
            self.child.running.inc();
        }
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        if self.long {
            self.child.running.dec();
        }
        self.child.codes.get_or_make(self.code, Counter::default).inc();
        self.child.seconds.observe(self.began.elapsed().as_secs_f64());
        if self.reads {
            let make = || Histogram::new(exponential_buckets(1000.0, 10.0, 7));
            self.child.sizes.get_or_init(make).observe(self.sent as f64);
        }
    }
}

/// As upstream names it: mostly the method.
fn verb(attributes: &Attributes, apply: bool) -> &'static str {
    let sub = attributes.resource.as_ref().map_or("", |about| about.subresource.as_str());
    if CONNECTS.contains(&sub) {
        return "CONNECT";
    }
    match &*attributes.verb {
        "get" | "head" => "GET",
        "list" => "LIST",
        "watch" => "WATCH",
        "create" | "post" => "POST",
        "update" | "put" => "PUT",
        "patch" if apply => "APPLY",
        "patch" => "PATCH",
        "delete" | "deletecollection" => "DELETE",
        _ => "other",
    }
}

fn scope(attributes: &Attributes) -> &'static str {
    let Some(about) = &attributes.resource else { return "" };
    match &*attributes.verb {
        "list" | "watch" | "deletecollection" if about.namespace.is_empty() => "cluster",
        "list" | "watch" | "deletecollection" => "namespace",
        _ => "resource",
    }
}

fn path(path: &str) -> &'static str {
    let below = |of: &&&str| path.strip_prefix(**of).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    PATHS.iter().find(|of| if **of == "/" { path == "/" } else { below(of) }).copied().unwrap_or("")
}

fn component(row: &Row, part: &Part) -> &'static str {
    // As upstream has it of these.
    let health = row.names.2.is_empty() && PATHS[..3].contains(&part.subresource);
    if health { "" } else { "apiserver" }
}

impl Requests {
    pub fn register(self: &Arc<Self>, metrics: &mut Registry) {
        let requests = self.clone();
        collect(metrics, move |encoder| requests.encode(encoder));
    }

    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let rows = self.sorted();
        let parts = || rows.iter().flat_map(|row| row.parts.iter().map(move |part| (row, part)));
        let children = || {
            parts().flat_map(|(row, part)| {
                part.children.iter().map(move |(key, child)| {
                    let (group, version, resource) = row.names;
                    let labels = [
                        ("verb", key.verb),
                        ("group", group),
                        ("version", version),
                        ("resource", resource),
                        ("subresource", part.subresource),
                        ("scope", key.scope),
                        ("component", component(row, part)),
                    ];
                    (labels, ("dry_run", key.dry_run.name()), child)
                })
            })
        };
        let with = |[verb, group, version, resource, sub, scope, component]: [(&'static str, &'static str); 7],
                    dry_run| [verb, dry_run, group, version, resource, sub, scope, component];
        let codes: Vec<_> = children()
            .flat_map(|(labels, dry_run, child)| {
                child.codes.iter().map(move |(code, count)| (with(labels, dry_run), code.to_string(), count.get()))
            })
            .collect();
        let help = "Counter of apiserver requests broken out for each verb, dry run value, group, version, resource, scope, component, and HTTP response code";
        let codes = codes.iter().map(|([a, b, c, d, e, f, g, h], code, count)| {
            ([*a, *b, *c, *d, *e, *f, *g, *h, ("code", code.as_str())], ConstCounter::new(*count))
        });
        family(&mut encoder, ("apiserver_request", help, MetricType::Counter), codes)?;
        let help = "Response latency distribution in seconds for each verb, dry run value, group, version, resource, subresource, scope and component";
        let seconds = children().map(|(labels, dry_run, child)| (with(labels, dry_run), child.seconds.clone()));
        family(&mut encoder, ("apiserver_request_duration_seconds", help, MetricType::Histogram), seconds)?;
        let help = "Response size distribution in bytes for each group, version, verb, resource, subresource, scope and component";
        let sizes = children().filter_map(|(labels, _, child)| Some((labels, child.sizes.get()?.clone())));
        family(&mut encoder, ("apiserver_response_sizes", help, MetricType::Histogram), sizes)?;
        let help = "Gauge of all active long-running apiserver requests broken out by verb, group, version, resource, scope and component. Not all requests are tracked this way";
        let running = children().filter(|(_, _, child)| child.running.get() != 0);
        let running = running.map(|(labels, _, child)| (labels, ConstGauge::new(child.running.get())));
        family(&mut encoder, ("apiserver_longrunning_requests", help, MetricType::Gauge), running)?;
        let watched = rows.iter().filter(|row| row.watch_events.get() > 0).map(|row| {
            let (group, version, resource) = row.names;
            let labels = [("group", group), ("version", version), ("resource", resource)];
            (labels, ConstCounter::new(row.watch_events.get()))
        });
        let help = "Number of events sent in watch clients";
        family(&mut encoder, ("apiserver_watch_events", help, MetricType::Counter), watched)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Query;

    fn asked(requests: &Requests, method: &str, target: &str, apply: bool) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let (query, catalog) = (Query::parse(Some(query)), Catalog::builtin());
        let attributes = Attributes::of_request(Arc::default(), &method.parse().unwrap(), path, &query);
        let attributes = attributes.in_catalog(&catalog, &query);
        let mut one = requests.begin(&catalog, &attributes, apply, DryRun::of(query.list("dryRun")));
        one.code = 200;
    }

    fn text(requests: &Arc<Requests>) -> String {
        let mut registry = prometheus_client::registry::Registry::default();
        requests.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    }

    #[test]
    fn labels_are_upstreams() {
        for (method, target, apply, expected) in [
            (
                "GET",
                "/api/v1/pods",
                false,
                r#"verb="LIST",dry_run="",group="",version="v1",resource="pods",subresource="",scope="cluster",component="apiserver""#,
            ),
            (
                "GET",
                "/api/v1/namespaces/x/pods?watch=1",
                false,
                r#"verb="WATCH",dry_run="",group="",version="v1",resource="pods",subresource="",scope="namespace",component="apiserver""#,
            ),
            (
                "PATCH",
                "/apis/apps/v1/namespaces/x/deployments/d/scale?dryRun=All",
                true,
                r#"verb="APPLY",dry_run="All",group="apps",version="v1",resource="deployments",subresource="scale",scope="resource",component="apiserver""#,
            ),
            (
                "POST",
                "/api/v1/namespaces/x/pods?dryRun=x",
                false,
                r#"verb="POST",dry_run="invalid",group="",version="v1",resource="pods",subresource="",scope="resource",component="apiserver""#,
            ),
            (
                "DELETE",
                "/api/v1/namespaces/x/pods",
                false,
                r#"verb="DELETE",dry_run="",group="",version="v1",resource="pods",subresource="",scope="namespace",component="apiserver""#,
            ),
            (
                "GET",
                "/api/v1/namespaces/x/pods/p/log",
                false,
                r#"verb="CONNECT",dry_run="",group="",version="v1",resource="pods",subresource="log",scope="resource",component="apiserver""#,
            ),
            (
                "GET",
                "/readyz/etcd",
                false,
                r#"verb="GET",dry_run="",group="",version="",resource="",subresource="/readyz",scope="",component="""#,
            ),
            (
                "GET",
                "/apis/apps/v1",
                false,
                r#"verb="GET",dry_run="",group="",version="",resource="",subresource="/apis",scope="",component="apiserver""#,
            ),
            (
                "BREW",
                "/coffee",
                false,
                r#"verb="other",dry_run="",group="",version="",resource="",subresource="",scope="",component="apiserver""#,
            ),
            (
                "GET",
                "/api/v1/teapots/x",
                false,
                r#"verb="GET",dry_run="",group="",version="",resource="",subresource="",scope="resource",component="apiserver""#,
            ),
            (
                "GET",
                "/api/v1/namespaces/x/pods/p/teapots",
                false,
                r#"verb="GET",dry_run="",group="",version="",resource="",subresource="",scope="resource",component="apiserver""#,
            ),
        ] {
            let requests = Arc::new(Requests::default());
            asked(&requests, method, target, apply);
            let line = format!("apiserver_request_total{{{expected},code=\"200\"}} 1\n");
            let text = text(&requests);
            assert!(text.contains(&line), "{method} {target}: {line}{text}");
        }
    }

    #[test]
    fn whatever_is_asked_for_the_lines_stay_few() {
        let requests = Arc::new(Requests::default());
        for at in 0..1000 {
            asked(&requests, "GET", &format!("/apis/g{at}/v1/things/{at}"), false);
            asked(&requests, &format!("M{at}"), &format!("/path/{at}"), false);
            asked(&requests, "GET", &format!("/api/v1/namespaces/n{at}/pods/p{at}/sub{at}"), false);
            asked(&requests, "GET", &format!("/livez/{at}"), false);
        }
        let text = text(&requests);
        assert_eq!(text.lines().filter(|line| line.starts_with("apiserver_request_total")).count(), 3, "{text}");
    }

    /// Far below what a request costs. A bound that slow machines under load keep, and a lock or a text made each time would not.
    #[test]
    fn counting_is_cheap() {
        let requests = Requests::default();
        let catalog = Catalog::builtin();
        let attributes = Attributes::of_request(
            Arc::default(),
            &http::Method::GET,
            "/api/v1/namespaces/x/pods/p",
            &Query::default(),
        );
        let rounds = 20_000;
        let best = (0..5).map(|_| {
            let start = Instant::now();
            for _ in 0..rounds {
                requests.begin(&catalog, &attributes, false, DryRun::No).code = 200;
            }
            start.elapsed() / rounds
        });
        let best = best.min().unwrap();
        println!("{best:?} for each request");
        assert!(best.as_micros() < 10, "{best:?}");
    }
}
