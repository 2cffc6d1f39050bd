//! The floor of writes: etcd alone, the same bytes under the same guard, as many at a time.

use anyhow::{Result, bail};
use bytes::Bytes;
use etcd_client::{Client, Compare, CompareOp, Txn, TxnOp};

use crate::load::{self, CONNECTIONS, End, IN_FLIGHT, Load, Worker};
use crate::objects::pod_name;
use crate::stage::Stage;

struct Put {
    client: Client,
    value: Bytes,
    first: usize,
}

impl Worker for Put {
    async fn call(&mut self, number: usize) -> Result<()> {
        let key = format!("/registry/pods/default/{}", pod_name(self.first + number));
        let absent = Compare::mod_revision(key.as_str(), CompareOp::Equal, 0);
        let put = TxnOp::put(key.as_str(), self.value.to_vec(), None);
        let read = TxnOp::get(key.as_str(), None);
        let answer = self.client.txn(Txn::new().when([absent]).and_then([put]).or_else([read])).await?;
        if !answer.succeeded() {
            bail!("{key}: exists in a fresh etcd");
        }
        Ok(())
    }
}

/// An etcd of its own, that nobody watches.
pub struct Alone {
    clients: Vec<Client>,
    _stage: Stage,
}

impl Alone {
    pub async fn start() -> Result<Self> {
        let stage = Stage::with(&["etcd"])?;
        let mut clients = Vec::new();
        for _ in 0..CONNECTIONS {
            clients.push(Client::connect([stage.cluster.layout.etcd_url()], None).await?);
        }
        Ok(Self { clients, _stage: stage })
    }

    /// Keys are numbered from `first` on and must be new.
    pub async fn guarded_puts(&self, value: &Bytes, first: usize, count: usize) -> Result<Load> {
        let client = |number: usize| self.clients[number % CONNECTIONS].clone();
        let put = |number: usize| Put { client: client(number), value: value.clone(), first };
        load::run((0..IN_FLIGHT).map(put).collect(), End::Requests(count)).await
    }
}
