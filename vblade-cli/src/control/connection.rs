//! One client: what came of a request, what is left of an answer. Never waits, and never holds more than it is told.

use std::io::{self, ErrorKind, Read, Write};
use std::mem;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

/// How long a client may take to accept an answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// A client of either kind: `S` is its socket, which does not block.
#[derive(Debug)]
pub(super) struct Connection<S> {
    stream: S,
    input: Vec<u8>,
    output: Vec<u8>,
    /// How much of `output` has gone.
    sent: usize,
    /// When it was accepted, gave its last request, or was answered.
    since: Instant,
    /// Nothing more will come of it, or is wanted.
    ended: bool,
}

impl<S: Read + Write + AsFd> Connection<S> {
    pub(super) fn new(stream: S, now: Instant) -> Self {
        Self { stream, input: Vec::new(), output: Vec::new(), sent: 0, since: now, ended: false }
    }

    /// What to wait for. Whoever has not taken its answer is not listened to.
    pub(super) fn event(&self) -> PollFd<'_> {
        let flags = if self.is_answering() { PollFlags::OUT } else { PollFlags::IN };
        PollFd::new(&self.stream, flags)
    }

    /// Takes in what is there, up to `limit` bytes altogether.
    pub(super) fn receive(&mut self, limit: usize) -> io::Result<()> {
        let mut chunk = [0; 4096];
        while !self.ended && !self.is_answering() && self.input.len() < limit {
            let room = chunk.len().min(limit - self.input.len());
            match self.stream.read(&mut chunk[..room]) {
                Ok(0) => self.ended = true,
                Ok(len) => self.input.extend_from_slice(&chunk[..len]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// What came and was not taken.
    pub(super) fn input(&self) -> &[u8] {
        &self.input
    }

    /// Takes the first `len` bytes of it.
    pub(super) fn take(&mut self, len: usize, now: Instant) -> Vec<u8> {
        self.since = now;
        let rest = self.input.split_off(len);
        mem::replace(&mut self.input, rest)
    }

    /// Sends `answer`, as far as there is room; [`send`](Self::send) the rest.
    pub(super) fn answer(&mut self, answer: Vec<u8>, now: Instant) -> io::Result<()> {
        self.output = answer;
        self.sent = 0;
        self.since = now;
        self.send(now)
    }

    /// Sends what is left of an answer. Fails when the client has been taking too long.
    pub(super) fn send(&mut self, now: Instant) -> io::Result<()> {
        while self.is_answering() {
            match self.stream.write(&self.output[self.sent..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(len) => self.sent += len,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let in_time = self.idle(now) < PATIENCE;
                    return if in_time { Ok(()) } else { Err(ErrorKind::TimedOut.into()) };
                }
                Err(error) => return Err(error),
            }
        }
        // The memory of a large answer is not kept.
        self.output = Vec::new();
        self.sent = 0;
        Ok(())
    }

    /// Whether part of an answer is left.
    pub(super) fn is_answering(&self) -> bool {
        self.sent < self.output.len()
    }

    /// Nothing more is taken of it.
    pub(super) fn end(&mut self) {
        self.ended = true;
        self.input.clear();
    }

    /// Whether nothing more comes: what is in [`input`](Self::input) is the last.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether it can be closed.
    pub(super) fn is_over(&self) -> bool {
        self.ended && !self.is_answering() && self.input.is_empty()
    }

    /// How long ago it did anything.
    pub(super) fn idle(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }
}
