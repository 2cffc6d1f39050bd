//! What recognizes bearer tokens.

use std::sync::Arc;

use async_trait::async_trait;

use crate::attributes::User;

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
