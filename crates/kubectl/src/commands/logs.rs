//! `logs`: what containers wrote, through the pod's log subresource.

use std::io::Write;

use clap::Args;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use serde_json::Value;

use crate::error::{Error, Result, fail};
use crate::rest::Query;
use crate::select::{self, Target};
use crate::session::Session;

const USAGE: &str = "expected 'logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]'.\nPOD or TYPE/NAME is a required argument for the \
    logs command\nSee 'kubectl logs -h' for help and examples";
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

#[derive(Args, Debug)]
pub struct Logs {
    /// POD or TYPE/NAME, and maybe the container
    arguments: Vec<String>,
    /// Of the pods whose labels match
    #[arg(short = 'l', long, default_value = "", hide_default_value = true)]
    selector: String,
    /// The container
    #[arg(short, long, default_value = "", hide_default_value = true)]
    container: String,
    /// Of all containers of the pod
    #[arg(long)]
    all_containers: bool,
    /// Go on with what is written from now on
    #[arg(short, long)]
    follow: bool,
    /// Of the container before its last restart
    #[arg(short, long)]
    previous: bool,
    /// Only so many of the last lines; -1 for all (10 with a selector)
    #[arg(long, allow_negative_numbers = true)]
    tail: Option<i64>,
    /// Only what is not older than this, such as 5s, 2m or 3h
    #[arg(long)]
    since: Option<String>,
    /// Only what was written after this time, such as 2006-01-02T15:04:05Z
    #[arg(long)]
    since_time: Option<String>,
    /// The time before each line
    #[arg(long)]
    timestamps: bool,
    /// So many bytes at most
    #[arg(long)]
    limit_bytes: Option<u64>,
    /// The pod and container before each line
    #[arg(long)]
    prefix: bool,
    /// How many logs may be followed at the same time
    #[arg(long, default_value_t = 5)]
    max_log_requests: usize,
    /// With several, go on when one fails
    #[arg(long)]
    ignore_errors: bool,
}

struct Source {
    pod: String,
    container: String,
}

impl Logs {
    pub async fn run(mut self, session: &Session) -> Result<()> {
        match (self.arguments.as_slice(), self.selector.is_empty()) {
            ([], true) => return fail(USAGE),
            ([], false) | ([_], true) => {}
            ([_, container], true) if self.container.is_empty() => self.container.clone_from(container),
            ([_, _], true) => return fail("only one of -c or an inline [CONTAINER] arg is allowed"),
            (_, false) => return fail("only a selector (-l) or a POD name is allowed"),
            _ => return fail(USAGE),
        }
        if self.all_containers && !self.container.is_empty() {
            return fail("--all-containers=true should not be specified with container name");
        }
        if self.since.is_some() && self.since_time.is_some() {
            return fail("at most one of `sinceTime` or `sinceSeconds` may be specified");
        }
        if self.tail.is_some_and(|tail| tail < -1) {
            return fail("--tail must be greater than or equal to -1");
        }
        let query = self.query()?;
        let pods = self.pods(session).await?;
        let mut sources = Vec::new();
        for pod in &pods {
            sources.extend(self.sources(pod)?);
        }
        if self.follow && sources.len() > self.max_log_requests {
            return fail(format!(
                "you are attempting to follow {} log streams, but maximum allowed concurrency is {}, use --max-log-requests to \
                 increase the limit",
                sources.len(),
                self.max_log_requests
            ));
        }
        if self.follow && sources.len() > 1 {
            let mut running: FuturesUnordered<_> =
                sources.iter().map(|source| self.copy(session, source, &query)).collect();
            while let Some(outcome) = running.next().await {
                self.or_ignored(outcome)?;
            }
            return Ok(());
        }
        for source in &sources {
            self.or_ignored(self.copy(session, source, &query).await)?;
        }
        Ok(())
    }

    fn or_ignored(&self, outcome: Result<()>) -> Result<()> {
        match outcome {
            Err(error) if self.ignore_errors => {
                eprintln!("{}", error.report());
                Ok(())
            }
            other => other,
        }
    }

