//! The end of a request: [`Done`], its [`Status`], and what `submit` answers, [`Submit`].

use std::io::{IoSlice, IoSliceMut};

use crate::io::Span;
use crate::{Extent, Io, IoBuf, Op};

/// How a request ended. The cause of a failure was logged where it happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use]
pub enum Status {
    /// Done, wholly.
    Ok,
    /// The extent reaches beyond the end of the device. Nothing was transferred.
    OutOfRange,
    /// The device does not take writes. Nothing was changed.
    ReadOnly,
    /// The device lacks the operation. Nothing was changed.
    Unsupported,
    /// The medium failed, also by a short transfer or a lack of space. A write may have changed any part of its extent.
    Media,
    /// Given up before it ran, or the device is gone. A write may have changed any part of its extent.
    Aborted,
}

impl Status {
    /// Whether the request was done, wholly.
    #[must_use]
    pub fn is_ok(self) -> bool {
        self == Self::Ok
    }
}

impl From<Result<(), Self>> for Status {
    fn from(result: Result<(), Self>) -> Self {
        match result {
            Ok(()) => Self::Ok,
            Err(status) => status,
        }
    }
}

/// The end of a request: its status, and the buffer back.
#[derive(Debug)]
#[must_use = "a finished request carries the buffer and the status"]
pub struct Done<B> {
    span: Span,
    tag: u64,
    buf: B,
    status: Status,
}

impl<B> Done<B> {
    pub(crate) fn new(span: Span, tag: u64, buf: B, status: Status) -> Self {
        Self { span, tag, buf, status }
    }

    /// How it ended.
    pub fn status(&self) -> Status {
        self.status
    }

    /// What was asked.
    #[must_use]
    pub fn op(&self) -> Op {
        self.span.op
    }

    /// Where.
    #[must_use]
    pub fn extent(&self) -> Extent {
        self.span.extent
    }

    /// The submitter's tag.
    #[must_use]
    pub fn tag(&self) -> u64 {
        self.tag
    }

    /// Where in the buffer the data starts.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.span.offset
    }

    /// The buffer, header included.
    #[must_use]
    pub fn buf(&self) -> &B {
        &self.buf
    }

    /// The buffer, to be changed.
    pub fn buf_mut(&mut self) -> &mut B {
        &mut self.buf
    }

    /// The buffer.
    #[must_use]
    pub fn into_buf(self) -> B {
        self.buf
    }

    /// The request again, as it was submitted; for a layer that tries once more or elsewhere.
    pub fn into_io(self) -> Io<B> {
        Io::again(self.span, self.tag, self.buf)
    }

    /// The same end with another status.
    pub fn with_status(mut self, status: Status) -> Self {
        self.status = status;
        self
    }
}

impl<B: IoBuf> Done<B> {
    /// The data in one piece, as [`Io::data`].
    #[must_use]
    pub fn data(&self) -> Option<&[u8]> {
        self.span.data(&self.buf)
    }

    /// The data in one piece, to be changed in place, as [`Io::data_mut`].
    #[must_use]
    pub fn data_mut(&mut self) -> Option<&mut [u8]> {
        self.span.data_mut(&mut self.buf)
    }

    /// The data as a list of pieces, in order.
    pub fn segments(&self) -> impl Iterator<Item = IoSlice<'_>> {
        self.span.segments(&self.buf)
    }

    /// The data as a list of pieces, in order, to be changed; a layer that decrypts does so here.
    pub fn segments_mut(&mut self) -> impl Iterator<Item = IoSliceMut<'_>> {
        self.span.segments_mut(&mut self.buf)
    }
}

/// What became of a submitted request.
#[derive(Debug)]
#[must_use]
pub enum Submit<B> {
    /// It has ended.
    Done(Done<B>),
    /// The queue keeps it; [`IoQueue::reap`](crate::IoQueue::reap) returns it.
    Queued,
    /// The queue has no room: submit it again after a `reap` that returned something.
    Full(Io<B>),
}
