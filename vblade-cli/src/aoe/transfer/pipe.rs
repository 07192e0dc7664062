//! Standard input and output, and other files without a position, as the local side of a transfer.
//!
//! Each has a thread of its own: a pipe may keep its reader or writer waiting for any time, and meanwhile requests in flight need to be
//! sent again.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread;

use bdev::{AlignedBuf, Extent, IoBuf, SECTOR_SIZE};

use super::{CHUNK, Fill, LocalError, Sink, Source};
use crate::range::Sectors;

/// Buffers that are read ahead or wait to be written.
const AHEAD: usize = 4;

/// Sectors from a pipe, in order.
pub(crate) struct PipeSource {
    full: Receiver<Result<AlignedBuf, LocalError>>,
    empty: Sender<AlignedBuf>,
}

/// What to do at the end of a pipe.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PipeEnd {
    /// Fill a last sector that is not whole with zeros, instead of refusing it.
    pub(crate) pad: bool,
    /// Stop at the end of the range; otherwise more data is an error.
    pub(crate) ignore_rest: bool,
}

impl PipeSource {
    /// Reads at most the sectors of `range` from `input`.
    pub(crate) fn new(input: impl Read + Send + 'static, range: Sectors, end: PipeEnd) -> io::Result<Self> {
        let (filled, full) = channel();
        let (empty, to_fill) = channel();
        for _ in 0..AHEAD {
            // The receiver is alive: it is in this function.
            let _ = empty.send(AlignedBuf::with_len(CHUNK as usize * SECTOR_SIZE, 4096));
        }
        let reader = move || {
            let send = |result| filled.send(result);
            if let Err(error) = read(input, range, end, &to_fill, |buf| send(Ok(buf)).is_ok()) {
                // Nobody listens when the transfer has broken off.
                let _ = send(Err(error));
            }
        };
        thread::Builder::new().name("input".to_owned()).spawn(reader)?;
        Ok(Self { full, empty })
    }
}

impl Source for PipeSource {
    fn fill(&mut self, _: Extent, buf: AlignedBuf) -> Result<Fill, LocalError> {
        match self.full.try_recv() {
            Ok(Ok(full)) => {
                // The thread is gone when it has read everything, and needs no buffer then.
                let _ = self.empty.send(buf);
                Ok(Fill::Ready(full))
            }
            Ok(Err(error)) => Err(error),
            Err(TryRecvError::Empty) => Ok(Fill::Wait(buf)),
            Err(TryRecvError::Disconnected) => Ok(Fill::End),
        }
    }

    fn is_at_end(&mut self) -> Result<bool, LocalError> {
        match self.full.try_recv() {
            Ok(Err(error)) => Err(error),
            Err(TryRecvError::Disconnected) => Ok(true),
            Ok(Ok(_)) | Err(TryRecvError::Empty) => Ok(false),
        }
    }
}

/// Reads in the steps in which the transfer asks. `give` says whether somebody still listens.
fn read(
    mut input: impl Read,
    range: Sectors,
    end: PipeEnd,
    empty: &Receiver<AlignedBuf>,
    give: impl Fn(AlignedBuf) -> bool,
) -> Result<(), LocalError> {
    let mut at = range.start;
    while let Some(step) = range.step(at, CHUNK) {
        let Ok(mut buf) = empty.recv() else { return Ok(()) };
        buf.set_len(step.bytes());
        let have = read_full(&mut input, buf.bytes_mut())?;
        let (whole, partial) = (have / SECTOR_SIZE * SECTOR_SIZE, have % SECTOR_SIZE);
        let sent = match partial {
            0 => whole,
            _ if end.pad => whole + SECTOR_SIZE,
            _ => whole,
        };
        if let Some(padding) = buf.bytes_mut().get_mut(have..sent) {
            padding.fill(0);
        }
        buf.set_len(sent);
        if sent > 0 && !give(buf) {
            return Ok(());
        }
        if partial > 0 && !end.pad {
            return Err(LocalError::Partial { bytes: partial });
        }
        if have < step.bytes() {
            return Ok(());
        }
        at = step.end();
    }
    if !end.ignore_rest && read_full(&mut input, &mut [0])? > 0 {
        return Err(LocalError::TooLong);
    }
    Ok(())
}

/// Reads until `data` is full or the input ends.
fn read_full(input: &mut impl Read, data: &mut [u8]) -> Result<usize, LocalError> {
    let mut have = 0;
    while let Some(rest) = data.get_mut(have..).filter(|rest| !rest.is_empty()) {
        match input.read(rest) {
            Ok(0) => break,
            Ok(more) => have += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(LocalError::Read(error)),
        }
    }
    Ok(have)
}

/// Sectors into a pipe. They may end in any order, and are written in the right one.
pub(crate) struct PipeSink {
    full: Sender<AlignedBuf>,
    written: Receiver<Result<AlignedBuf, LocalError>>,
    /// The sector that is to be written next.
    next: u64,
    early: Vec<(Extent, AlignedBuf)>,
    /// Buffers at the thread.
    out: usize,
}

