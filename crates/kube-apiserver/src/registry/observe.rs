//! Following a resource inside this process, for what decides by the objects in memory.

use std::time::Duration;

use bytes::Bytes;
use storage::{EventType, Filter};
use tokio_util::sync::CancellationToken;

use super::{Object, Registry, Target};

/// Between tries to follow a resource whose watch has ended.
const AGAIN: Duration = Duration::from_millis(200);
/// Changes that are told at a time.
const BATCH: usize = 256;

pub enum Observed<'a> {
    /// All that there is; what was told before no longer counts.
    All(&'a [Object]),
    /// An object, and whether it is still there.
    Changes(&'a [(Bytes, bool)]),
}

impl Registry {
    /// Tells all objects of the resource that pass the filter and every change of them, until the token ends it.
    pub async fn observe(
        &self,
        target: &Target,
        filter: Filter,
        token: &CancellationToken,
        mut tell: impl FnMut(Observed<'_>),
    ) {
        while !token.is_cancelled() {
            let Ok((listed, mut watcher)) = self.list_and_watch(target, filter.clone(), Some(0)).await else {
                tokio::time::sleep(AGAIN).await;
                continue;
            };
            tell(Observed::All(&listed.entries));
            loop {
                let events = tokio::select! {
                    events = watcher.next(BATCH) => events,
                    () = token.cancelled() => return,
                };
                let Ok(events) = events else { break };
                let changes: Vec<(Bytes, bool)> =
                    events.iter().map(|(kind, event)| (event.object(*kind), *kind != EventType::Deleted)).collect();
                tell(Observed::Changes(&changes));
            }
        }
    }
}
