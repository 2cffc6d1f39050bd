//! Bearer tokens: what recognizes them, one after the other, and the memory of who was recognized.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use sha2::{Digest, Sha256};

use crate::attributes::User;

/// As upstream: so long a token counts after it was looked at. Until then a deletion of its account may go unnoticed.
const REMEMBERED: Duration = Duration::from_secs(10);
const MAX_REMEMBERED: usize = 4096;

/// Whose token it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Bearer {
    pub user: Arc<User>,
    /// For whom the token is, of those who were asked about; `None`: tokens of this kind are for the API server alone.
    pub audiences: Option<Vec<String>>,
}

#[async_trait]
pub trait TokenAuthenticator: Send + Sync {
    /// `Ok(None)`: the token is of another kind, or nobody's. `Err`: it is of this kind, and why it is no good.
    async fn authenticate(&self, token: &str, audiences: &[String]) -> Result<Option<Bearer>, String>;
}

/// Tokens by their hash, so that what is kept is no secret.
#[derive(Default)]
pub struct Remembered(Mutex<HashMap<[u8; 32], (Instant, Bearer)>>);

impl Remembered {
    pub fn key(token: &str, audiences: &[String]) -> [u8; 32] {
        let mut hasher = Sha256::new();
        hasher.update(token);
        for audience in audiences {
            hasher.update([0]);
            hasher.update(audience);
        }
        hasher.finalize().into()
    }

    pub fn get(&self, key: &[u8; 32]) -> Option<Bearer> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(key).filter(|(since, _)| since.elapsed() < REMEMBERED).map(|(_, bearer)| bearer.clone())
    }

    pub fn put(&self, key: [u8; 32], bearer: Bearer) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_REMEMBERED {
            known.retain(|_, (since, _)| since.elapsed() < REMEMBERED);
        }
        // So many users at a time are looked up again; nothing is lost but time.
        if known.len() < MAX_REMEMBERED {
            known.insert(key, (Instant::now(), bearer));
        }
    }
}