    fn query(&self) -> Result<Query> {
        let mut query = Query::new();
        for (name, set) in [("follow", self.follow), ("previous", self.previous), ("timestamps", self.timestamps)] {
            query = query.with_some(name, if set { "true" } else { "" });
        }
        if let Some(text) = &self.since {
            let since = crate::duration::parse(text).ok_or_else(|| {
                Error::Message(format!(
                    "invalid argument {text:?} for \"--since\" flag: it must be a duration such as 5s, 2m or 3h"
                ))
            })?;
            query = query.with("sinceSeconds", (since.as_secs() + u64::from(since.subsec_nanos() > 0)).to_string());
        }
        if let Some(time) = &self.since_time {
            if time.parse::<jiff::Timestamp>().is_err() {
                return fail(format!("invalid --since-time {time:?}: it must be a time such as 2006-01-02T15:04:05Z"));
            }
            query = query.with("sinceTime", time.clone());
        }
        let tail = self.tail.unwrap_or(if self.selector.is_empty() { -1 } else { 10 });
        if tail >= 0 {
            query = query.with("tailLines", tail.to_string());
        }
        Ok(query.with_some("limitBytes", &self.limit_bytes.map(|n| n.to_string()).unwrap_or_default()))
    }

    async fn pods(&self, session: &Session) -> Result<Vec<Value>> {
        let discovery = session.discovery().await?;
        let pods = discovery.find("pods")?;
        let matching = |selector: String| async move {
            let query = Query::new().with_some("labelSelector", &selector);
            let found = select::list(session, pods, &session.namespace, &query).await?;
            Ok::<Vec<Value>, Error>(found.into_iter().map(|item| item.object).collect())
        };
        let Some(argument) = self.arguments.first() else {
            let found = matching(self.selector.clone()).await?;
            if found.is_empty() {
                eprintln!("No resources found in {} namespace.", session.namespace);
            }
            return Ok(found);
        };
        let named = if argument.contains('/') { vec![argument.clone()] } else { vec!["pods".into(), argument.clone()] };
        let target = select::parse(discovery, &named)?.into_iter().next();
        let Some(Target::One { resource, name }) = target else { return fail(USAGE) };
        let object =
            session.client.get(&resource.object(&session.namespace, &name)).await.map_err(|error| match error {
                Error::Refused(refusal) if refusal.reason == "NotFound" => {
                    let told = &refusal.message;
                    Error::Message(format!("error from server (NotFound): {told} in namespace {:?}", session.namespace))
                }
                other => other,
            })?;
        if resource.plural == "pods" && resource.group.is_empty() {
            return Ok(vec![object]);
        }
        // What a controller selects by: a map, or a selector with expressions too.
        let selector = &object["spec"]["selector"];
        let labels = if selector["matchLabels"].is_object() { &selector["matchLabels"] } else { selector };
        let pairs: Vec<String> = labels
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(k, v)| Some(format!("{k}={}", v.as_str()?)))
            .collect();
        if pairs.is_empty() {
            return fail(format!("cannot get the logs from {}: it selects no pods", resource.kind));
        }
        let mut found = matching(pairs.join(",")).await?;
        found.sort_by_key(rank);
        if found.is_empty() {
            return fail("timed out waiting for the condition");
        }
        if found.len() > 1 {
            eprintln!("Found {} pods, using pod/{}", found.len(), found[0]["metadata"]["name"].as_str().unwrap_or(""));
        }
        found.truncate(1);
        Ok(found)
    }

    /// The containers of a pod whose logs are wanted.
    fn sources(&self, pod: &Value) -> Result<Vec<Source>> {
        let name = pod["metadata"]["name"].as_str().unwrap_or("").to_owned();
        let names = |field: &str| {
            let containers = pod["spec"][field].as_array().into_iter().flatten();
            containers.filter_map(|c| c["name"].as_str().map(str::to_owned)).collect::<Vec<_>>()
        };
        let (init, apps) = (names("initContainers"), names("containers"));
        let all: Vec<String> = init.iter().chain(&apps).cloned().collect();
        let source = |container: &String| Source { pod: name.clone(), container: container.clone() };
        if self.all_containers {
            return Ok(all.iter().map(source).collect());
        }
        if !self.container.is_empty() {
            if !all.contains(&self.container) {
                return fail(format!("container {} is not valid for pod {name}", self.container));
            }
            return Ok(vec![source(&self.container)]);
        }
        let preferred =
            pod["metadata"]["annotations"][DEFAULT_CONTAINER].as_str().filter(|name| apps.iter().any(|a| a == name));
        let Some(chosen) = preferred.map(str::to_owned).or_else(|| apps.first().cloned()) else {
            return fail(format!("pod {name} has no containers"));
        };
        if preferred.is_none() && all.len() > 1 {
            let others: Vec<String> =
                apps.iter().cloned().chain(init.iter().map(|name| format!("{name} (init)"))).collect();
            eprintln!("Defaulted container {chosen:?} out of: {}", others.join(", "));
        }
        Ok(vec![source(&chosen)])
    }

    async fn copy(&self, session: &Session, source: &Source, query: &Query) -> Result<()> {
        let pods = session.discovery().await?.find("pods")?;
        let path = pods.object(&session.namespace, &source.pod) + "/log";
        let path = query.clone().with("container", source.container.clone()).on(&path);
        let mut bytes = session.client.stream(&path, "*/*").await?;
        let prefix = if self.prefix { format!("[pod/{}/{}] ", source.pod, source.container) } else { String::new() };
        let mut at_start = true;
        while let Some(chunk) = bytes.next().await {
            let chunk = chunk?;
            let mut out = std::io::stdout().lock();
            if prefix.is_empty() {
                out.write_all(&chunk)?;
            } else {
                for line in chunk.split_inclusive(|&byte| byte == b'\n') {
                    if std::mem::replace(&mut at_start, line.ends_with(b"\n")) {
                        out.write_all(prefix.as_bytes())?;
                    }
                    out.write_all(line)?;
                }
            }
            out.flush()?;
        }
        Ok(())
    }
}

