//! Compaction of etcd's history, every five minutes, by one of several kube-apiservers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use storage::{Backend, Error, Guard, Op, Outcome};
use tokio_util::sync::CancellationToken;

/// Upstream's name, so that both agree on who compacts.
const KEY: &str = "compact_rev_key";

pub async fn run(backend: Arc<dyn Backend>, every: Duration, token: CancellationToken) {
    // What is compacted is as old as the interval, so a client has that long to read page after page.
    let mut last: Option<i64> = None;
    let trouble = daemon::LogOnce::new();
    loop {
        tokio::select! {
            () = token.cancelled() => return,
            () = tokio::time::sleep(every) => {}
        }
        match turn(&*backend, last).await {
            Ok(revision) => {
                trouble.over("etcd is compacted again");
                last = Some(revision);
            }
            Err(error) => {
                trouble.trouble(format_args!("etcd is not compacted: {error}"));
            }
        }
    }
}

/// Compacts up to `until` if nobody did so meanwhile; the revision for the next turn.
async fn turn(backend: &dyn Backend, until: Option<i64>) -> Result<i64, Error> {
    let now = backend.revision().await?;
    let Some(until) = until else { return Ok(now) };
    let held = backend.get(KEY).await?;
    let done = held.as_ref().and_then(|held| std::str::from_utf8(&held.value).ok()?.parse::<i64>().ok()).unwrap_or(0);
    if done >= until {
        return Ok(now);
    }
    let guard = match &held {
        Some(held) => Guard::Unchanged(KEY.into(), held.revision),
        None => Guard::Absent(KEY.into()),
    };
    let put = Op::Put { key: KEY.into(), value: Bytes::from(until.to_string()), time_to_live: None };
    if let Outcome::Committed(_) = backend.commit(&[guard], vec![put]).await? {
        backend.compact(until).await?;
    }
    Ok(now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use storage::Memory;

    #[tokio::test]
    async fn only_one_of_two_compacts() {
        let backend = Memory::new();
        let first = turn(&*backend, None).await.unwrap();
        turn(&*backend, Some(first)).await.unwrap();
        let written = backend.revision().await.unwrap();
        turn(&*backend, Some(first)).await.unwrap();
        assert_eq!(backend.revision().await.unwrap(), written, "the second finds it done and writes nothing");
    }
}
