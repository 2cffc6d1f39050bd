//! What is refused of services.

use api::meta;
use api::status::Status;
use async_trait::async_trait;
use serde_json::Value;

use crate::admission::{Attempt, Operation, Plugin};

/// Nobody may draw the traffic of other addresses to a service. What is there may stay and may shrink.
pub struct DenyServiceExternalIps;

impl DenyServiceExternalIps {
    pub const NAME: &str = "DenyServiceExternalIPs";
}

#[async_trait]
impl Plugin for DenyServiceExternalIps {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn handles(&self, attempt: &Attempt<'_>) -> bool {
        attempt.is(Operation::Create, "services") || attempt.is(Operation::Update, "services")
    }

    async fn validate(&self, attempt: &Attempt<'_>, service: &Value) -> Result<(), Status> {
        let addresses = |service: &Value| -> Vec<Value> {
            meta::at(service, "spec.externalIPs").and_then(Value::as_array).cloned().unwrap_or_default()
        };
        let had = attempt.old.map(addresses).unwrap_or_default();
        if addresses(service).iter().all(|address| had.contains(address)) {
            return Ok(());
        }
        Err(attempt.forbidden(meta::name(service), "Use of external IPs is denied by admission control."))
    }
}
