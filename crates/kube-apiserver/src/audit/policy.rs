//! `audit.k8s.io/v1` `Policy`: which requests are told of, and how much. The first rule that matches decides.

use std::path::Path as FilePath;

use api::field::{Errors, Path};
use api::validation::names::dns_subdomain;
use daemon::FlagError;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

use crate::attributes::{Attributes, ResourceAttributes};
use crate::config_file;

/// How much is told of a request, each with what the ones before it tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    None,
    Metadata,
    Request,
    RequestResponse,
}

impl Level {
    pub const ALL: [Self; 4] = [Self::None, Self::Metadata, Self::Request, Self::RequestResponse];

    pub fn name(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Metadata => "Metadata",
            Self::Request => "Request",
            Self::RequestResponse => "RequestResponse",
        }
    }
}

/// When an event is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    RequestReceived,
    /// Of long-running requests: the answer has begun.
    ResponseStarted,
    ResponseComplete,
    Panic,
}

impl Stage {
    const ALL: [Self; 4] = [Self::RequestReceived, Self::ResponseStarted, Self::ResponseComplete, Self::Panic];

    pub fn name(self) -> &'static str {
        match self {
            Self::RequestReceived => "RequestReceived",
            Self::ResponseStarted => "ResponseStarted",
            Self::ResponseComplete => "ResponseComplete",
            Self::Panic => "Panic",
        }
    }
}

/// A set of stages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stages(u8);

impl Stages {
    fn with(self, stage: Stage) -> Self {
        Self(self.0 | 1 << stage as u8)
    }

    fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub fn has(self, stage: Stage) -> bool {
        self.0 & (1 << stage as u8) != 0
    }
}

/// What the policy says of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decided {
    pub level: Level,
    pub omit: Stages,
    pub omit_managed_fields: bool,
}

#[derive(Clone, Debug)]
pub struct Policy {
    rules: Vec<Rule>,
    /// Where no rule matches.
    default: Decided,
}

