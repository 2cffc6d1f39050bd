//! The real store: etcd, from 3.4 on.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use etcd_client::{
    Client, Compare, CompareOp, ConnectOptions, EventType, GetOptions, KeyValue, PutOptions, ResponseHeader, Txn,
    TxnOp, TxnOpResponse, WatchOptions,
};
use tokio::sync::{Mutex, mpsc};
use tokio::time::Instant;
use tonic::Code;

use crate::backend::{Backend, Batch, Change, Error, Guard, Op, Outcome, Page, Stored, Tip};
use crate::lease::{self, Lease};

/// Longer than an election of etcd's takes, shorter than clients wait.
const TIMEOUT: Duration = Duration::from_secs(5);
const MAX_MESSAGE: usize = 256 * 1024 * 1024;

#[derive(Clone, Debug, Default)]
pub struct EtcdOptions {
    /// `http://127.0.0.1:2379`, …
    pub endpoints: Vec<String>,
    /// PEM texts; only for https endpoints.
    pub ca: Option<Vec<u8>>,
    pub certificate: Option<(Vec<u8>, Vec<u8>)>,
}

pub struct Etcd {
    client: Client,
    endpoints: String,
    /// By how long their keys live.
    leases: Mutex<HashMap<i64, Lease>>,
}

impl Etcd {
    /// Does not wait for etcd: calls fail until it is there.
    pub async fn new(options: EtcdOptions) -> Result<Arc<Self>, Error> {
        let endpoints = options.endpoints.join(",");
        let mut connect = ConnectOptions::new()
            .with_connect_timeout(Duration::from_secs(2))
            .with_keep_alive(Duration::from_secs(10), Duration::from_secs(5))
            .with_keep_alive_while_idle(true);
        if options.ca.is_some() || options.certificate.is_some() {
            let mut tls = etcd_client::TlsOptions::new();
            if let Some(ca) = &options.ca {
                tls = tls.ca_certificate(etcd_client::Certificate::from_pem(ca));
            }
            if let Some((certificate, key)) = &options.certificate {
                tls = tls.identity(etcd_client::Identity::from_pem(certificate, key));
            }
            connect = connect.with_tls(tls);
        }
        let client = Client::connect(&options.endpoints, Some(connect))
            .await
            .map_err(|e| Error::Unavailable { endpoints: endpoints.clone(), why: e.to_string() })?;
        Ok(Arc::new(Self { client, endpoints, leases: Mutex::default() }))
    }

    fn kv(&self) -> etcd_client::KvClient {
        self.client.kv_client().max_decoding_message_size(MAX_MESSAGE).max_encoding_message_size(MAX_MESSAGE)
    }

    async fn call<T>(&self, call: impl Future<Output = Result<T, etcd_client::Error>>) -> Result<T, Error> {
        match tokio::time::timeout(TIMEOUT, call).await {
            Ok(result) => result.map_err(|e| self.error(&e)),
            Err(_) => Err(Error::TimedOut { endpoints: self.endpoints.clone(), seconds: TIMEOUT.as_secs() }),
        }
    }

    fn error(&self, error: &etcd_client::Error) -> Error {
        let unavailable = |why: String| Error::Unavailable { endpoints: self.endpoints.clone(), why };
        match error {
            etcd_client::Error::GRpcStatus(status) => {
                let message = status.message();
                if message.contains("required revision has been compacted") {
                    return Error::Compacted(0);
                }
                match status.code() {
                    Code::Unavailable | Code::Cancelled | Code::DeadlineExceeded | Code::Unknown => {
                        unavailable(causes(status))
                    }
                    _ => Error::Refused(message.to_owned()),
                }
            }
            other => unavailable(causes(other)),
        }
    }

    async fn lease(&self, time_to_live: i64) -> Result<i64, Error> {
        let mut shared = self.leases.lock().await;
        let now = Instant::now();
        if let Some(id) = shared.get_mut(&time_to_live).and_then(|lease| lease.attach(time_to_live, now)) {
            return Ok(id);
        }
        let granted = lease::granted(time_to_live);
        let mut client = self.client.lease_client();
        let response = self.call(client.grant(granted, None)).await?;
        let lease = shared.entry(time_to_live).insert_entry(Lease::new(response.id(), granted, now)).into_mut();
        // A new lease has room, and lives long enough.
        lease.attach(time_to_live, now).ok_or_else(|| Error::Refused(format!("no lease for {time_to_live} s")))
    }
}

/// An error and what it came from: tonic says "transport error" first and why last.
fn causes(error: &dyn std::error::Error) -> String {
    let (mut text, mut next) = (error.to_string(), error.source());
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}

fn stored(kv: KeyValue) -> Stored {
    let revision = kv.mod_revision();
    let (key, value) = kv.into_key_value();
    Stored { key: text(key), value: value.into(), revision }
}

fn tip(header: Option<&ResponseHeader>) -> Tip {
    header.map_or_else(Tip::default, |header| Tip { cluster: header.cluster_id(), revision: header.revision() })
}

