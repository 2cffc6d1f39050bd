//! `metav1.ListOptions`: what a list or a watch asks for, and which parameters go together.

use api::catalog::Style;
use api::field::{Errors, Path};
use api::selector::{FieldSelector, Selector};
use api::status::Status;

use super::Request;
use crate::registry::{ListOptions, Target, VersionMatch};

const MATCH: Path<'_> = Path::new("resourceVersionMatch");
const INITIAL: Path<'_> = Path::new("sendInitialEvents");

pub(super) fn selectors(request: &Request, target: &Target) -> Result<(Selector, FieldSelector), Status> {
    // The oldest version calls them otherwise.
    let text = |name: &str, old: &str| match request.query.text(name) {
        "" if target.form().form.style == Style::Flat => request.query.text(old).to_owned(),
        text => text.to_owned(),
    };
    let labels = text("labelSelector", "labels").parse::<Selector>();
    let fields = text("fieldSelector", "fields").parse::<FieldSelector>();
    let labels = labels.map_err(|e| Status::bad_request(format!("unable to parse labelSelector: {e}")))?;
    let fields = fields.map_err(|e| Status::bad_request(format!("unable to parse fieldSelector: {e}")))?;
    Ok((labels, fields))
}

fn invalid(errors: &Errors) -> Result<(), Status> {
    if errors.is_empty() { Ok(()) } else { Err(Status::invalid("meta.k8s.io", "ListOptions", "", errors)) }
}

/// Of a list, or of the deletion of one.
pub(super) fn of_list(request: &Request, target: &Target) -> Result<ListOptions, Status> {
    let (labels, fields) = selectors(request, target)?;
    let text = |name: &str| request.query.text(name);
    let (version, continued, matching) = (text("resourceVersion"), text("continue"), text("resourceVersionMatch"));
    let mut errors = Errors::default();
    if !request.query.list("sendInitialEvents").is_empty() {
        errors.forbidden(&INITIAL, "sendInitialEvents is forbidden for list");
    }
    let version_match = match matching {
        "" | "NotOlderThan" => VersionMatch::NotOlderThan,
        "Exact" => VersionMatch::Exact,
        other => {
            errors.not_supported(&MATCH, other, &["Exact", "NotOlderThan", ""]);
            VersionMatch::NotOlderThan
        }
    };
    if !matching.is_empty() {
        if version.is_empty() {
            errors.forbidden(&MATCH, "resourceVersionMatch is forbidden unless resourceVersion is provided");
        }
        if !continued.is_empty() {
            errors.forbidden(&MATCH, "resourceVersionMatch is forbidden when continue is provided");
        }
        if version_match == VersionMatch::Exact && version == "0" {
            errors.forbidden(&MATCH, "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
        }
    }
    invalid(&errors)?;
    if !continued.is_empty() && !matches!(version, "" | "0") {
        return Err(Status::bad_request("specifying resource version is not allowed when using continue"));
    }
    Ok(ListOptions {
        labels,
        fields,
        version: request.query.number("resourceVersion")?,
        version_match,
        limit: usize::try_from(request.query.number("limit")?.unwrap_or(0)).unwrap_or(0),
        continued: continued.to_owned(),
    })
}

/// Whether a watch begins with what is there.
pub(super) fn initial_events(request: &Request) -> Result<bool, Status> {
    let matching = request.query.text("resourceVersionMatch");
    let given = !request.query.list("sendInitialEvents").is_empty();
    let mut errors = Errors::default();
    if given && matching != "NotOlderThan" {
        errors.forbidden(&INITIAL, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
    }
    match matching {
        "" => {}
        "NotOlderThan" if given => {}
        "NotOlderThan" | "Exact" => {
            errors
                .forbidden(&MATCH, "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided");
        }
        other => errors.not_supported(&MATCH, other, &["NotOlderThan"]),
    }
    if !request.query.text("continue").is_empty() && given {
        errors.forbidden(&Path::new("continue"), "continue is forbidden for watch with sendInitialEvents");
    }
    invalid(&errors)?;
    Ok(request.query.flag("sendInitialEvents"))
}
