//! What has been asked for and not been seen yet, so that a store which lags behind never leads to too many pods.
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use client::Key;
use tokio::time::Instant;

/// What is not seen after this time will not be.
const TIMEOUT: Duration = Duration::from_secs(300);

#[derive(Clone, Debug, Default)]
pub struct Expectations(Arc<Mutex<HashMap<Key, Expected>>>);

#[derive(Debug)]
struct Expected {
    creations: usize,
    /// By uid: a pod's deletion may show twice, by its timestamp and by its end.
    deletions: HashSet<String>,
    since: Instant,
}

impl Expectations {
    fn all(&self) -> MutexGuard<'_, HashMap<Key, Expected>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn fulfilled(&self, owner: &Key) -> bool {
        let all = self.all();
        let Some(expected) = all.get(owner) else { return true };
        (expected.creations == 0 && expected.deletions.is_empty()) || expected.since.elapsed() > TIMEOUT
    }

    pub fn expect_creations(&self, owner: &Key, count: usize) {
        let expected = Expected { creations: count, deletions: HashSet::new(), since: Instant::now() };
        self.all().insert(owner.clone(), expected);
    }

    pub fn expect_deletions(&self, owner: &Key, uids: impl Iterator<Item = String>) {
        let expected = Expected { creations: 0, deletions: uids.collect(), since: Instant::now() };
        self.all().insert(owner.clone(), expected);
    }

    /// A creation was seen, or will not happen.
    pub fn creation_seen(&self, owner: &Key) {
        if let Some(expected) = self.all().get_mut(owner) {
            expected.creations = expected.creations.saturating_sub(1);
        }
    }

    /// A deletion was seen, or will not happen.
    pub fn deletion_seen(&self, owner: &Key, uid: &str) {
        if let Some(expected) = self.all().get_mut(owner) {
            expected.deletions.remove(uid);
        }
    }

    /// What an earlier term asked for may have been cut off.
    pub fn forget_all(&self) {
        self.all().clear();
    }

    pub fn forget(&self, owner: &Key) {
        self.all().remove(owner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn fulfilled_when_all_is_seen_or_too_late() {
        let (expectations, owner) = (Expectations::default(), Key::new("default", "rc"));
        assert!(expectations.fulfilled(&owner));
        expectations.expect_creations(&owner, 2);
        expectations.creation_seen(&owner);
        assert!(!expectations.fulfilled(&owner));
        expectations.creation_seen(&owner);
        assert!(expectations.fulfilled(&owner));
        expectations.expect_deletions(&owner, ["a".to_owned(), "b".to_owned()].into_iter());
        expectations.deletion_seen(&owner, "a");
        expectations.deletion_seen(&owner, "a");
        assert!(!expectations.fulfilled(&owner));
        tokio::time::advance(TIMEOUT + Duration::from_secs(1)).await;
        assert!(expectations.fulfilled(&owner));
    }
}
