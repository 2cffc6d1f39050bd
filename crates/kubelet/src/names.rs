//! Names and hashes of containers as Docker shows them: `k8s_<container>.<spec hash>_<pod>_<namespace>_<uid>_<random>`.

use k8s_openapi::api::core::v1::Container;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::pod::PodRef;

/// Eight hexadecimal digits of what the value says; equal values have equal hashes.
pub fn hash(value: &impl Serialize) -> String {
    let json = serde_json::to_vec(value).expect("a spec is always JSON");
    Sha256::digest(json)[..4].iter().map(|b| format!("{b:02x}")).collect()
}

/// What a container must be restarted for when it changes. Not the whole spec: a newer API server that defaults one more
/// field must not restart every container.
pub fn identity_hash(container: &Container) -> String {
    hash(&(&container.name, &container.image))
}

/// The name in Docker. The last part makes every attempt's name its own, so no leftover can be in the way.
pub fn docker_name(container: &str, spec_hash: &str, pod: &PodRef) -> String {
    let PodRef { namespace, name, uid } = pod;
    format!("k8s_{container}.{spec_hash}_{name}_{namespace}_{uid}_{:08x}", rand::random::<u32>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(name: &str, image: &str) -> Container {
        Container { name: name.into(), image: Some(image.into()), ..Default::default() }
    }

    #[test]
    fn equal_specs_have_equal_hashes() {
        assert_eq!(hash(&container("a", "redis")), hash(&container("a", "redis")));
        assert_ne!(hash(&container("a", "redis")), hash(&container("a", "nginx")));
        assert_eq!(hash(&container("a", "redis")).len(), 8);
    }

    #[test]
    fn only_name_and_image_restart_a_container() {
        let plain = container("a", "redis");
        let defaulted = Container { termination_message_path: Some("/dev/termination-log".into()), ..plain.clone() };
        assert_ne!(hash(&plain), hash(&defaulted));
        assert_eq!(identity_hash(&plain), identity_hash(&defaulted));
    }

    #[test]
    fn the_name_tells_container_pod_namespace_and_uid() {
        let pod = PodRef { namespace: "default".into(), name: "redis-master-abcde".into(), uid: "b1-c2".into() };
        let name = docker_name("master", "0123abcd", &pod);
        let (known, random) = name.rsplit_once('_').unwrap();
        assert_eq!(known, "k8s_master.0123abcd_redis-master-abcde_default_b1-c2");
        assert!(random.len() == 8 && random.chars().all(|c| c.is_ascii_hexdigit()));
    }
}
