//! What kube-apiserver asks of this kubelet, over gRPC with a certificate of the client authority: logs.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use jiff::{SignedDuration, Timestamp};
use rpc::kubelet::kubelet_server::Kubelet;
use rpc::kubelet::{LogsChunk, LogsRequest};
use tonic::{Request, Response, Status};

use crate::runtime::{Container, LogQuery, Runtime, RuntimeError, State};

/// A chunk of a log is sent in pieces of at most this size.
const CHUNK: usize = 64 * 1024;

pub struct Server {
    pub runtime: Arc<dyn Runtime>,
}

type LogStream = Pin<Box<dyn Stream<Item = Result<LogsChunk, Status>> + Send>>;

#[tonic::async_trait]
impl Kubelet for Server {
    type LogsStream = LogStream;

    async fn logs(&self, request: Request<LogsRequest>) -> Result<Response<LogStream>, Status> {
        let request = request.into_inner();
        let container = self.find(&request).await?;
        let query = LogQuery {
            follow: request.follow && container.is_running(),
            timestamps: request.timestamps,
            tail: request.tail_lines.and_then(|lines| u64::try_from(lines).ok()),
            since: since(&request)?,
        };
        let log = self.runtime.logs(&container.id, &query).await.map_err(status)?;
        let log = log.map(|part| part.map_err(status));
        let limit = request.limit_bytes.map_or(u64::MAX, |bytes| bytes.max(0).unsigned_abs());
        Ok(Response::new(chunks(log, limit).boxed()))
    }
}

impl Server {
    async fn find(&self, request: &LogsRequest) -> Result<Container, Status> {
        let listed = self.runtime.list().await.map_err(status)?;
        let mut found = Vec::new();
        for line in listed {
            let pod = &line.identity.pod;
            let same = pod.namespace == request.namespace && pod.name == request.pod;
            let same = same && (request.uid.is_empty() || pod.uid == request.uid);
            if same && line.identity.container == request.container {
                found.extend(self.runtime.inspect(&line.id).await.map_err(status)?);
            }
        }
        found.sort_by_key(|container| std::cmp::Reverse((container.identity.restart_count, container.created_at)));
        pick(found, request)
    }
}

/// The attempt whose log is meant; the newest comes first.
fn pick(found: Vec<Container>, request: &LogsRequest) -> Result<Container, Status> {
    let LogsRequest { namespace, pod, container, .. } = request;
    let about = format!("container \"{container}\" in pod \"{pod}\"");
    if request.previous {
        // What has ended before the one of now; the one of now has been created and may have ended too.
        let previous = found.into_iter().skip(1).find(|attempt| matches!(attempt.state, State::Exited(_)));
        return previous.ok_or_else(|| {
            Status::failed_precondition(format!(
                "previous terminated container \"{container}\" in pod \"{pod}\" not found"
            ))
        });
    }
    match found.into_iter().next() {
        None => Err(Status::failed_precondition(format!(
            "{about} is waiting to start: no container has been created in {namespace} yet"
        ))),
        Some(Container { state: State::Created, .. }) => {
            Err(Status::failed_precondition(format!("{about} is waiting to start: ContainerCreating")))
        }
        Some(attempt) => Ok(attempt),
    }
}

/// Seconds since the epoch from which on lines are wanted.
fn since(request: &LogsRequest) -> Result<Option<i64>, Status> {
    if let Some(seconds) = request.since_seconds {
        let at = Timestamp::now().checked_sub(SignedDuration::from_secs(seconds));
        return at
            .map(|at| Some(at.as_second()))
            .map_err(|error| Status::invalid_argument(format!("sinceSeconds: {error}")));
    }
    let Some(text) = &request.since_time else { return Ok(None) };
    let at: Result<Timestamp, _> = text.parse();
    at.map(|at| Some(at.as_second())).map_err(|error| Status::invalid_argument(format!("sinceTime: {text}: {error}")))
}

/// Parts of a size that a message can have, until the limit.
fn chunks(
    log: impl Stream<Item = Result<Bytes, Status>> + Send + 'static,
    limit: u64,
) -> impl Stream<Item = Result<LogsChunk, Status>> + Send {
    let mut left = limit;
    log.flat_map(|part| match part {
        Ok(mut part) => {
            let mut pieces = Vec::new();
            while !part.is_empty() {
                pieces.push(Ok(part.split_to(part.len().min(CHUNK))));
            }
            futures::stream::iter(pieces)
        }
        Err(error) => futures::stream::iter(vec![Err(error)]),
    })
    .scan((), move |(), piece| {
        let next = match piece {
            _ if left == 0 => None,
            Err(error) => Some(Err(error)),
            Ok(mut data) => {
                data.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                left -= data.len() as u64;
                Some(Ok(LogsChunk { data }))
            }
        };
        std::future::ready(next)
    })
}

fn status(error: RuntimeError) -> Status {
    match error {
        RuntimeError::NotFound(_) => Status::not_found(error.to_string()),
        RuntimeError::Down { .. } => Status::unavailable(format!("container runtime is down: {error}")),
        RuntimeError::Timeout(_) => Status::deadline_exceeded(error.to_string()),
        RuntimeError::Refused { .. } => Status::internal(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_log_is_cut_at_the_limit() {
        let parts = ["hello ", "world"].map(|text| Ok(Bytes::from_static(text.as_bytes())));
        let got: Vec<_> = chunks(futures::stream::iter(parts), 8).map(|chunk| chunk.unwrap().data).collect().await;
        assert_eq!(got.concat(), b"hello wo");
        let long = Bytes::from(vec![b'x'; CHUNK * 2 + 1]);
        let sizes: Vec<_> =
            chunks(futures::stream::iter([Ok(long)]), u64::MAX).map(|c| c.unwrap().data.len()).collect().await;
        assert_eq!(sizes, [CHUNK, CHUNK, 1]);
    }

    #[test]
    fn errors_say_what_is_missing() {
        let request =
            LogsRequest { pod: "p".into(), container: "c".into(), namespace: "n".into(), ..Default::default() };
        let error = pick(Vec::new(), &request).unwrap_err();
        assert!(error.message().starts_with("container \"c\" in pod \"p\" is waiting to start"), "{error}");
        let error = pick(Vec::new(), &LogsRequest { previous: true, ..request }).unwrap_err();
        assert_eq!(error.message(), "previous terminated container \"c\" in pod \"p\" not found");
    }
}
