//! The API servers that share the store: each says that it is there, and is forgotten when it no longer does.

use std::net::IpAddr;

use api::status::Status;
use bytes::Bytes;
use storage::Op;

use super::{ROOT, Registry, backend_status};

/// Seconds that a server is believed to be there after it said so, as upstream's.
const LIVES: i64 = 15;

fn folder() -> String {
    format!("{ROOT}/masterleases/")
}

impl Registry {
    /// To be repeated well before it is forgotten.
    pub async fn announce(&self, address: IpAddr) -> Result<(), Status> {
        let key = format!("{}{address}", folder());
        let value = Bytes::from(address.to_string());
        let put = Op::Put { key, value, time_to_live: Some(LIVES) };
        self.backend.commit(&[], vec![put]).await.map(drop).map_err(backend_status)
    }

    pub async fn retract(&self, address: IpAddr) -> Result<(), Status> {
        let delete = Op::Delete { key: format!("{}{address}", folder()) };
        self.backend.commit(&[], vec![delete]).await.map(drop).map_err(backend_status)
    }

    /// Those that are there now, in order.
    pub async fn announced(&self) -> Result<Vec<IpAddr>, Status> {
        let folder = folder();
        let end = format!("{}0", &folder[..folder.len() - 1]);
        let page = self.backend.range(&folder, &end, 0, 0).await.map_err(backend_status)?;
        let mut addresses: Vec<IpAddr> =
            page.items.iter().filter_map(|item| item.key[folder.len()..].parse().ok()).collect();
        addresses.sort();
        Ok(addresses)
    }
}
