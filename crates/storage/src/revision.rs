//! The current revision of the store, asked once for many readers.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::backend::{Backend, Error};

type Answer = oneshot::Sender<Result<i64, Error>>;

/// A read is linearizable when the revision it waits for was asked after the read began. All reads that arrive while
/// one question is under way share the next one.
pub(crate) struct Revisions(mpsc::UnboundedSender<Answer>);

impl Revisions {
    pub(crate) fn new(backend: Arc<dyn Backend>) -> Self {
        let (sender, mut waiting) = mpsc::unbounded_channel::<Answer>();
        tokio::spawn(async move {
            while let Some(first) = waiting.recv().await {
                let mut askers = vec![first];
                while let Ok(next) = waiting.try_recv() {
                    askers.push(next);
                }
                let answer = backend.revision().await;
                for asker in askers {
                    // Who went away needs no answer.
                    let _ = asker.send(answer.clone());
                }
            }
        });
        Self(sender)
    }

    pub(crate) async fn now(&self) -> Result<i64, Error> {
        let (sender, receiver) = oneshot::channel();
        let gone = || Error::Refused("kube-apiserver is stopping".into());
        self.0.send(sender).map_err(|_| gone())?;
        receiver.await.unwrap_or_else(|_| Err(gone()))
    }
}
