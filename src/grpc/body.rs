//! The body of a response, watched until its end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use http::HeaderMap;
use http_body::{Frame, SizeHint};
use prost::bytes::Bytes;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::Status;
use tonic::body::Body;

use super::layer::{Rpc, panicked};
use super::status::{self, Stage};
use crate::domain::error::Error;

/// A response body that gives an error at its end a reason, turns a panic into an error, and tells the log how it ended.
pub(super) struct Watched {
    inner: Body,
    rpc: Rpc,
    /// When to end a stream that does not end by itself.
    until: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    ended: bool,
}

/// What a body returns when it is asked for its next frame.
pub(super) type Polled = Poll<Option<Result<Frame<Bytes>, Status>>>;

impl Watched {
    pub(super) fn new(inner: Body, rpc: Rpc, until: Option<CancellationToken>) -> Self {
        Self {
            inner,
            rpc,
            until: until.map(|token| Box::pin(token.cancelled_owned())),
            ended: false,
        }
    }

    /// Ends the body with `status`.
    fn end(&mut self, status: &Status) -> Polled {
        self.ended = true;
        self.rpc.ended_with(status);
        let mut trailers = HeaderMap::new();
        let added = status.add_header(&mut trailers);
        Poll::Ready(Some(added.map(|()| Frame::trailers(trailers))))
    }

    /// Passes the trailers on, with a reason where they tell of an error that has none.
    fn pass(&mut self, trailers: HeaderMap) -> Polled {
        let is_ok = trailers
            .get(Status::GRPC_STATUS)
            .is_none_or(|code| code == "0");
        let status = if is_ok {
            None
        } else {
            Status::from_header_map(&trailers)
        };
        match status {
            None => {
                self.ended = true;
                self.rpc.ended_well();
                Poll::Ready(Some(Ok(Frame::trailers(trailers))))
            }
            Some(status) => self.end(&status::complete(status, Stage::Response)),
        }
    }
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Polled {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        let inner = &mut this.inner;
        let poll = || {
            this.rpc
                .span
                .in_scope(|| Pin::new(inner).poll_frame(context))
        };
        match catch_unwind(AssertUnwindSafe(poll)) {
            Ok(Poll::Ready(Some(Ok(frame)))) => match frame.into_trailers() {
                Ok(trailers) => this.pass(trailers),
                Err(frame) => Poll::Ready(Some(Ok(frame))),
            },
            Ok(Poll::Pending) => {
                let stopped = this
                    .until
                    .as_mut()
                    .is_some_and(|until| until.as_mut().poll(context).is_ready());
                if stopped {
                    this.end(&Error::ShuttingDown.into())
                } else {
                    Poll::Pending
                }
            }
            Ok(other) => other,
            Err(panic) => {
                let status = this.rpc.span.in_scope(|| panicked(panic.as_ref()));
                this.end(&status)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
