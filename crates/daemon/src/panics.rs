//! What a panic ends. By default the process: what is left of a daemon whose task is gone can't be trusted, and systemd starts
//! it anew. Work for one client runs [`guarded`], so that its panic ends that work alone.

use std::any::Any;
use std::cell::Cell;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// From here on a panic outside of guarded work ends the process.
pub(crate) fn end_the_process() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        if !GUARDED.get() {
            std::process::abort();
        }
    }));
}

/// Runs `work`; its panic, as a text, instead of its result.
pub fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let before = GUARDED.replace(true);
    let result = std::panic::catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(before);
    result.map_err(message)
}

fn message(panic: Box<dyn Any + Send>) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message").to_owned()
}

/// A future whose panic is its result.
pub struct Guarded<F>(Pin<Box<F>>);

impl<F: Future> Guarded<F> {
    pub fn new(work: F) -> Self {
        Self(Box::pin(work))
    }
}

impl<F: Future> Future for Guarded<F> {
    type Output = Result<F::Output, String>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match guarded(|| self.0.as_mut().poll(context)) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_guarded_panic_is_a_result() {
        let failing = Guarded::new(async {
            tokio::task::yield_now().await;
            "1x".parse::<u8>().expect("a number")
        });
        assert!(failing.await.is_err_and(|why| why.starts_with("a number")));
        assert_eq!(Guarded::new(async { 1 }).await, Ok(1));
        assert_eq!(guarded(|| 2), Ok(2));
    }
}
