//! What a command line names: `TYPE`, `TYPE NAME…`, `TYPE/NAME…`, `TYPE,TYPE`, `-f FILE`, with selectors.

use clap::Args;
use serde_json::Value;

use crate::error::{Error, Result, fail};
use crate::resources::{Discovery, Resource};
use crate::rest::Query;
use crate::session::{Item, Session};

const SLASHES: &str = "there is no need to specify a resource type as a separate argument when passing arguments in \
    resource/name form (e.g. 'kubectl get resource/<resource_name>' instead of 'kubectl get resource resource/<resource_name>'";

#[derive(Args, Clone, Debug, Default)]
pub struct Files {
    /// A file, folder or - for standard input; may be repeated
    #[arg(short, long = "filename", value_name = "FILE")]
    pub filename: Vec<String>,
    /// Read the folders of -f with all folders in them
    #[arg(short = 'R', long)]
    pub recursive: bool,
}

impl Files {
    pub fn read(&self) -> Result<Vec<crate::manifest::Manifest>> {
        crate::manifest::read(&self.filename, self.recursive)
    }
}

#[derive(Args, Clone, Debug, Default)]
pub struct Selectors {
    /// Only objects whose labels match, such as app=x,tier!=y
    #[arg(short = 'l', long, default_value = "", hide_default_value = true)]
    pub selector: String,
    /// Only objects whose fields match, such as metadata.name=x
    #[arg(long, default_value = "", hide_default_value = true)]
    pub field_selector: String,
}

impl Selectors {
    pub fn is_empty(&self) -> bool {
        self.selector.is_empty() && self.field_selector.is_empty()
    }

    pub fn query(&self) -> Query {
        Query::new().with_some("labelSelector", &self.selector).with_some("fieldSelector", &self.field_selector)
    }
}

/// What the arguments name of one resource.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    One { resource: Resource, name: String },
    All { resource: Resource },
}

impl Target {
    pub fn resource(&self) -> &Resource {
        match self {
            Self::One { resource, .. } | Self::All { resource } => resource,
        }
    }
}

/// Is wrong in any discovery, so it can be said before the server is asked.
pub fn check(arguments: &[String]) -> Result<()> {
    let slashes = arguments.iter().filter(|a| a.contains('/')).count();
    if slashes > 0 && slashes < arguments.len() { fail(SLASHES) } else { Ok(()) }
}

pub fn parse(discovery: &Discovery, arguments: &[String]) -> Result<Vec<Target>> {
    check(arguments)?;
    let Some(first) = arguments.first() else { return Ok(Vec::new()) };
    let mut targets = Vec::new();
    if first.contains('/') {
        for argument in arguments {
            match argument.split('/').collect::<Vec<_>>()[..] {
                [kind, name] if !kind.is_empty() && !name.is_empty() => {
                    targets.push(Target::One { resource: discovery.find(kind)?.clone(), name: name.to_owned() });
                }
                [_, _] => {
                    return fail("arguments in resource/name form must have a single resource and name".to_owned());
                }
                _ => return fail("arguments in resource/name form may not have more than one slash"),
            }
        }
        return Ok(targets);
    }
    for resource in discovery.find_list(first)? {
        match &arguments[1..] {
            [] => targets.push(Target::All { resource: resource.clone() }),
            names => {
                let one = |name: &String| Target::One { resource: resource.clone(), name: name.clone() };
                targets.extend(names.iter().map(one));
            }
        }
    }
    Ok(targets)
}

/// How the objects for a command that changes some are found.
pub struct Finder<'a> {
    pub session: &'a Session,
    pub files: &'a Files,
    pub arguments: &'a [String],
    pub selectors: &'a Selectors,
    /// `--all`, or a selector: a type alone means all of it.
    pub all: bool,
    pub all_namespaces: bool,
}

