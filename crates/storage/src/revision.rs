//! The current revision of the store, asked once for many readers.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::backend::{Backend, Error, Tip};

/// A read is linearizable when the revision it waits for was asked after the read began. All reads that arrive while one question is under
/// way share the next one, and are woken by its answer alone.
pub(crate) struct Revisions {
    shared: Arc<Shared>,
    _stop: DropGuard,
}

#[derive(Default)]
struct Shared {
    /// Has not been begun.
    next: Mutex<Arc<Question>>,
    wanted: Notify,
}

#[derive(Default)]
struct Question {
    answer: OnceLock<Result<Tip, Error>>,
    answered: Notify,
}

impl Shared {
    fn next(&self) -> Arc<Question> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn begin(&self) -> Arc<Question> {
        std::mem::take(&mut *self.next.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Revisions {
    pub(crate) fn new(backend: Arc<dyn Backend>) -> Self {
        let shared = Arc::new(Shared::default());
        let asking = shared.clone();
        let stop = CancellationToken::new();
        tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
            loop {
                asking.wanted.notified().await;
                let question = asking.begin();
                let backend = backend.clone();
                // In a task of its own, so that a panic is an answer as well.
                let answer = tokio::spawn(async move { backend.tip().await }).await;
                let answer = answer.unwrap_or_else(|error| Err(Error::Refused(error.to_string())));
                // Set here only.
                let _ = question.answer.set(answer);
                question.answered.notify_waiters();
            }
        }));
        Self { shared, _stop: stop.drop_guard() }
    }

    pub(crate) async fn now(&self) -> Result<Tip, Error> {
        // Any question that begins from here on will do.
        let question = self.shared.next();
        let answered = question.answered.notified();
        self.shared.wanted.notify_one();
        // It may have been asked and answered before `answered` was listening.
        if let Some(answer) = question.answer.get() {
            return answer.clone();
        }
        answered.await;
        question.answer.get().cloned().unwrap_or_else(|| Err(Error::Refused("kube-apiserver is stopping".into())))
    }
}