/// Of several pods the one that says most: placed, running, ready; the oldest first.
fn rank(pod: &Value) -> (bool, u8, bool, String) {
    let phase = match pod["status"]["phase"].as_str() {
        Some("Running") => 0,
        Some("Pending") => 2,
        _ => 1,
    };
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    let ready = conditions.into_iter().any(|c| c["type"] == "Ready" && c["status"] == "True");
    let created = pod["metadata"]["creationTimestamp"].as_str().unwrap_or("").to_owned();
    (pod["spec"]["nodeName"].as_str().unwrap_or("").is_empty(), phase, !ready, created)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use serde_json::json;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        logs: Logs,
    }

    fn logs(line: &str) -> Logs {
        Line::try_parse_from(std::iter::once("logs").chain(line.split_whitespace())).unwrap().logs
    }

    #[test]
    fn containers_are_chosen() {
        let pod = json!({"metadata": {"name": "a"}, "spec": {"containers": [{"name": "x"}, {"name": "y"}], "initContainers": [{"name": "i"}]}});
        for (line, chosen) in [
            ("a", "x"),
            ("a -c y", "y"),
            ("a -c i", "i"),
            ("a --all-containers", "i x y"),
            ("a -c z", "container z is not valid for pod a"),
        ] {
            let told = match logs(line).sources(&pod) {
                Ok(sources) => sources.into_iter().map(|s| s.container).collect::<Vec<_>>().join(" "),
                Err(error) => error.to_string(),
            };
            assert_eq!(told, chosen, "{line}");
        }
    }

    #[test]
    fn flags_become_parameters() {
        for (line, path) in [
            ("a", "p"),
            ("a -f --tail=5 --since=1500ms --timestamps", "p?follow=true&timestamps=true&sinceSeconds=2&tailLines=5"),
            ("-l x=y -p", "p?previous=true&tailLines=10"),
            (
                "a --since-time=2026-01-01T00:00:00Z --limit-bytes=9",
                "p?sinceTime=2026-01-01T00%3A00%3A00Z&limitBytes=9",
            ),
        ] {
            assert_eq!(logs(line).query().unwrap().on("p"), path, "{line}");
        }
        assert!(logs("a --since=x").query().is_err());
    }
}