impl PipeSink {
    /// Writes sectors from `start` on to `output`.
    pub(crate) fn new(mut output: impl Write + Send + 'static, start: u64) -> io::Result<Self> {
        let (full, to_write) = channel::<AlignedBuf>();
        let (done, written) = channel();
        let writer = move || {
            for buf in to_write {
                let result = output.write_all(buf.bytes()).and_then(|()| output.flush());
                let failed = result.is_err();
                if done.send(result.map(|()| buf).map_err(LocalError::Write)).is_err() || failed {
                    return;
                }
            }
        };
        thread::Builder::new().name("output".to_owned()).spawn(writer)?;
        Ok(Self { full, written, next: start, early: Vec::new(), out: 0 })
    }
}

impl Sink for PipeSink {
    fn take(&mut self, extent: Extent, buf: AlignedBuf) -> Result<Option<AlignedBuf>, LocalError> {
        self.early.push((extent, buf));
        while let Some(at) = self.early.iter().position(|(extent, _)| extent.lba == self.next) {
            let (extent, buf) = self.early.swap_remove(at);
            self.next = extent.end();
            self.out += 1;
            // A thread that is gone has left its reason for `reclaim`.
            let _ = self.full.send(buf);
        }
        Ok(None)
    }

    fn reclaim(&mut self) -> Result<Option<AlignedBuf>, LocalError> {
        match self.written.try_recv() {
            Ok(result) => {
                self.out -= 1;
                result.map(Some)
            }
            Err(_) => Ok(None),
        }
    }

    fn is_busy(&self) -> bool {
        self.out > 0
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::{Duration, Instant};

    use super::*;

    const ROOM: Sectors = Sectors { start: 5, end: 5 + 3 * CHUNK as u64 };

    /// Everything that a source gives, and how it ends.
    fn drain(input: Vec<u8>, range: Sectors, end: PipeEnd) -> (Vec<u8>, Result<(), LocalError>) {
        let mut source = PipeSource::new(io::Cursor::new(input), range, end).expect("a thread");
        let (mut all, start) = (Vec::new(), Instant::now());
        let mut spare = AlignedBuf::with_len(CHUNK as usize * SECTOR_SIZE, 512);
        loop {
            assert!(start.elapsed() < Duration::from_secs(30), "no end");
            spare = match source.fill(Extent::default(), spare) {
                Ok(Fill::Ready(buf)) => {
                    all.extend(buf.bytes());
                    buf
                }
                Ok(Fill::Wait(buf)) => buf,
                Ok(Fill::End) => return (all, Ok(())),
                Err(error) => return (all, Err(error)),
            };
        }
    }

    fn input(bytes: usize) -> Vec<u8> {
        (0..bytes).map(|at| (at / 100) as u8).collect()
    }

    #[test]
    fn a_pipe_that_fills_the_range_or_less_is_read_whole() {
        let room = usize::try_from(ROOM.bytes()).unwrap();
        for bytes in [0, 512, room - 512, room] {
            let (read, end) = drain(input(bytes), ROOM, PipeEnd::default());
            assert!(read == input(bytes), "{bytes}");
            assert!(end.is_ok(), "{end:?}");
        }
    }

    #[test]
    fn a_pipe_that_is_longer_than_the_range_is_an_error_unless_a_length_was_given() {
        let room = usize::try_from(ROOM.bytes()).unwrap();
        let (read, end) = drain(input(room + 1), ROOM, PipeEnd::default());
        assert_eq!(read.len(), room);
        assert!(matches!(end, Err(LocalError::TooLong)), "{end:?}");
        let (read, end) = drain(input(room + 1), ROOM, PipeEnd { ignore_rest: true, pad: false });
        assert!(read.len() == room && end.is_ok());
    }

    #[test]
    fn a_last_sector_that_is_not_whole_is_padded_or_refused() {
        let (read, end) = drain(input(1025), ROOM, PipeEnd::default());
        assert_eq!(read, input(1024));
        assert!(matches!(end, Err(LocalError::Partial { bytes: 1 })), "{end:?}");
        let (read, end) = drain(input(1025), ROOM, PipeEnd { pad: true, ignore_rest: false });
        assert_eq!(read, [input(1025), vec![0; 511]].concat());
        assert!(end.is_ok());
    }

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, data: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(data);
            Ok(data.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn buf(byte: u8) -> AlignedBuf {
        let mut buf = AlignedBuf::with_len(512, 512);
        buf.bytes_mut().fill(byte);
        buf
    }

    fn settle(sink: &mut PipeSink) -> Result<usize, LocalError> {
        let (mut count, start) = (0, Instant::now());
        while sink.is_busy() {
            assert!(start.elapsed() < Duration::from_secs(30), "no end");
            count += usize::from(sink.reclaim()?.is_some());
        }
        Ok(count)
    }

    #[test]
    fn sectors_that_arrive_in_any_order_are_written_in_theirs() {
        let output = Shared::default();
        let mut sink = PipeSink::new(output.clone(), 7).expect("a thread");
        for lba in [9, 8, 7, 10] {
            sink.take(Extent::new(lba, 1), buf(lba as u8)).unwrap();
        }
        assert_eq!(settle(&mut sink).unwrap(), 4);
        let expected: Vec<u8> = (7..=10).flat_map(|byte| [byte; 512]).collect();
        assert_eq!(*output.0.lock().unwrap(), expected);
    }

    #[test]
    fn a_pipe_that_breaks_is_told() {
        struct Broken;
        impl Write for Broken {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut sink = PipeSink::new(Broken, 0).expect("a thread");
        sink.take(Extent::new(0, 1), buf(0)).unwrap();
        assert!(matches!(settle(&mut sink), Err(LocalError::Write(_))));
    }
}
