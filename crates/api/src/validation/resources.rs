//! The rules for what containers ask for and are limited to.

use std::collections::{BTreeMap, HashSet};

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;

use super::checks::NOT_NEGATIVE;
use super::names;
use crate::field::{Errors, Path};
use crate::quantity::Quantity;

type Amounts = BTreeMap<String, ApiQuantity>;

fn is_huge(name: &str) -> bool {
    name.starts_with("hugepages-")
}

/// Resources of Kubernetes itself may be asked for beyond what there is; all others are handed out whole.
fn overcommits(name: &str) -> bool {
    (!name.contains('/') || name.contains("kubernetes.io/")) && !is_huge(name)
}

/// `claims`: the names of the pod's resource claims.
pub fn validate(resources: &ResourceRequirements, claims: &HashSet<&str>, path: &Path<'_>, errors: &mut Errors) {
    let none = Amounts::new();
    let (limits, requests) = (resources.limits.as_ref().unwrap_or(&none), resources.requests.as_ref().unwrap_or(&none));
    let (limits_path, requests_path) = (path.child("limits"), path.child("requests"));
    amounts(limits, &limits_path, errors);
    amounts(requests, &requests_path, errors);
    for (name, request) in requests {
        let Ok(request) = Quantity::try_from(request) else { continue };
        match limits.get(name).map(Quantity::try_from) {
            Some(Ok(limit)) if request != limit && !overcommits(name) => {
                let why = format!("must be equal to {name} limit of {limit}");
                errors.invalid(&requests_path, request.to_string(), why);
            }
            Some(Ok(limit)) if request > limit => {
                let why = format!("must be less than or equal to {name} limit of {limit}");
                errors.invalid(&requests_path, request.to_string(), why);
            }
            None if !overcommits(name) => {
                errors.required(&limits_path, "Limit must be set for non overcommitable resources");
            }
            _ => {}
        }
    }
    let asks = |wanted: fn(&str) -> bool| limits.keys().chain(requests.keys()).any(|name| wanted(name));
    if asks(is_huge) && !asks(|name| ["cpu", "memory"].contains(&name)) {
        errors.forbidden(path, "HugePages require cpu or memory");
    }
    let mut seen = HashSet::new();
    let list = path.child("claims");
    for (at, claim) in resources.claims.iter().flatten().enumerate() {
        let path = list.index(at);
        if claim.name.is_empty() {
            errors.required(&path.child("name"), "");
        } else if !seen.insert((claim.name.as_str(), claim.request.as_deref())) {
            errors.duplicate(&path, claim.name.as_str());
        } else if !claims.contains(claim.name.as_str()) {
            errors.not_found(&path.child("name"), claim.name.as_str());
        }
    }
}

/// Names and amounts of resources as a container may have them.
pub fn amounts(amounts: &Amounts, path: &Path<'_>, errors: &mut Errors) {
    for (name, amount) in amounts {
        let path = path.key(name);
        errors.extend(&path, name, names::qualified_name(name));
        let standard = ["cpu", "memory", "ephemeral-storage"].contains(&name.as_str()) || is_huge(name);
        if !name.contains('/') && !standard {
            errors.invalid(&path, name.as_str(), "must be a standard resource for containers");
        }
        match Quantity::try_from(amount) {
            Ok(amount) if amount.is_negative() => errors.invalid(&path, amount.to_string(), NOT_NEGATIVE),
            Ok(amount) if !amount.is_integer() && !overcommits(name) => {
                errors.invalid(&path, amount.to_string(), "must be an integer");
            }
            Ok(_) => {}
            Err(error) => errors.invalid(&path, amount.0.as_str(), error.to_string()),
        }
    }
}
