//! The current revision of the store, asked once for many readers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Notify, watch};

use crate::backend::{Backend, Error, Tip};

/// A read is linearizable when the revision it waits for was asked after the read began. All reads that arrive while
/// one question is under way share the next one; a reader costs a look at two counters and allocates nothing.
pub(crate) struct Revisions {
    shared: Arc<Shared>,
    /// The last question that was answered, and the answer. Ends with the asking task.
    answers: watch::Receiver<(u64, Result<Tip, Error>)>,
}

#[derive(Default)]
struct Shared {
    /// Questions that were begun.
    begun: AtomicU64,
    wanted: Notify,
}

impl Revisions {
    pub(crate) fn new(backend: Arc<dyn Backend>) -> Self {
        let shared = Arc::new(Shared::default());
        let (sender, answers) = watch::channel((0, Ok(Tip::default())));
        let asking = shared.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = asking.wanted.notified() => {}
                    () = sender.closed() => return,
                }
                let question = asking.begun.fetch_add(1, Ordering::SeqCst) + 1;
                let answer = backend.tip().await;
                if sender.send((question, answer)).is_err() {
                    return;
                }
            }
        });
        Self { shared, answers }
    }

    pub(crate) async fn now(&self) -> Result<Tip, Error> {
        // Any question that begins from here on will do.
        let next = self.shared.begun.load(Ordering::SeqCst) + 1;
        self.shared.wanted.notify_one();
        let mut answers = self.answers.clone();
        match answers.wait_for(|(question, _)| *question >= next).await {
            Ok(answer) => answer.1.clone(),
            Err(_) => Err(Error::Refused("kube-apiserver is stopping".into())),
        }
    }
}
