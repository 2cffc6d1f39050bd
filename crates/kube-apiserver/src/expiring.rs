//! Answers that count for some time, by the hash of what was asked, so that what is kept is no secret.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

/// More are asked for again; nothing is lost but time.
const MOST: usize = 4096;

pub type Key = [u8; 32];

pub struct Expiring<V>(Mutex<HashMap<Key, (Instant, V)>>);

impl<V> Default for Expiring<V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

/// The parts are kept apart: no two lists of parts have the same key.
pub fn key<'a>(parts: impl IntoIterator<Item = &'a str>) -> Key {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part.len().to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}

impl<V: Clone> Expiring<V> {
    pub fn get(&self, key: &Key) -> Option<V> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(key).filter(|(end, _)| *end > Instant::now()).map(|(_, value)| value.clone())
    }

    pub fn put(&self, key: Key, value: V, counts: Duration) {
        let now = Instant::now();
        let Some(end) = now.checked_add(counts).filter(|end| *end > now) else { return };
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MOST {
            kept.retain(|_, (end, _)| *end > now);
        }
        if kept.len() < MOST {
            kept.insert(key, (end, value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_count_as_long_as_was_said_and_there_are_not_too_many() {
        let kept = Expiring::default();
        kept.put(key(["a", "b"]), 1, Duration::from_secs(60));
        kept.put(key(["c"]), 2, Duration::ZERO);
        assert_eq!((kept.get(&key(["a", "b"])), kept.get(&key(["ab"])), kept.get(&key(["c"]))), (Some(1), None, None));
        for at in 0..MOST + 10 {
            kept.put(key([at.to_string().as_str()]), 3, Duration::from_secs(60));
        }
        assert_eq!(kept.0.lock().unwrap().len(), MOST);
    }
}