impl Finder<'_> {
    /// The objects as the server has them. Failures are told beside what was found, so that a command can go on.
    pub async fn find(&self) -> Result<(Vec<Item>, Vec<Error>)> {
        let (mut items, mut errors) = self.named().await?;
        for item in &mut items {
            // From a file or by name: the server's state is read; lists have it already.
            if item.object.get("metadata").and_then(|m| m.get("resourceVersion")).is_none() {
                match self.session.client.get(&item.path()).await {
                    Ok(object) => item.object = object,
                    Err(error) => {
                        item.object = Value::Null;
                        errors.push(error);
                    }
                }
            }
        }
        items.retain(|item| !item.object.is_null());
        Ok((items, errors))
    }

    /// The objects as they are named; those of a list are read with it, others carry what the file says or nothing.
    pub async fn named(&self) -> Result<(Vec<Item>, Vec<Error>)> {
        check(self.arguments)?;
        let session = self.session;
        if !self.files.filename.is_empty() {
            if !self.arguments.is_empty() {
                return fail(
                    "when paths, URLs, or stdin is provided as input, you may not specify resource arguments as well",
                );
            }
            return Ok(session.items_of(self.files.read()?).await);
        }
        if self.arguments.is_empty() {
            return fail(
                "You must provide one or more resources by argument or filename.\nExample resource specifications include:\n   \
                 '-f rsrc.yaml'\n   '--filename=rsrc.json'\n   '<resource> <name>'\n   '<resource>'",
            );
        }
        let mut items = Vec::new();
        let mut errors = Vec::new();
        for target in parse(session.discovery().await?, self.arguments)? {
            let namespace = |resource: &Resource| match resource.namespaced && !self.all_namespaces {
                true => session.namespace.clone(),
                false => String::new(),
            };
            match target {
                Target::One { .. } if !self.selectors.is_empty() => {
                    return fail("name cannot be provided when a selector is specified");
                }
                Target::One { .. } if self.all_namespaces => {
                    return fail("a resource cannot be retrieved by name across all namespaces");
                }
                Target::One { resource, name } => {
                    let namespace = namespace(&resource);
                    items.push(Item { resource, namespace, name, source: String::new(), object: Value::Null });
                }
                Target::All { .. } if !self.all && self.selectors.is_empty() => {
                    return fail("resource(s) were provided, but no name was specified");
                }
                Target::All { resource } => {
                    match list(session, &resource, &namespace(&resource), &self.selectors.query()).await {
                        Ok(found) => items.extend(found),
                        Err(error) => errors.push(error),
                    }
                }
            }
        }
        Ok((items, errors))
    }
}

/// All objects of a resource, page by page. Items of a list lack their type, which is put back.
pub async fn list(session: &Session, resource: &Resource, namespace: &str, query: &Query) -> Result<Vec<Item>> {
    let mut items = Vec::new();
    let mut next = String::new();
    loop {
        let path = query.clone().with("limit", "500").with_some("continue", &next).on(&resource.collection(namespace));
        let mut page = session.client.get(&path).await.map_err(|e| unmatched(e, resource, query))?;
        let found = page["items"].as_array_mut().map(std::mem::take).unwrap_or_default();
        items.extend(found.into_iter().map(|object| listed(resource, object)));
        next = page["metadata"]["continue"].as_str().unwrap_or("").to_owned();
        if next.is_empty() {
            return Ok(items);
        }
    }
}

/// Says what was looked for.
pub fn unmatched(error: Error, resource: &Resource, query: &Query) -> Error {
    let of = |name: &str| query.value(name).unwrap_or("").to_owned();
    let (labels, fields) = (of("labelSelector"), of("fieldSelector"));
    match error {
        Error::Refused(mut refusal)
            if !(labels.is_empty() && fields.is_empty()) && matches!(refusal.code, 400 | 404) =>
        {
            let version =
                if resource.group.is_empty() { format!("/{}", resource.version) } else { resource.api_version() };
            refusal.message = format!(
                "Unable to find {:?} that match label selector {labels:?}, field selector {fields:?}: {}",
                format!("{version}, Resource={}", resource.plural),
                refusal.message
            );
            Error::Refused(refusal)
        }
        other => other,
    }
}

fn listed(resource: &Resource, mut object: Value) -> Item {
    object["apiVersion"] = resource.api_version().into();
    object["kind"] = resource.kind.clone().into();
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or("").to_owned();
    let (namespace, name) = (text("namespace"), text("name"));
    Item { resource: resource.clone(), namespace, name, source: String::new(), object }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::sample;

    fn told(arguments: &[&str]) -> String {
        let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
        match parse(&sample(), &arguments) {
            Err(error) => error.to_string(),
            Ok(targets) => {
                let one = |target: &Target| match target {
                    Target::One { resource, name } => format!("{}/{name}", resource.plural),
                    Target::All { resource } => resource.plural.clone(),
                };
                targets.iter().map(one).collect::<Vec<_>>().join(" ")
            }
        }
    }

    #[test]
    fn arguments_name_objects() {
        for (arguments, expected) in [
            (&["po"][..], "pods"),
            (&["all"], "pods services"),
            (&["po,svc"], "pods services"),
            (&["po", "a", "b"], "pods/a pods/b"),
            (&["po,svc", "a"], "pods/a services/a"),
            (&["po/a", "svc/b"], "pods/a services/b"),
            (&["po/a", "svc"], SLASHES),
            (&["po/"], "arguments in resource/name form must have a single resource and name"),
            (&["po/a/b"], "arguments in resource/name form may not have more than one slash"),
            (&["nopes"], "the server doesn't have a resource type \"nopes\""),
        ] {
            assert_eq!(told(arguments), expected, "{arguments:?}");
        }
    }
}