fn text(key: Vec<u8>) -> String {
    String::from_utf8(key).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

#[async_trait]
impl Backend for Etcd {
    async fn tip(&self) -> Result<Tip, Error> {
        // A key that nobody has: the answer is a header.
        let options = GetOptions::new().with_count_only();
        let mut kv = self.kv();
        let response = self.call(kv.get("\u{1}", Some(options))).await?;
        Ok(tip(response.header()))
    }

    async fn get(&self, key: &str) -> Result<Option<Stored>, Error> {
        let mut kv = self.kv();
        let mut response = self.call(kv.get(key, None)).await?;
        Ok(response.take_kvs().into_iter().next().map(stored))
    }

    async fn range(&self, start: &str, end: &str, limit: i64, revision: i64) -> Result<Page, Error> {
        let options = GetOptions::new().with_range(end).with_limit(limit).with_revision(revision);
        let mut kv = self.kv();
        let mut response = self.call(kv.get(start, Some(options))).await?;
        let now = tip(response.header());
        Ok(Page {
            cluster: now.cluster,
            revision: if revision > 0 { revision } else { now.revision },
            more: response.more(),
            count: response.count(),
            items: response.take_kvs().into_iter().map(stored).collect(),
        })
    }

    async fn commit(&self, guards: &[Guard], ops: Vec<Op>) -> Result<Outcome, Error> {
        let compares: Vec<Compare> = guards
            .iter()
            .map(|guard| match guard {
                Guard::Absent(key) => Compare::mod_revision(key.as_str(), CompareOp::Equal, 0),
                Guard::Unchanged(key, revision) => Compare::mod_revision(key.as_str(), CompareOp::Equal, *revision),
            })
            .collect();
        let mut success = Vec::with_capacity(ops.len());
        for op in ops {
            success.push(match op {
                Op::Put { key, value, time_to_live } => {
                    let options = match time_to_live {
                        Some(seconds) => Some(PutOptions::new().with_lease(self.lease(seconds).await?)),
                        None => None,
                    };
                    TxnOp::put(key, value, options)
                }
                Op::Delete { key } => TxnOp::delete(key, None),
            });
        }
        let reads: Vec<TxnOp> = guards.iter().map(|guard| TxnOp::get(guard.key(), None)).collect();
        let mut kv = self.kv();
        let response = self.call(kv.txn(Txn::new().when(compares).and_then(success).or_else(reads))).await?;
        if response.succeeded() {
            return Ok(Outcome::Committed(response.header().map_or(0, |h| h.revision())));
        }
        let current = response.op_responses().into_iter().map(|response| match response {
            TxnOpResponse::Get(mut get) => get.take_kvs().into_iter().next().map(stored),
            _ => None,
        });
        Ok(Outcome::Refused(current.collect()))
    }

    async fn watch(&self, from: i64) -> Result<mpsc::Receiver<Result<Batch, Error>>, Error> {
        let options = WatchOptions::new().with_all_keys().with_start_revision(from);
        let mut client = self.client.watch_client().max_decoding_message_size(MAX_MESSAGE);
        let mut stream = self.call(client.watch("", Some(options))).await?;
        let (sender, receiver) = mpsc::channel(64);
        let endpoints = self.endpoints.clone();
        tokio::spawn(async move {
            loop {
                let message = tokio::select! {
                    message = stream.message() => message,
                    () = sender.closed() => return,
                };
                let item = match message {
                    Ok(Some(response)) if response.compact_revision() > 0 => {
                        Err(Error::Compacted(response.compact_revision()))
                    }
                    Ok(Some(response)) if response.canceled() => {
                        Err(Error::Refused(format!("watch cancelled: {}", response.cancel_reason())))
                    }
                    // The first answer has no events: it says that the watch was made, and by whom.
                    Ok(Some(response)) => Ok(Batch {
                        cluster: tip(response.header()).cluster,
                        changes: response.events().iter().filter_map(change).collect(),
                    }),
                    Ok(None) => Err(Error::Unavailable { endpoints: endpoints.clone(), why: "the watch ended".into() }),
                    Err(e) => Err(Error::Unavailable { endpoints: endpoints.clone(), why: causes(&e) }),
                };
                let last = item.is_err();
                if sender.send(item).await.is_err() || last {
                    return;
                }
            }
        });
        Ok(receiver)
    }

    async fn compact(&self, revision: i64) -> Result<(), Error> {
        let mut kv = self.kv();
        match self.call(kv.compact(revision, None)).await {
            Ok(_) | Err(Error::Compacted(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn change(event: &etcd_client::Event) -> Option<Change> {
    let kv = event.kv()?;
    let value = (event.event_type() == EventType::Put).then(|| Bytes::copy_from_slice(kv.value()));
    Some(Change { key: text(kv.key().to_vec()), value, revision: kv.mod_revision() })
}
