//! Subresources: name, verbs, body and handler, in one row each. The handlers that are pure stand here; what needs I/O is named
//! here and done by kube-apiserver.

use serde_json::{Value, json};

use crate::conversion;
use crate::field::Errors;
use crate::meta::{self, metadata_mut, object_mut};
use crate::selector::Selector;
use crate::strategy;

/// Group, version and kind.
pub type Kind = (&'static str, &'static str, &'static str);

#[derive(Clone, Copy, Debug)]
pub struct Subresource {
    pub name: &'static str,
    pub verbs: &'static [&'static str],
    /// What is sent and answered, where it is not the resource's own kind.
    pub body: Option<Kind>,
    pub handler: Handler,
}

#[derive(Clone, Copy, Debug)]
pub enum Handler {
    /// Another way to see and write the object.
    View(View),
    /// Assigns a pod to a node.
    Bind,
    /// A request that changes the object: the object as it is, and the request.
    Ask(fn(&Value, &Value) -> Value),
    /// What a container has printed. Takes over the connection.
    Logs,
    /// A new token for a service account.
    Token,
}

/// Something that is read out of the object, and written back into it.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// `None`: the object as it is.
    show: Option<fn(&Value) -> Value>,
    /// The object as it is with what the view may change of what the client sent.
    take: fn(&Value, &Value) -> Value,
    pub rules: Rules,
}

/// What an update of an object has to hold to.
#[derive(Clone, Copy, Debug)]
pub enum Rules {
    /// All that the strategy knows of the object; its status is kept.
    Object,
    /// The strategy's rules for the status.
    Status,
    /// Those of this part of the object alone; the new object comes before the old one.
    Part(fn(&Value, &Value, &mut Errors)),
    /// The change comes from code that has checked it.
    Checked,
}

impl View {
    pub fn show(&self, object: &Value) -> Value {
        self.show.map_or_else(|| object.clone(), |show| show(object))
    }

    /// The changed object. Name, version and uid are the client's, so that the caller can compare them with what is there.
    pub fn take(&self, object: &Value, sent: &Value) -> Value {
        let mut taken = (self.take)(object, sent);
        for field in ["name", "namespace", "resourceVersion", "uid"] {
            let metadata = metadata_mut(&mut taken);
            match sent.get("metadata").and_then(|metadata| metadata.get(field)) {
                Some(value) => metadata.insert(field.into(), value.clone()),
                None => metadata.remove(field),
            };
        }
        taken
    }
}

const GET_AND_WRITE: &[&str] = &["get", "patch", "update"];

pub const STATUS: Subresource = Subresource {
    name: "status",
    verbs: GET_AND_WRITE,
    body: None,
    handler: Handler::View(View { show: None, take: with_status, rules: Rules::Status }),
};

pub const FINALIZE: Subresource = Subresource {
    name: "finalize",
    verbs: &["update"],
    body: None,
    handler: Handler::View(View { show: None, take: with_finalizers, rules: Rules::Checked }),
};

/// The one of replication controllers, whose selector is a map.
pub const SCALE: Subresource = Subresource {
    name: "scale",
    verbs: GET_AND_WRITE,
    body: Some(("autoscaling", "v1", "Scale")),
    handler: Handler::View(View { show: Some(scale_of), take: with_replicas, rules: Rules::Object }),
};

/// The one of kinds whose selector is a `LabelSelector`.
pub const SELECTOR_SCALE: Subresource = Subresource {
    handler: Handler::View(View { show: Some(selector_scale_of), take: with_replicas, rules: Rules::Object }),
    ..SCALE
};

/// Those of versions in which a scale had a form of its own.
pub const EXTENSIONS_SCALE: Subresource = Subresource {
    body: Some(("extensions", "v1beta1", "Scale")),
    handler: old_scale_view(|object| old_scale(selector_scale_of(object), "extensions/v1beta1")),
    ..SCALE
};
pub const EXTENSIONS_CONTROLLER_SCALE: Subresource = Subresource {
    handler: old_scale_view(|object| old_scale(scale_of(object), "extensions/v1beta1")),
    ..EXTENSIONS_SCALE
};
pub const SCALE_V1BETA1: Subresource = Subresource {
    body: Some(("apps", "v1beta1", "Scale")),
    handler: old_scale_view(|object| old_scale(selector_scale_of(object), "apps/v1beta1")),
    ..SCALE
};
pub const SCALE_V1BETA2: Subresource = Subresource {
    body: Some(("apps", "v1beta2", "Scale")),
    handler: old_scale_view(|object| old_scale(selector_scale_of(object), "apps/v1beta2")),
    ..SCALE
};

const fn old_scale_view(show: fn(&Value) -> Value) -> Handler {
    Handler::View(View { show: Some(show), take: with_replicas, rules: Rules::Object })
}

