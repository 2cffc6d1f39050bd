//! Looks at a container, and at what it left as its last words if it has ended.

use k8s_openapi::api::core::v1::Pod;

use crate::pod;
use crate::runtime::{Container, LogQuery, RuntimeError, State};
use crate::settings::Shared;
use crate::volumes::PodDirectory;

pub async fn inspect(
    shared: &Shared,
    pod: &Pod,
    id: &str,
) -> (Result<Option<Container>, RuntimeError>, Option<String>) {
    let found = shared.runtime.inspect(id).await;
    let words = match &found {
        Ok(Some(container)) => last_words(shared, pod, container).await,
        _ => None,
    };
    (found, words)
}

/// The end of the log, where the spec takes that for last words and the container wrote no others.
async fn last_words(shared: &Shared, pod: &Pod, container: &Container) -> Option<String> {
    const LINES: u64 = 80;
    const MOST: usize = 2048;
    let State::Exited(exit) = &container.state else { return None };
    let spec = pod::container(pod, &container.identity.container)?;
    let from_log = spec.termination_message_policy.as_deref() == Some("FallbackToLogsOnError") && exit.code != 0;
    let directory = PodDirectory::new(&shared.settings.root, &container.identity.pod.uid);
    let own = directory.read_last_words(&container.identity.container, container.identity.restart_count);
    if own.is_some() || !from_log {
        return own;
    }
    let query = LogQuery { tail: Some(LINES), ..LogQuery::default() };
    let log = shared.runtime.logs(&container.id, &query).await.ok()?;
    let parts: Vec<_> = futures::StreamExt::collect(log).await;
    let text: Vec<u8> = parts.into_iter().filter_map(Result::ok).flatten().collect();
    Some(String::from_utf8_lossy(&text[text.len().saturating_sub(MOST)..]).into_owned())
}
