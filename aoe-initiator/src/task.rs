//! One request of the caller: [`Task`], cut into pieces of a frame each.

use std::time::Duration;

use aoe_wire::{AtaCommand, ConfigCommand, ErrorCode, MacAddr, MaskCommand, ReserveCommand};
use bdev::{Io, IoBuf, Op, Status};

use crate::flight::Piece;
use crate::{Control, Failure, LinkId, RequestId};

/// Sectors that one TRIM request covers at most: 64 ranges of 65,535.
pub(crate) const TRIM_SECTORS: u32 = 64 * 65_535;

/// What a task is for.
#[derive(Debug)]
pub(crate) enum Work<B> {
    /// A block request. Taken out when the task ends.
    Io(Option<Io<B>>),
    /// A request in one frame.
    Control(Control, Origin),
}

/// Who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The caller.
    Caller(RequestId),
    /// The session, to know the disk.
    Identify,
    /// The session, to know whether a path works again.
    Probe,
    /// The session, to know what the target takes at once, when it has refused a request.
    Doubt,
}

/// How long replies take differs between these, so each has its own estimate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Read,
    Write,
    /// Flush, trim, and everything that is no block request.
    Other,
}

/// One request of the caller.
#[derive(Debug)]
pub(crate) struct Task<B> {
    pub(crate) work: Work<B>,
    /// Tells tasks apart that had the same key.
    pub(crate) number: u64,
    pub(crate) deadline: Option<Duration>,
    /// The one path it may take.
    pub(crate) only: Option<(LinkId, MacAddr)>,
    pub(crate) taken: Duration,
    /// Sectors cut off so far.
    next: u32,
    /// Pieces that were too long for their path, still to be cut.
    rest: Vec<Piece>,
    /// The data is there, and a flush makes it durable.
    flushing: bool,
    /// Pieces that were cut and have not ended.
    pub(crate) open: u32,
    pub(crate) failure: Option<Failure>,
    /// The target's last word was that it cannot do it at present.
    pub(crate) refused: Option<ErrorCode>,
    /// It has ended, and waits for those before it.
    pub(crate) ended: Option<Duration>,
}

impl<B> Task<B> {
    pub(crate) fn new(work: Work<B>, deadline: Option<Duration>, only: Option<(LinkId, MacAddr)>) -> Self {
        Self {
            work,
            number: 0,
            deadline,
            only,
            taken: Duration::ZERO,
            next: 0,
            rest: Vec::new(),
            flushing: false,
            open: 0,
            failure: None,
            refused: None,
            ended: None,
        }
    }