/// Asks a deployment to go back to what it was.
pub const EXTENSIONS_ROLLBACK: Subresource = Subresource {
    name: "rollback",
    verbs: &["create"],
    body: Some(("extensions", "v1beta1", "DeploymentRollback")),
    handler: Handler::Ask(conversion::apps::roll_back),
};
pub const ROLLBACK_V1BETA1: Subresource =
    Subresource { body: Some(("apps", "v1beta1", "DeploymentRollback")), ..EXTENSIONS_ROLLBACK };

/// What is added to a pod that runs, to look into it.
pub const EPHEMERAL_CONTAINERS: Subresource = Subresource {
    name: "ephemeralcontainers",
    verbs: GET_AND_WRITE,
    body: None,
    handler: Handler::View(View {
        show: None,
        take: with_ephemeral_containers,
        rules: Rules::Part(strategy::validate_ephemeral_containers),
    }),
};

/// What the containers of a pod that runs may use.
pub const RESIZE: Subresource = Subresource {
    name: "resize",
    verbs: GET_AND_WRITE,
    body: None,
    handler: Handler::View(View { show: None, take: with_spec, rules: Rules::Part(strategy::validate_resize) }),
};

/// Whether a certificate may be issued.
pub const APPROVAL: Subresource = Subresource {
    name: "approval",
    verbs: GET_AND_WRITE,
    body: None,
    handler: Handler::View(View {
        show: None,
        take: strategy::with_approval,
        rules: Rules::Part(strategy::validate_approval),
    }),
};

/// The status of a certificate signing request: whether it is approved is not the signer's to say.
pub const CSR_STATUS: Subresource = Subresource {
    handler: Handler::View(View { show: None, take: with_status_but_approval, rules: Rules::Status }),
    ..STATUS
};

pub const BINDING: Subresource =
    Subresource { name: "binding", verbs: &["create"], body: Some(("", "v1", "Binding")), handler: Handler::Bind };

pub const TOKEN: Subresource = Subresource {
    name: "token",
    verbs: &["create"],
    body: Some(("authentication.k8s.io", "v1", "TokenRequest")),
    handler: Handler::Token,
};

pub const LOG: Subresource = Subresource { name: "log", verbs: &["get"], body: None, handler: Handler::Logs };

/// The status, labels and annotations, and nothing else.
fn with_status(object: &Value, sent: &Value) -> Value {
    let mut result = object.clone();
    let fields = result.as_object_mut().expect("what is stored is an object");
    match sent.get("status") {
        Some(status) => fields.insert("status".into(), status.clone()),
        None => fields.remove("status"),
    };
    for field in ["labels", "annotations"] {
        match sent.get("metadata").and_then(|metadata| metadata.get(field)) {
            Some(value) => metadata_mut(&mut result).insert(field.into(), value.clone()),
            None => metadata_mut(&mut result).remove(field),
        };
    }
    result
}

fn with_status_but_approval(object: &Value, sent: &Value) -> Value {
    let mut result = with_status(object, sent);
    strategy::keep_approval(&mut result, object);
    result
}

fn with_ephemeral_containers(object: &Value, sent: &Value) -> Value {
    with_field_of_spec(object, sent, "ephemeralContainers")
}

fn with_field_of_spec(object: &Value, sent: &Value, field: &str) -> Value {
    let mut result = object.clone();
    match sent.get("spec").and_then(|spec| spec.get(field)) {
        Some(value) => drop(object_mut(&mut result, "spec").insert(field.into(), value.clone())),
        None if object.get("spec").is_some() => drop(object_mut(&mut result, "spec").remove(field)),
        None => {}
    }
    result
}

/// All of the spec; the rules say what of it may change.
fn with_spec(object: &Value, sent: &Value) -> Value {
    let mut result = object.clone();
    let fields = meta::fields_mut(&mut result);
    match sent.get("spec") {
        Some(spec) => fields.insert("spec".into(), spec.clone()),
        None => fields.remove("spec"),
    };
    result
}

/// What keeps a namespace.
fn with_finalizers(object: &Value, sent: &Value) -> Value {
    with_field_of_spec(object, sent, "finalizers")
}

fn scale_of(object: &Value) -> Value {
    let selector = meta::at(object, "spec.selector").and_then(Value::as_object).into_iter().flatten();
    let selector = selector.map(|(label, value)| format!("{label}={}", value.as_str().unwrap_or("")));
    scale(object, selector.collect::<Vec<_>>().join(","))
}

fn selector_scale_of(object: &Value) -> Value {
    let selector =
        meta::at(object, "spec.selector").and_then(|selector| serde::Deserialize::deserialize(selector).ok());
    let selector = selector.and_then(|selector| Selector::try_from(&selector).ok());
    scale(object, selector.map(|selector| selector.to_string()).unwrap_or_default())
}

