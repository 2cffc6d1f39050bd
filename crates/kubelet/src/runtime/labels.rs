//! The facts of a container's identity as labels, by the names that upstream's Docker integration used where it had one.

use std::collections::HashMap;
use std::time::Duration;

use super::Identity;
use crate::pod::PodRef;

const POD_NAME: &str = "io.kubernetes.pod.name";
const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
pub(super) const POD_UID: &str = "io.kubernetes.pod.uid";
const CONTAINER: &str = "io.kubernetes.container.name";
const HASH: &str = "annotation.io.kubernetes.container.hash";
const RESTART_COUNT: &str = "annotation.io.kubernetes.container.restartCount";
const GRACE: &str = "annotation.io.kubernetes.pod.terminationGracePeriod";
const BACKOFF: &str = "io.pilothouse.container.backoffSeconds";
/// Whose containers these are, where several kubelets share one engine: the kubelet's root directory, which is its alone.
pub(super) const OWNER: &str = "io.pilothouse.kubelet";

pub(super) fn to_labels(identity: &Identity, owner: &str) -> HashMap<String, String> {
    [
        (POD_NAME, identity.pod.name.clone()),
        (POD_NAMESPACE, identity.pod.namespace.clone()),
        (POD_UID, identity.pod.uid.clone()),
        (CONTAINER, identity.container.clone()),
        (HASH, identity.hash.clone()),
        (RESTART_COUNT, identity.restart_count.to_string()),
        (GRACE, identity.grace_seconds.to_string()),
        (BACKOFF, identity.backoff.as_secs().to_string()),
        (OWNER, owner.to_owned()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

/// None: the labels are not a kubelet's. A number that somebody garbled counts as 0.
pub(super) fn from_labels(labels: &HashMap<String, String>) -> Option<Identity> {
    let text = |key: &str| labels.get(key).cloned();
    Some(Identity {
        pod: PodRef { namespace: text(POD_NAMESPACE)?, name: text(POD_NAME)?, uid: text(POD_UID)? },
        container: text(CONTAINER)?,
        hash: text(HASH)?,
        restart_count: number(labels, RESTART_COUNT),
        backoff: Duration::from_secs(number(labels, BACKOFF)),
        grace_seconds: number(labels, GRACE),
    })
}

fn number<T: std::str::FromStr + Default>(labels: &HashMap<String, String>, key: &str) -> T {
    labels.get(key).and_then(|text| text.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_carry_the_whole_identity() {
        let identity = Identity {
            pod: PodRef { namespace: "n".into(), name: "p".into(), uid: "u".into() },
            container: "c".into(),
            hash: "12345678".into(),
            restart_count: 7,
            backoff: Duration::from_secs(40),
            grace_seconds: 30,
        };
        assert_eq!(from_labels(&to_labels(&identity, "/var/lib/kubelet")), Some(identity));
        assert_eq!(from_labels(&HashMap::from([(POD_NAME.to_owned(), "p".to_owned())])), None);
    }
}
