//! Which pods belong to an owner: by controller reference, and by selector.
use std::sync::Arc;

use super::Owner;
use crate::model::{Pod, controller};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It is the owner's and stays so.
    Keep,
    /// It has no controller, and the selector matches.
    Adopt,
    /// It is the owner's, and the selector does not match any more.
    Release,
}

/// What becomes of each pod; those that are left out are none of the owner's business.
pub fn claims(owner: &Owner, pods: Vec<Arc<Pod>>) -> Vec<(Arc<Pod>, Claim)> {
    let decide = |pod: Arc<Pod>| {
        let matches = owner.selector.matches_option(pod.metadata.labels.as_ref());
        let going = pod.metadata.deletion_timestamp.is_some();
        let claim = match controller(&pod.metadata) {
            Some(other) if other.uid != owner.reference.uid => None,
            Some(_) if matches => Some(Claim::Keep),
            Some(_) => (!owner.deleting).then_some(Claim::Release),
            None => (matches && !owner.deleting && !going).then_some(Claim::Adopt),
        };
        Some((pod, claim?))
    };
    pods.into_iter().filter_map(decide).collect()
}