fn scale(object: &Value, selector: String) -> Value {
    let mut metadata = json!({});
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        let text = meta::text(object, field);
        if !text.is_empty() {
            metadata[field] = text.into();
        }
    }
    let replicas = |part: &str| meta::at(object, part).and_then(Value::as_i64).unwrap_or(0);
    json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata,
        "spec": {"replicas": replicas("spec.replicas")},
        "status": {"replicas": replicas("status.replicas"), "selector": selector}})
}

/// The selector as text has another name; it is a map too, where a map can say it.
fn old_scale(mut scale: Value, api_version: &str) -> Value {
    scale["apiVersion"] = api_version.into();
    let text = scale["status"]["selector"].take();
    let selector: Option<Selector> = text.as_str().and_then(|text| text.parse().ok());
    let status = object_mut(&mut scale, "status");
    status.remove("selector");
    if let Some(labels) = selector.as_ref().and_then(Selector::as_labels).filter(|labels| !labels.is_empty()) {
        status.insert("selector".into(), json!(labels));
    }
    if text.as_str().is_some_and(|text| !text.is_empty()) {
        status.insert("targetSelector".into(), text);
    }
    scale
}

fn with_replicas(object: &Value, scale: &Value) -> Value {
    let mut result = object.clone();
    let replicas = meta::at(scale, "spec.replicas").and_then(Value::as_i64);
    // Of a configuration that is applied, nothing is said of what it does not say; elsewhere 0 may be left out.
    if replicas.is_some() || object.get("spec").is_some() {
        object_mut(&mut result, "spec").insert("replicas".into(), replicas.unwrap_or(0).into());
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(sub: Subresource) -> View {
        match sub.handler {
            Handler::View(view) => view,
            other => panic!("{other:?} is no view"),
        }
    }

    fn controller() -> Value {
        json!({"kind": "ReplicationController", "apiVersion": "v1",
            "metadata": {"name": "x", "namespace": "n", "uid": "u", "resourceVersion": "7", "labels": {"a": "b"}},
            "spec": {"replicas": 2, "selector": {"a": "b", "c": "d"}}, "status": {"replicas": 1}})
    }

    #[test]
    fn a_scale_is_a_view_of_the_object_and_goes_back_into_it() {
        let mut scale = view(SCALE).show(&controller());
        assert_eq!(scale["spec"], json!({"replicas": 2}));
        assert_eq!(scale["status"], json!({"replicas": 1, "selector": "a=b,c=d"}));
        scale["spec"]["replicas"] = 5.into();
        scale["metadata"]["resourceVersion"] = "6".into();
        let mut expected = controller();
        expected["spec"]["replicas"] = 5.into();
        expected["metadata"]["resourceVersion"] = "6".into();
        assert_eq!(view(SCALE).take(&controller(), &scale), expected);
    }

    #[test]
    fn a_scale_tells_any_selector() {
        let mut set = controller();
        let among = json!({"key": "e", "operator": "In", "values": ["f", "g"]});
        set["spec"]["selector"] = json!({"matchLabels": {"a": "b"}, "matchExpressions": [among]});
        assert_eq!(view(SELECTOR_SCALE).show(&set)["status"]["selector"], "a=b,e in (f,g)");
    }

    #[test]
    fn an_old_scale_tells_the_selector_twice_where_a_map_can_say_it() {
        let mut set = controller();
        set["spec"]["selector"] = json!({"matchLabels": {"a": "b"}});
        let status = &view(EXTENSIONS_SCALE).show(&set)["status"];
        assert_eq!(*status, json!({"replicas": 1, "selector": {"a": "b"}, "targetSelector": "a=b"}));
        let among = json!({"key": "e", "operator": "In", "values": ["f", "g"]});
        set["spec"]["selector"] = json!({"matchExpressions": [among]});
        let status = &view(SCALE_V1BETA2).show(&set)["status"];
        assert_eq!(*status, json!({"replicas": 1, "targetSelector": "e in (f,g)"}));
    }

    #[test]
    fn status_and_finalizers_change_nothing_else() {
        let sent = json!({"metadata": {"name": "x", "labels": {"c": "d"}, "finalizers": ["no"]},
            "spec": {"replicas": 9, "finalizers": ["f"]}, "status": {"replicas": 3}});
        let taken = view(STATUS).take(&controller(), &sent);
        assert_eq!((&taken["status"], &taken["spec"]), (&sent["status"], &controller()["spec"]));
        assert_eq!(taken["metadata"], json!({"name": "x", "labels": {"c": "d"}}));
        let taken = view(FINALIZE).take(&controller(), &sent);
        assert_eq!(taken["spec"], json!({"replicas": 2, "selector": {"a": "b", "c": "d"}, "finalizers": ["f"]}));
        assert_eq!(taken["status"], controller()["status"]);
    }
}
