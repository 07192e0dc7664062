//! A look at every frame of a target, as for a capture: [`Tapped`].

use crate::port::Port;
use crate::{IoBuf, Link, LinkId};

/// A frame that a target has taken or sends, and what is known about it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Tapped<'a> {
    /// The link that it came by or goes by.
    pub link: LinkId,
    /// Which of both.
    pub direction: Direction,
    /// The frame, from destination address on: its pieces, in order. One piece from most links.
    pub pieces: &'a [&'a [u8]],
}

/// Whether a frame comes or goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// It was received, and is seen before it is judged: also when it gets no answer.
    Received,
    /// It is a reply or an advertisement, and is seen before the link takes it.
    Sent,
}

/// Is shown every frame of a target, see [`Server::set_tap`](crate::Server::set_tap).
pub type Tap = Box<dyn FnMut(Tapped<'_>) + Send>;

/// Shows a frame to whoever wants to see it.
/// `port` is the link, at place number `at`.
#[cold]
pub(crate) fn show<L: Link>(
    tap: &mut Tap,
    port: &Port<L>,
    at: usize,
    direction: Direction,
    frame: &L::Frame,
) {
    let link = LinkId::of(at, port);
    if L::Frame::MAX_SEGMENTS == 1 {
        return tap(Tapped { link, direction, pieces: &[frame.bytes()] });
    }
    let pieces: Vec<_> = frame.segments().collect();
    tap(Tapped { link, direction, pieces: &pieces });
}
