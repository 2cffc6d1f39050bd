//! Answers that are ready at the same time leave in one write. HTTP/2 flushes after each stream that has something to send; with many streams
//! on a connection that were one TLS record and one system call for each.

use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What one TLS record takes.
const FULL: usize = 16 * 1024;
/// What is as long as this goes out as it is: it gains nothing from waiting.
const LONG: usize = FULL / 2;

/// A connection that holds short writes back until its task has been polled again: by then every answer that was ready has been written.
pub struct Gather<S> {
    stream: S,
    held: Vec<u8>,
    /// Of what is held, what has gone out.
    sent: usize,
    /// The next flush is to be one.
    due: bool,
}

impl<S: AsyncWrite + Unpin> Gather<S> {
    pub fn new(stream: S) -> Self {
        Self { stream, held: Vec::new(), sent: 0, due: false }
    }

    fn send(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        while self.sent < self.held.len() {
            let sent = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.held[self.sent..]))?;
            if sent == 0 {
                return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into()));
            }
            self.sent += sent;
        }
        (self.sent, self.due) = (0, false);
        self.held.clear();
        // Idle connections hold no memory.
        if self.held.capacity() > LONG {
            self.held = Vec::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gather<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, parts: &[IoSlice<'_>]) -> Poll<Result<usize>> {
        let this = self.get_mut();
        let length: usize = parts.iter().map(|part| part.len()).sum();
        if length >= LONG || this.held.len() + length > FULL {
            ready!(this.send(cx))?;
        }
        if length >= LONG {
            return Pin::new(&mut this.stream).poll_write_vectored(cx, parts);
        }
        parts.iter().for_each(|part| this.held.extend_from_slice(part));
        Poll::Ready(Ok(length))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let this = self.get_mut();
        if !this.held.is_empty() && !std::mem::replace(&mut this.due, true) {
            // Behind all tasks that can run now.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        ready!(this.send(cx))?;
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let this = self.get_mut();
        ready!(this.send(cx))?;
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gather<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Notes what is written at a time, and takes at most `most` of it.
    #[derive(Clone)]
    struct Noted {
        writes: Arc<Mutex<Vec<Vec<u8>>>>,
        most: usize,
    }

    impl AsyncWrite for Noted {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
            let taken = bytes.len().min(self.most);
            self.writes.lock().unwrap().push(bytes[..taken].to_vec());
            Poll::Ready(Ok(taken))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn noted(most: usize) -> (Gather<Noted>, impl Fn() -> Vec<usize>) {
        let noted = Noted { writes: Arc::default(), most };
        let writes = noted.writes.clone();
        (Gather::new(noted), move || writes.lock().unwrap().iter().map(Vec::len).collect())
    }

    #[tokio::test]
    async fn what_is_written_before_the_task_runs_again_is_one_write() {
        let (mut stream, writes) = noted(usize::MAX);
        std::future::poll_fn(|cx| {
            for _ in 0..3 {
                assert!(Pin::new(&mut stream).poll_write(cx, &[0; 100]).is_ready());
            }
            assert!(Pin::new(&mut stream).poll_flush(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        assert_eq!(writes(), [0; 0]);
        stream.write_all(&[0; 50]).await.unwrap();
        stream.flush().await.unwrap();
        assert_eq!(writes(), [350]);
        // The next ones are held back again.
        stream.write_all(&[0; 10]).await.unwrap();
        assert_eq!(writes(), [350]);
        stream.shutdown().await.unwrap();
        assert_eq!(writes(), [350, 10]);
    }

    #[tokio::test]
    async fn nothing_waits_for_more_than_a_record_and_long_ones_go_as_they_are() {
        let (mut stream, writes) = noted(usize::MAX);
        for _ in 0..5 {
            stream.write_all(&[0; 4000]).await.unwrap();
        }
        assert_eq!(writes(), [16000]);
        stream.write_all(&[0; 40_000]).await.unwrap();
        assert_eq!(writes(), [16000, 4000, 40_000]);
    }

    #[tokio::test]
    async fn all_arrives_in_its_order_whatever_the_stream_takes_at_a_time() {
        let (ours, mut theirs) = tokio::io::duplex(7);
        let sent: Vec<u8> = (0..60_000u32).map(|number| (number % 251) as u8).collect();
        let expected = sent.clone();
        let writing = tokio::spawn(async move {
            let mut stream = Gather::new(ours);
            let mut rest = &sent[..];
            for length in [1, 500, 9000, 3, 16_384, 8191, 8192].into_iter().cycle() {
                let (part, others) = rest.split_at(length.min(rest.len()));
                stream.write_all(part).await.unwrap();
                stream.flush().await.unwrap();
                rest = others;
                if rest.is_empty() {
                    break;
                }
            }
            stream.shutdown().await.unwrap();
        });
        let mut got = Vec::new();
        theirs.read_to_end(&mut got).await.unwrap();
        writing.await.unwrap();
        assert!(got == expected);
        let (mut stuck, writes) = noted(0);
        stuck.write_all(b"x").await.unwrap();
        assert_eq!(stuck.flush().await.unwrap_err().kind(), std::io::ErrorKind::WriteZero);
        assert_eq!(writes(), [0]);
    }
}
