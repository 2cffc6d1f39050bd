//! Which keys may share a lease of etcd's: granting one is a write of its own.

use std::time::Duration;

use tokio::time::Instant;

/// All keys of a lease go in one transaction, so there is a limit. Upstream's `--lease-max-object-count`.
const MAX_OBJECTS: usize = 1000;
/// Keys live this much longer than asked at most, and never more than a twentieth longer.
const LONGEST_REUSE: i64 = 60;

#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) id: i64,
    expires: Instant,
    objects: usize,
}

/// Seconds that the keys of one lease may be apart.
fn reuse(time_to_live: i64) -> i64 {
    (time_to_live / 20).min(LONGEST_REUSE)
}

/// What to ask of etcd: the last key that shares the lease must live as long as the first.
pub(crate) fn granted(time_to_live: i64) -> i64 {
    time_to_live + reuse(time_to_live)
}

impl Lease {
    /// `asked`: before etcd was asked, so that a lease is never thought to live longer than it does.
    pub(crate) fn new(id: i64, granted: i64, asked: Instant) -> Self {
        Self { id, expires: asked + Duration::from_secs(granted.max(0) as u64), objects: 0 }
    }

    /// The lease for one more key, if it lives long enough, but not too long.
    pub(crate) fn attach(&mut self, time_to_live: i64, now: Instant) -> Option<i64> {
        let wanted = now + Duration::from_secs(time_to_live.max(0) as u64);
        let latest = wanted + Duration::from_secs(reuse(time_to_live).max(0) as u64);
        if self.expires < wanted || self.expires > latest || self.objects >= MAX_OBJECTS {
            return None;
        }
        self.objects += 1;
        Some(self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_share_a_lease_that_lives_long_enough_but_not_too_long() {
        let start = Instant::now();
        let fits = |granted_for: i64, asked_for: i64, after: u64| {
            let mut lease = Lease::new(7, granted(granted_for), start);
            lease.attach(asked_for, start + Duration::from_secs(after)).is_some()
        };
        for (granted_for, asked_for, after, expected) in [
            (3600, 3600, 0, true),
            (3600, 3600, 60, true),
            (3600, 3600, 61, false),
            (3600, 3660, 0, true),
            (3600, 3661, 0, false),
            (3600, 1800, 0, false),
            (100, 100, 5, true),
            (100, 100, 6, false),
            (10, 10, 0, true),
            (10, 10, 1, false),
        ] {
            assert_eq!(fits(granted_for, asked_for, after), expected, "{granted_for} {asked_for} {after}");
        }
    }

    #[test]
    fn a_lease_takes_a_thousand_keys() {
        let now = Instant::now();
        let mut lease = Lease::new(7, granted(3600), now);
        assert_eq!((0..1500).filter(|_| lease.attach(3600, now).is_some()).count(), 1000);
    }
}