    pub(crate) fn io(&self) -> Option<&Io<B>> {
        match &self.work {
            Work::Io(io) => io.as_ref(),
            Work::Control(..) => None,
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        match self.io().map(Io::op) {
            Some(Op::Read) => Kind::Read,
            Some(Op::Write { .. }) if !self.flushing => Kind::Write,
            _ => Kind::Other,
        }
    }

    /// Whether a reply to an earlier sending ends it as well as one to the last. Not if it changes something: its successor may still be
    /// on its way and, if that is executed after what is written next, undo it.
    pub(crate) fn takes_late(&self) -> bool {
        match &self.work {
            Work::Io(_) => self.kind() == Kind::Read || self.is_flush(),
            Work::Control(Control::Config { command, .. }, _) => {
                ![ConfigCommand::SET, ConfigCommand::FORCE].contains(command)
            }
            Work::Control(Control::Mask { command, .. }, _) => *command == MaskCommand::READ,
            Work::Control(Control::Reserve { command, .. }, _) => *command == ReserveCommand::READ,
            Work::Control(Control::Ata { arg, .. }, _) => arg.command() == AtaCommand::IDENTIFY_DEVICE,
        }
    }

    /// Whether its pieces move sectors to or from the disk.
    pub(crate) fn has_data(&self) -> bool {
        !self.is_flush() && self.io().is_some_and(|io| io.op().has_data())
    }

    /// Whether what is sent next, or was sent last, is a flush.
    pub(crate) fn is_flush(&self) -> bool {
        self.flushing || matches!(self.io().map(Io::op), Some(Op::Flush))
    }

    /// The next piece of at most `most` sectors; `None` when everything is cut, or a piece has failed.
    pub(crate) fn cut(&mut self, most: u8) -> Option<Piece> {
        if self.failure.is_some() {
            return None;
        }
        let most = match self.io()?.op() {
            Op::Read | Op::Write { .. } => u32::from(most.max(1)),
            Op::Discard | Op::WriteZeroes => TRIM_SECTORS,
            Op::Flush => 1,
        };
        if let Some(piece) = self.rest.pop() {
            let (piece, behind) = split(piece, most);
            self.rest.extend(behind);
            self.open += 1;
            return Some(piece);
        }
        // A flush is one piece without sectors, so it is cut as if it had one.
        let all = if self.is_flush() { 1 } else { self.io()?.extent().sectors };
        let sectors = most.min(all.checked_sub(self.next).filter(|left| *left > 0)?);
        let piece = Piece { at: self.next, sectors };
        self.next += sectors;
        self.open += 1;
        Some(piece)
    }

    /// Takes back the piece that was cut last: it was not sent.
    pub(crate) fn uncut(&mut self, piece: Piece) {
        self.open -= 1;
        self.rest.push(piece);
    }

    /// Whether [`cut`](Self::cut) has something.
    pub(crate) fn has_more(&self) -> bool {
        let Some(io) = self.io() else { return false };
        let all = if self.is_flush() { 1 } else { io.extent().sectors };
        self.failure.is_none() && (self.next < all || !self.rest.is_empty())
    }

    /// Shortens a piece to `most` sectors; what is cut off is handed out by [`cut`](Self::cut) again.
    pub(crate) fn shorten(&mut self, piece: &mut Piece, most: u8) {
        let (first, behind) = split(*piece, u32::from(most.max(1)));
        *piece = first;
        self.rest.extend(behind);
    }

    /// Whether everything was cut and has ended, or something failed and nothing is open.
    pub(crate) fn is_over(&self) -> bool {
        self.open == 0 && !self.has_more()
    }

    /// Goes on with a flush, once the data is there.
    pub(crate) fn flush_behind(&mut self) {
        (self.flushing, self.next) = (true, 0);
    }
}

impl<B: IoBuf> Task<B> {
    /// The status it ends with.
    pub(crate) fn status(&self) -> Status {
        self.failure.as_ref().map_or(Status::Ok, Failure::status)
    }
}

/// A request dropped with its initiator is given up.
impl<B> Drop for Task<B> {
    fn drop(&mut self) {
        if let Work::Io(io) = &mut self.work
            && let Some(io) = io.take()
        {
            let _ = io.abandon();
        }
    }
}

fn split(piece: Piece, most: u32) -> (Piece, Option<Piece>) {
    let sectors = piece.sectors.min(most);
    let behind = Piece { at: piece.at + sectors, sectors: piece.sectors - sectors };
    (Piece { sectors, ..piece }, (behind.sectors > 0).then_some(behind))
}

#[cfg(test)]
mod tests {
    use bdev::Extent;

    use super::*;

    fn pieces(task: &mut Task<Vec<u8>>, most: u8) -> Vec<(u32, u32)> {
        std::iter::from_fn(|| task.cut(most)).map(|piece| (piece.at, piece.sectors)).collect()
    }

    fn task(io: Io<Vec<u8>>) -> Task<Vec<u8>> {
        Task::new(Work::Io(Some(io)), None, None)
    }

    #[test]
    fn a_request_is_cut_into_frames_and_the_last_is_shorter() {
        let mut task = task(Io::read(Extent::new(100, 40), vec![], 0));
        assert_eq!(pieces(&mut task, 17), [(0, 17), (17, 17), (34, 6)]);
        assert_eq!(task.open, 3);
    }

    #[test]
    fn a_piece_too_long_for_its_path_is_shortened_and_the_rest_cut_again() {
        let mut task = task(Io::read(Extent::new(0, 20), vec![], 0));
        let mut piece = task.cut(17).unwrap();
        task.shorten(&mut piece, 2);
        assert_eq!((piece.at, piece.sectors), (0, 2));
        let rest = pieces(&mut task, 8);
        assert_eq!(rest.iter().map(|piece| piece.1).sum::<u32>(), 18);
        assert!(rest.iter().all(|piece| piece.1 <= 8));
    }

    #[test]
    fn a_flush_is_one_piece_and_an_empty_read_none() {
        let mut flush = task(Io::flush(vec![]));
        assert_eq!(pieces(&mut flush, 2).len(), 1);
        assert!(!flush.has_more());
        let mut empty = task(Io::read(Extent::new(5, 0), vec![], 0));
        assert!(empty.is_over() && empty.cut(2).is_none());
    }

    #[test]
    fn after_a_failure_nothing_more_is_cut_and_what_is_open_is_waited_for() {
        let mut task = task(Io::read(Extent::new(0, 20), vec![], 0));
        task.cut(2).unwrap();
        task.failure = Some(Failure::NotFound);
        assert!(task.cut(2).is_none() && !task.is_over());
        task.open = 0;
        assert!(task.is_over());
    }
}