#[derive(Clone, Debug)]
struct Rule {
    decided: Decided,
    matches: RuleFile,
    resources: Vec<GroupResources>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PolicyFile {
    /// May be there, and says nothing to us.
    #[serde(default, rename = "metadata")]
    _metadata: IgnoredAny,
    #[serde(default)]
    rules: Vec<Value>,
    #[serde(default)]
    omit_stages: Vec<String>,
    #[serde(default)]
    omit_managed_fields: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[derive(Default)]
struct RuleFile {
    level: String,
    users: Vec<String>,
    user_groups: Vec<String>,
    verbs: Vec<String>,
    resources: Vec<Value>,
    namespaces: Vec<String>,
    #[serde(rename = "nonResourceURLs")]
    non_resource_urls: Vec<String>,
    omit_stages: Vec<String>,
    omit_managed_fields: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct GroupResources {
    group: String,
    resources: Vec<String>,
    resource_names: Vec<String>,
}

impl Policy {
    pub fn read(path: &FilePath) -> Result<Self, FlagError> {
        let wrong = |why: String| FlagError::new("audit-policy-file", path.display(), why);
        let value = config_file::read(path).map_err(|error| wrong(error.to_string()))?;
        Self::of(value).map_err(wrong)
    }

    pub fn of(value: Value) -> Result<Self, String> {
        let versions = ["audit.k8s.io/v1"];
        let file: PolicyFile = config_file::document(value, "Policy", &versions)?;
        if file.rules.is_empty() {
            return Err("rules: Required value: a policy without rules tells of nothing".into());
        }
        let mut errors = Errors::default();
        let omit = stages(&file.omit_stages, &Path::new("omitStages"), &mut errors);
        let default = Decided { level: Level::None, omit, omit_managed_fields: file.omit_managed_fields };
        let mut rules = Vec::new();
        let list = Path::new("rules");
        for (at, value) in file.rules.into_iter().enumerate() {
            let path = list.index(at);
            rules.push(rule(value, &path, default, &mut errors)?);
        }
        let wrong: Vec<String> = errors.0.iter().map(ToString::to_string).collect();
        if wrong.is_empty() { Ok(Self { rules, default }) } else { Err(wrong.join(", ")) }
    }

    pub fn decide(&self, attributes: &Attributes) -> Decided {
        self.rules.iter().find(|rule| rule.matches(attributes)).map_or(self.default, |rule| rule.decided)
    }
}

/// A part of the file, or what is wrong with it and where.
fn part<T: DeserializeOwned>(value: Value, path: &Path<'_>) -> Result<T, String> {
    T::deserialize(value).map_err(|why| format!("{path}: {why}"))
}

fn rule(value: Value, path: &Path<'_>, default: Decided, errors: &mut Errors) -> Result<Rule, String> {
    let mut matches: RuleFile = part(value, path)?;
    let place = path.child("level");
    let level = match Level::ALL.into_iter().find(|level| level.name() == matches.level) {
        Some(level) => level,
        None if matches.level.is_empty() => {
            errors.required(&place, "");
            Level::None
        }
        None => {
            errors.not_supported(&place, &matches.level, &Level::ALL.map(Level::name));
            Level::None
        }
    };
    let urls = path.child("nonResourceURLs");
    for (at, url) in matches.non_resource_urls.iter().enumerate() {
        check_url(url, &urls.index(at), errors);
    }
    let list = path.child("resources");
    let mut resources = Vec::new();
    for (at, value) in std::mem::take(&mut matches.resources).into_iter().enumerate() {
        let place = list.index(at);
        let one: GroupResources = part(value, &place)?;
        if !one.group.is_empty() && one.group != "*" {
            errors.extend(&place.child("group"), &one.group, dns_subdomain(&one.group));
        }
        if !one.resource_names.is_empty() && one.resources.is_empty() {
            let why = "using resourceNames requires at least one resource";
            errors.invalid(&place.child("resourceNames"), one.resource_names.clone(), why);
        }
        resources.push(one);
    }
    let both = !resources.is_empty() || !matches.namespaces.is_empty();
    if !matches.non_resource_urls.is_empty() && both {
        let why = "rules cannot apply to both regular resources and non-resource URLs";
        errors.invalid(&urls, matches.non_resource_urls.clone(), why);
    }
    let omit = stages(&matches.omit_stages, &path.child("omitStages"), errors).and(default.omit);
    let omit_managed_fields = matches.omit_managed_fields.unwrap_or(default.omit_managed_fields);
    Ok(Rule { decided: Decided { level, omit, omit_managed_fields }, matches, resources })
}

fn check_url(url: &str, place: &Path<'_>, errors: &mut Errors) {
    if url == "*" {
        return;
    }
    if !url.starts_with('/') {
        errors.invalid(place, url, "non-resource URL rules must begin with a '/' character");
    }
    if url.strip_suffix('*').unwrap_or(url).contains('*') {
        errors.invalid(place, url, "non-resource URL wildcards '*' must be the final character of the rule");
    }
}

fn stages(names: &[String], path: &Path<'_>, errors: &mut Errors) -> Stages {
    let mut stages = Stages::default();
    for (at, name) in names.iter().enumerate() {
        match Stage::ALL.into_iter().find(|stage| stage.name() == name) {
            Some(stage) => stages = stages.with(stage),
            None => {
                let allowed = Stage::ALL.map(Stage::name).join(",");
                errors.invalid(&path.index(at), name.as_str(), format!("allowed stages are {allowed}"));
            }
        }
    }
    stages
}

fn has(list: &[String], value: &str) -> bool {
    list.iter().any(|one| one == value)
}

impl Rule {
    fn matches(&self, attributes: &Attributes) -> bool {
        let (rule, user) = (&self.matches, &attributes.user);
        if !rule.users.is_empty() && !has(&rule.users, &user.name) {
            return false;
        }
        if !rule.user_groups.is_empty() && !user.groups.iter().any(|group| has(&rule.user_groups, group)) {
            return false;
        }
        if !rule.verbs.is_empty() && !has(&rule.verbs, &attributes.verb) {
            return false;
        }
        if !rule.namespaces.is_empty() || !self.resources.is_empty() {
            let Some(about) = &attributes.resource else { return false };
            return (rule.namespaces.is_empty() || has(&rule.namespaces, &about.namespace))
                && (self.resources.is_empty() || self.resources.iter().any(|one| one.matches(about)));
        }
        if rule.non_resource_urls.is_empty() {
            return true;
        }
        let path = attributes.path.as_str();
        let named = |url: &String| url == path || url.strip_suffix('*').is_some_and(|start| path.starts_with(start));
        attributes.resource.is_none() && rule.non_resource_urls.iter().any(named)
    }
}

impl GroupResources {
    fn matches(&self, about: &ResourceAttributes) -> bool {
        if self.group != about.group && self.group != "*" {
            return false;
        }
        if self.resources.is_empty() {
            return true;
        }
        if !self.resource_names.is_empty() && !has(&self.resource_names, &about.name) {
            return false;
        }
        self.resources.iter().any(|named| match named.split_once('/') {
            None => named == "*" || (about.subresource.is_empty() && *named == about.resource),
            Some((resource, "*")) => resource == about.resource,
            Some(("*", sub)) => !about.subresource.is_empty() && sub == about.subresource,
            Some((resource, sub)) => resource == about.resource && sub == about.subresource,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::attributes::User;
    use crate::request::Query;

    fn policy(text: &str) -> Result<Policy, String> {
        Policy::of(config_file::parse(format!("apiVersion: audit.k8s.io/v1\nkind: Policy\n{text}").as_bytes())?)
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let policy = policy(
            "omitStages: [RequestReceived]\nomitManagedFields: true\nrules:\n\
             - {level: None, users: [eve], verbs: [watch]}\n\
             - {level: None, userGroups: [system:nodes], resources: [{group: '', resources: [nodes, nodes/status]}]}\n\
             - {level: RequestResponse, resources: [{group: '', resources: [pods]}], omitManagedFields: false}\n\
             - {level: Metadata, resources: [{group: '', resources: [pods/log, '*/status']}]}\n\
             - {level: Request, resources: [{group: '', resources: [configmaps/*], resourceNames: [c]}], namespaces: [x]}\n\
             - {level: None, nonResourceURLs: ['/healthz*', /version]}\n\
             - {level: Request, resources: [{group: '*', resources: ['*'], resourceNames: [only]}]}\n\
             - {level: Metadata, namespaces: ['']}\n\
             - {level: Metadata, nonResourceURLs: ['*'], omitStages: [ResponseStarted]}\n",
        )
        .unwrap();
        let level = |name: &str, group: &str, method: &str, target: &str| {
            let (path, query) = target.split_once('?').unwrap_or((target, ""));
            let user = User { name: name.into(), groups: vec![group.into()], ..User::default() };
            let query = Query::parse(Some(query));
            policy.decide(&Attributes::of_request(Arc::new(user), &method.parse().unwrap(), path, &query))
        };
        for (name, group, method, target, expected) in [
            ("eve", "", "GET", "/api/v1/namespaces/x/pods?watch=1", Level::None),
            ("ann", "", "GET", "/api/v1/namespaces/x/pods?watch=1", Level::RequestResponse),
            ("n", "system:nodes", "PATCH", "/api/v1/nodes/n/status", Level::None),
            ("n", "other", "PATCH", "/api/v1/nodes/n/status", Level::Metadata),
            ("n", "", "GET", "/api/v1/namespaces/x/pods/p/log", Level::Metadata),
            ("n", "", "GET", "/api/v1/namespaces/x/pods/p/exec", Level::None),
            ("n", "", "GET", "/api/v1/namespaces/x/configmaps/c", Level::Request),
            ("n", "", "GET", "/api/v1/namespaces/y/configmaps/c", Level::None),
            ("n", "", "GET", "/apis/apps/v1/namespaces/y/deployments/only", Level::Request),
            ("n", "", "GET", "/apis/apps/v1/namespaces/y/deployments/another", Level::None),
            ("n", "", "GET", "/apis/storage.k8s.io/v1/storageclasses", Level::Metadata),
            ("n", "", "GET", "/healthz/ping", Level::None),
            ("n", "", "GET", "/version", Level::None),
            ("n", "", "GET", "/versions", Level::Metadata),
        ] {
            assert_eq!(level(name, group, method, target).level, expected, "{name} {method} {target}");
        }
        let decided = level("ann", "", "GET", "/metrics");
        assert!(decided.omit.has(Stage::RequestReceived) && decided.omit.has(Stage::ResponseStarted));
        assert!(!decided.omit.has(Stage::ResponseComplete) && decided.omit_managed_fields);
        assert!(!level("ann", "", "GET", "/api/v1/namespaces/x/pods/p").omit_managed_fields);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_field() {
        for (text, expected) in [
            ("rules: []", "rules: Required value: a policy without rules tells of nothing"),
            ("rules: [{}]", "rules[0].level: Required value"),
            ("rules: [{level: Some}]", "rules[0].level: Unsupported value: \"Some\""),
            ("rules: [{level: None, user: [x]}]", "rules[0]: unknown field `user`"),
            ("rules: [{level: None, users: x}]", "rules[0]: invalid type"),
            ("rules: [{level: None, resources: [{resource: [x]}]}]", "rules[0].resources[0]: unknown field `resource`"),
            (
                "rules: [{level: None, resources: [{group: a/v1}]}]",
                "rules[0].resources[0].group: Invalid value: \"a/v1\"",
            ),
            (
                "rules: [{level: None, resources: [{resourceNames: [x]}]}]",
                "rules[0].resources[0].resourceNames: Invalid value: [\"x\"]: using resourceNames requires at least one resource",
            ),
            (
                "rules: [{level: None, nonResourceURLs: [/x], namespaces: [x]}]",
                "rules[0].nonResourceURLs: Invalid value: [\"/x\"]: rules cannot apply to both regular resources and non-resource URLs",
            ),
            (
                "rules: [{level: None, nonResourceURLs: [x]}]",
                "rules[0].nonResourceURLs[0]: Invalid value: \"x\": non-resource URL rules must begin with a '/' character",
            ),
            (
                "rules: [{level: None, nonResourceURLs: ['/x*y']}]",
                "rules[0].nonResourceURLs[0]: Invalid value: \"/x*y\": non-resource URL wildcards '*' must be the final character of the rule",
            ),
            (
                "rules: [{level: None}]\nomitStages: [X]",
                "omitStages[0]: Invalid value: \"X\": allowed stages are RequestReceived,ResponseStarted,ResponseComplete,Panic",
            ),
            ("rules: [{level: None}]\nrules: []", "duplicate field \"rules\""),
        ] {
            let why = policy(text).unwrap_err();
            assert!(why.starts_with(expected), "{text}: {why}");
        }
        assert!(Policy::of(serde_json::json!({"kind": "Policy", "apiVersion": "audit.k8s.io/v1beta1"})).is_err());
    }
}
