//! Takes away what a kubelet leaves on its machine when it is stopped: containers, the pod network, mounts and files.

use std::path::Path;

use futures::future::join_all;

use crate::runtime::{Runtime, RuntimeError};
use crate::volumes::{PodDirectory, VolumeError, known_pods};

#[derive(Debug, thiserror::Error)]
pub enum CleanupError {
    #[error("cleaning up containers: {0}")]
    Runtime(#[from] RuntimeError),
    #[error("cleaning up the files of pod {uid}: {source}")]
    Volume { uid: String, source: VolumeError },
}

pub async fn clean_up(runtime: &dyn Runtime, root: &Path, network: &str) -> Result<(), CleanupError> {
    let listed = runtime.list().await?;
    // Those that use a sandbox's network go before it.
    let (sandboxes, others): (Vec<_>, Vec<_>) =
        listed.into_iter().partition(|container| container.identity.is_sandbox());
    for group in [others, sandboxes] {
        let removals = join_all(group.iter().map(|container| runtime.remove(&container.id))).await;
        removals.into_iter().collect::<Result<(), _>>()?;
    }
    runtime.remove_network(network).await?;
    for uid in known_pods(root) {
        PodDirectory::new(root, &uid).remove().map_err(|source| CleanupError::Volume { uid, source })?;
    }
    Ok(())
}
