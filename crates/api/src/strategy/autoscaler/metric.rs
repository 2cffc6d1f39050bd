//! What an autoscaler looks at.

use crate::field::{Errors, Path};
use crate::quantity::Quantity;
use crate::validation::{self, checks, names};
use k8s_openapi::api::autoscaling::v2::{CrossVersionObjectReference, MetricIdentifier, MetricSpec, MetricTarget};

const KINDS: [&str; 5] = ["ContainerResource", "External", "Object", "Pods", "Resource"];
const MISSING: &str = "must populate information for the given metric source";

pub(super) fn validate(spec: &MetricSpec, path: &Path<'_>, errors: &mut Errors) {
    let kind = spec.type_.as_str();
    checks::supported(kind, &KINDS, &path.child("type"), errors);
    let sources = [
        ("ContainerResource", "containerResource", spec.container_resource.is_some()),
        ("External", "external", spec.external.is_some()),
        ("Object", "object", spec.object.is_some()),
        ("Pods", "pods", spec.pods.is_some()),
        ("Resource", "resource", spec.resource.is_some()),
    ];
    for (of, field, set) in sources {
        if of == kind && !set {
            errors.required(&path.child(field), MISSING);
        } else if of != kind && set {
            errors.forbidden(&path.child(field), "must populate the given metric source only");
        }
    }
    if let Some(object) = &spec.object {
        let path = path.child("object");
        described(&object.described_object, &path.child("describedObject"), errors);
        identified(&object.metric, &path.child("metric"), errors);
        value(&object.target, &path.child("target"), errors);
    }
    if let Some(external) = &spec.external {
        let path = path.child("external");
        identified(&external.metric, &path.child("metric"), errors);
        value(&external.target, &path.child("target"), errors);
    }
    if let Some(pods) = &spec.pods {
        let path = path.child("pods");
        identified(&pods.metric, &path.child("metric"), errors);
        let path = path.child("target");
        target(&pods.target, &path, errors);
        if !positive(pods.target.average_value.as_ref().map(|amount| &amount.0)) {
            errors.required(&path.child("averageValue"), "must specify a positive target averageValue");
        }
    }
    if let Some(resource) = &spec.resource {
        let path = path.child("resource");
        checks::required(&resource.name, &path.child("name"), errors);
        utilization(&resource.target, &path.child("target"), errors);
    }
    if let Some(resource) = &spec.container_resource {
        let path = path.child("containerResource");
        checks::required(&resource.name, &path.child("name"), errors);
        checks::required(&resource.container, &path.child("container"), errors);
        utilization(&resource.target, &path.child("target"), errors);
    }
}

fn described(object: &CrossVersionObjectReference, path: &Path<'_>, errors: &mut Errors) {
    checks::named(&object.kind, names::path_segment, &path.child("kind"), errors);
    checks::named(&object.name, names::path_segment, &path.child("name"), errors);
}

fn identified(metric: &MetricIdentifier, path: &Path<'_>, errors: &mut Errors) {
    checks::named(&metric.name, names::path_segment, &path.child("name"), errors);
    validation::label_selector(metric.selector.as_ref(), &path.child("selector"), errors);
}

fn positive(amount: Option<&String>) -> bool {
    let amount = amount.and_then(|amount| amount.parse::<Quantity>().ok());
    amount.is_some_and(|amount| !amount.is_zero() && !amount.is_negative())
}

/// What every target has to hold to.
fn target(target: &MetricTarget, path: &Path<'_>, errors: &mut Errors) {
    checks::supported(&target.type_, &["AverageValue", "Utilization", "Value"], &path.child("type"), errors);
    for (field, amount) in [("value", &target.value), ("averageValue", &target.average_value)] {
        if let Some(amount) = amount.as_ref().filter(|amount| !positive(Some(&amount.0))) {
            errors.invalid(&path.child(field), amount.0.as_str(), "must be positive");
        }
    }
    if let Some(percent) = target.average_utilization.filter(|percent| *percent < 1) {
        errors.invalid(&path.child("averageUtilization"), percent, "must be greater than 0");
    }
}

fn value(of: &MetricTarget, path: &Path<'_>, errors: &mut Errors) {
    target(of, path, errors);
    match (&of.value, &of.average_value) {
        (None, None) => {
            errors
                .required(&path.child("averageValue"), "must set either a target value for metric or a per-pod target");
        }
        (Some(_), Some(_)) => {
            let why = "may not set both a target value for metric and a per-pod target";
            errors.forbidden(&path.child("value"), why);
        }
        _ => {}
    }
}

fn utilization(of: &MetricTarget, path: &Path<'_>, errors: &mut Errors) {
    target(of, path, errors);
    match (of.average_utilization, &of.average_value) {
        (None, None) => {
            let why = "must set either a target raw value or a target utilization";
            errors.required(&path.child("averageUtilization"), why);
        }
        (Some(_), Some(_)) => {
            let why = "may not set both a target raw value and a target utilization";
            errors.forbidden(&path.child("averageValue"), why);
        }
        _ => {}
    }
}
