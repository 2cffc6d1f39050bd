//! The bodies of our responses. Large lists and watches are made while they are sent.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use api::catalog::Served;
use bytes::{BufMut, Bytes, BytesMut};
use futures::Stream;
use http_body::{Body as _, Frame, SizeHint};

use crate::exchange::Followed;
use crate::registry::Object;
use crate::rest::in_version;

/// Long enough that the cost per frame is small, short enough that a hundred lists at a time do not matter.
const CHUNK: usize = 64 * 1024;

pub enum Body {
    Full(Option<Bytes>),
    List(Box<ListBody>),
    Stream(Pin<Box<dyn Stream<Item = Bytes> + Send>>),
    Grpc(tonic::body::Body),
    /// One of the others, whose end somebody waits for.
    Followed(Box<Followed>),
}

/// A JSON list out of the bytes that the cache holds.
pub struct ListBody {
    head: Bytes,
    entries: VecDeque<Object>,
    first: bool,
    /// The version that is shown, where it is not the stored one. How long the list is then shows while it is made.
    form: Option<Arc<Served>>,
    tail: Option<Bytes>,
    left: u64,
}

impl ListBody {
    pub fn new(head: Bytes, entries: Vec<Object>, tail: Bytes, form: Option<Arc<Served>>) -> Self {
        let commas = entries.len().saturating_sub(1);
        let items: usize = entries.iter().map(|entry| entry.bytes.len()).sum();
        let left = (head.len() + items + commas + tail.len()) as u64;
        Self { head, entries: entries.into(), first: true, form, tail: Some(tail), left }
    }

    fn next_chunk(&mut self) -> Option<Bytes> {
        self.tail.as_ref()?;
        let mut chunk = BytesMut::with_capacity(CHUNK.min(self.left as usize));
        chunk.put(std::mem::take(&mut self.head));
        while let Some(entry) = self.entries.front() {
            let made;
            let bytes = match &self.form {
                None => &entry.bytes,
                Some(form) => {
                    made = in_version(form, entry.bytes.clone(), Some(entry));
                    &made
                }
            };
            if !chunk.is_empty() && chunk.len() + bytes.len() + 1 > CHUNK {
                break;
            }
            if !std::mem::take(&mut self.first) {
                chunk.put_u8(b',');
            }
            chunk.put_slice(bytes);
            self.entries.pop_front();
        }
        if self.entries.is_empty() {
            chunk.put(self.tail.take()?);
        }
        self.left = self.left.saturating_sub(chunk.len() as u64);
        Some(chunk.freeze())
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::Full(Some(bytes))
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Full(Some(bytes.into()))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        // The status is on its way already: all that can be done for this client is to cut its stream.
        let poll = daemon::panics::guarded(|| self.poll_parts(cx));
        poll.unwrap_or_else(|panic| {
            Poll::Ready(Some(Err(format!("the answer could not be completed: {panic}").into())))
        })
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Self::List(list) => list.tail.is_none(),
            Self::Stream(_) => false,
            Self::Grpc(body) => body.is_end_stream(),
            Self::Followed(followed) => followed.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::List(list) if list.form.is_some() => SizeHint::default(),
            Self::List(list) => SizeHint::with_exact(list.left),
            Self::Stream(_) => SizeHint::default(),
            Self::Grpc(body) => body.size_hint(),
            Self::Followed(followed) => followed.body.size_hint(),
        }
    }
}

type Error = Box<dyn std::error::Error + Send + Sync>;

impl Body {
    fn poll_parts(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match self {
            Self::Full(bytes) => Poll::Ready(bytes.take().filter(|b| !b.is_empty()).map(|b| Ok(Frame::data(b)))),
            Self::List(list) => Poll::Ready(list.next_chunk().map(|chunk| Ok(Frame::data(chunk)))),
            Self::Stream(stream) => stream.as_mut().poll_next(cx).map(|next| next.map(|bytes| Ok(Frame::data(bytes)))),
            Self::Grpc(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Self::Followed(followed) => {
                let poll = followed.body.poll_parts(cx);
                if let Poll::Ready(Some(Ok(frame))) = &poll
                    && let Some(data) = frame.data_ref()
                {
                    followed.sent(data);
                }
                poll
            }
        }
    }
}
