//! A trace: frames of one export, written to a capture file by a thread of its own.
//!
//! Whoever serves hands frames over and never waits: what the writer is not ready for is left out, and counted. File and time are bounded.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::fs::OFlags;

use super::pcapng::{self, Direction};

/// Frames between the one who serves and the writer.
const BACKLOG: usize = 1024;
/// How often what was written can be read by others, and how soon the end is noticed.
const FLUSH: Duration = Duration::from_secs(1);
/// Room for what is said in the end.
const RESERVE: u64 = 4096;

/// How far a trace may go.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of the file.
    pub max_bytes: u64,
    /// From the beginning on.
    pub duration: Duration,
    /// Bytes that are kept of a frame.
    pub snap_len: u32,
}

impl Default for Limits {
    /// 256 MiB, a minute, whole frames.
    fn default() -> Self {
        Self { max_bytes: 256 << 20, duration: Duration::from_secs(60), snap_len: 65_536 }
    }
}

/// A trace that goes on. Dropping it ends it.
#[derive(Debug)]
pub struct Trace {
    path: PathBuf,
    shared: Arc<Shared>,
    send: SyncSender<Captured>,
    limits: Limits,
    writer: Option<JoinHandle<io::Result<Written>>>,
}

/// Takes the frames. It belongs to the one who serves.
#[derive(Clone, Debug)]
pub struct Recorder {
    shared: Arc<Shared>,
    send: SyncSender<Captured>,
    snap_len: usize,
}

/// How a trace ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// The file.
    pub path: PathBuf,
    /// Frames in it.
    pub frames: u64,
    /// Its size.
    pub bytes: u64,
    /// Frames that are not in it: they came too fast, or it was full.
    pub dropped: u64,
}

#[derive(Debug, Default)]
struct Shared {
    /// Set by either side: no more frames are wanted.
    over: AtomicBool,
    dropped: AtomicU64,
}

#[derive(Debug)]
struct Captured {
    direction: Direction,
    interface: Arc<str>,
    time: Duration,
    data: Vec<u8>,
    len: u32,
}

#[derive(Debug)]
struct Written {
    frames: u64,
    bytes: u64,
}

impl Trace {
    /// Makes the file, for this user only, and begins. A file or link that is there already is left alone.
    ///
    /// # Errors
    ///
    /// Those of making the file and the thread.
    pub fn start(path: &Path, limits: Limits) -> io::Result<Self> {
        let flags = OFlags::NOFOLLOW.bits().cast_signed();
        let file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).custom_flags(flags).open(path)?;
        let (send, receive) = sync_channel(BACKLOG);
        let shared = Arc::new(Shared::default());
        let writer = Writer::new(file, limits, Arc::clone(&shared))?;
        let thread = thread::Builder::new().name("trace".into());
        let writer = thread.spawn(move || writer.run(&receive))?;
        Ok(Self { path: path.to_owned(), shared, send, limits, writer: Some(writer) })
    }

    /// What to hand frames over with.
    #[must_use]
    pub fn recorder(&self) -> Recorder {
        Recorder {
            shared: Arc::clone(&self.shared),
            send: self.send.clone(),
            snap_len: self.limits.snap_len as usize,
        }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it has come to its end by itself: a limit is reached, or the file cannot be written.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.writer.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Ends it. Frames that were handed over before are written.
    ///
    /// # Errors
    ///
    /// Those of writing the file, which then ends with what was written before.
    pub fn stop(mut self) -> io::Result<Finished> {
        let Written { frames, bytes } = self.end()?;
        let dropped = self.shared.dropped.load(Ordering::Relaxed);
        Ok(Finished { path: self.path.clone(), frames, bytes, dropped })
    }

    fn end(&mut self) -> io::Result<Written> {
        self.shared.over.store(true, Ordering::Release);
        let writer = self.writer.take().ok_or(io::ErrorKind::NotFound)?;
        // It waits for frames up to a second; this one is none, and only wakes it.
        let _ = self.send.try_send(Captured::nothing());
        writer.join().map_err(|_| io::Error::other("the writer of the trace failed"))?
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        if self.writer.is_some() {
            let _ = self.end();
        }
    }
}

impl Recorder {
    /// Takes a frame, given in pieces. Never waits.
    pub fn record<'a>(
        &self,
        direction: Direction,
        interface: &Arc<str>,
        time: SystemTime,
        pieces: impl Iterator<Item = &'a [u8]>,
    ) {
        if self.shared.over.load(Ordering::Acquire) {
            return;
        }
        let (mut data, mut len) = (Vec::new(), 0usize);
        for piece in pieces {
            len += piece.len();
            data.extend_from_slice(&piece[..piece.len().min(self.snap_len - data.len())]);
        }
        let time = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        let captured = Captured { direction, interface: Arc::clone(interface), time, data, len };
        if let Err(TrySendError::Full(_)) = self.send.try_send(captured) {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Captured {
    fn nothing() -> Self {
        Self {
            direction: Direction::Sent,
            interface: "".into(),
            time: Duration::ZERO,
            data: Vec::new(),
            len: 0,
        }
    }
}

struct Writer {
    file: BufWriter<File>,
    limits: Limits,
    shared: Arc<Shared>,
    started: Instant,
    interfaces: Vec<Arc<str>>,
    frames: u64,
    bytes: u64,
    /// How many of them are in the file for certain, in whole blocks.
    flushed: u64,
}

impl Writer {
    fn new(file: File, limits: Limits, shared: Arc<Shared>) -> io::Result<Self> {
        let started = Instant::now();
        let file = BufWriter::new(file);
        let mut writer =
            Self { file, limits, shared, started, interfaces: Vec::new(), frames: 0, bytes: 0, flushed: 0 };
        writer.write(&pcapng::section_header(concat!("vbladed ", env!("CARGO_PKG_VERSION"))))?;
        writer.flush()?;
        Ok(writer)
    }

    fn run(mut self, frames: &Receiver<Captured>) -> io::Result<Written> {
        let written = self.record(frames).and_then(|why| self.finish(why));
        self.shared.over.store(true, Ordering::Release);
        if written.is_err() {
            // Half a block would make the file unreadable. What is in memory goes nowhere.
            let (file, _) = self.file.into_parts();
            let _ = file.set_len(self.flushed);
        }
        written?;
        Ok(Written { frames: self.frames, bytes: self.bytes })
    }

    /// Writes until the end, and says what that was.
    fn record(&mut self, frames: &Receiver<Captured>) -> io::Result<&'static str> {
        let mut next_flush = self.started + FLUSH;
        loop {
            let now = Instant::now();
            if now >= next_flush {
                self.flush()?;
                next_flush = now + FLUSH;
            }
            if now.duration_since(self.started) >= self.limits.duration {
                return Ok("the time was over");
            }
            let over = self.shared.over.load(Ordering::Acquire);
            let wait = if over { Duration::ZERO } else { next_flush.saturating_duration_since(now) };
            match frames.recv_timeout(wait.min(self.limits.duration)) {
                Ok(frame) if frame.len == 0 => {}
                Ok(frame) => {
                    if !self.frame(&frame)? {
                        return Ok("the file was full");
                    }
                }
                Err(RecvTimeoutError::Timeout) if !over => {}
                Err(_) => return Ok("it was told to"),
            }
        }
    }

    /// Writes a frame, if there is room for it.
    fn frame(&mut self, frame: &Captured) -> io::Result<bool> {
        let known = self.interfaces.iter().position(|name| *name == frame.interface);
        let at = known.unwrap_or(self.interfaces.len());
        let mut block = Vec::new();
        if known.is_none() {
            block = pcapng::interface(&frame.interface, self.limits.snap_len);
        }
        let number = u32::try_from(at).unwrap_or(u32::MAX);
        block.extend(pcapng::packet(number, frame.direction, frame.time, &frame.data, frame.len));
        if self.bytes + block.len() as u64 + RESERVE > self.limits.max_bytes {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            return Ok(false);
        }
        if known.is_none() {
            self.interfaces.push(Arc::clone(&frame.interface));
        }
        self.write(&block)?;
        self.frames += 1;
        Ok(true)
    }

    fn finish(&mut self, why: &str) -> io::Result<()> {
        if !self.interfaces.is_empty() {
            let dropped = self.shared.dropped.load(Ordering::Relaxed);
            let comment = format!("ended because {why}; {dropped} frames are missing");
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            self.write(&pcapng::statistics(0, now, &comment))?;
        }
        self.flush()
    }

    fn write(&mut self, block: &[u8]) -> io::Result<()> {
        self.file.write_all(block)?;
        self.bytes += block.len() as u64;
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()?;
        self.flushed = self.bytes;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn record(recorder: &Recorder, data: &[u8]) {
        recorder.record(Direction::Received, &"eth0".into(), SystemTime::now(), [data].into_iter());
    }

    #[test]
    fn a_file_is_for_its_user_and_takes_no_others_place() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("t");
        let trace = Trace::start(&path, Limits::default()).expect("a trace");
        assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o600);
        assert!(Trace::start(&path, Limits::default()).is_err());
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(directory.path().join("elsewhere"), &link).expect("a link");
        assert!(Trace::start(&link, Limits::default()).is_err());
        let finished = trace.stop().expect("an end");
        assert_eq!((finished.frames, finished.dropped), (0, 0));
        assert_eq!(finished.bytes, fs::metadata(&path).expect("a file").len());
    }

    #[test]
    fn it_ends_when_the_file_is_full_and_says_so() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("t");
        let limits = Limits { max_bytes: 16 << 10, ..Limits::default() };
        let trace = Trace::start(&path, limits).expect("a trace");
        let recorder = trace.recorder();
        for _ in 0..20 {
            record(&recorder, &[7; 1000]);
        }
        let start = Instant::now();
        while !trace.is_over() && start.elapsed() < Duration::from_secs(60) {
            thread::sleep(Duration::from_millis(1));
        }
        let finished = trace.stop().expect("an end");
        assert!(finished.frames > 5 && finished.frames < 20 && finished.dropped >= 1, "{finished:?}");
        assert!(finished.bytes <= 16 << 10, "{finished:?}");
        let content = fs::read(&path).expect("a file");
        assert_eq!(content.len() as u64, finished.bytes);
        assert!(String::from_utf8_lossy(&content).contains("because the file was full"));
    }

    #[test]
    fn it_ends_when_the_time_is_over() {
        let directory = tempfile::tempdir().expect("a directory");
        let limits = Limits { duration: Duration::from_millis(30), ..Limits::default() };
        let trace = Trace::start(&directory.path().join("t"), limits).expect("a trace");
        let start = Instant::now();
        while !trace.is_over() && start.elapsed() < Duration::from_secs(60) {
            thread::sleep(Duration::from_millis(1));
        }
        record(&trace.recorder(), b"late");
        assert_eq!(trace.stop().expect("an end").frames, 0);
    }

    #[test]
    fn what_the_writer_is_not_ready_for_is_counted_and_nobody_waits() {
        let (send, receive) = sync_channel(2);
        let recorder = Recorder { shared: Arc::default(), send, snap_len: 4 };
        for _ in 0..5 {
            recorder.record(
                Direction::Sent,
                &"eth0".into(),
                SystemTime::now(),
                [&b"abc"[..], b"def"].into_iter(),
            );
        }
        assert_eq!(recorder.shared.dropped.load(Ordering::Relaxed), 3);
        let frame = receive.recv().expect("a frame");
        assert_eq!((frame.data.as_slice(), frame.len), (&b"abcd"[..], 6), "cut at the snap length");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_that_cannot_be_written_any_more_keeps_whole_blocks() {
        use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

        let file = memfd_create("trace", MemfdFlags::ALLOW_SEALING).expect("a file");
        let file = File::from(file);
        let ours = file.try_clone().expect("a file");
        let writer = Writer::new(file, Limits::default(), Arc::default()).expect("room");
        let whole = writer.flushed;
        // The disk is full in the middle of the next block.
        ours.set_len(whole + 8192).expect("room");
        fcntl_add_seals(&ours, SealFlags::GROW).expect("a seal");
        let (send, receive) = sync_channel(1);
        let data = vec![7; 60_000];
        send.send(Captured { interface: "eth0".into(), data, len: 60_000, ..Captured::nothing() })
            .expect("room");
        assert!(writer.run(&receive).is_err());
        assert_eq!(ours.metadata().expect("a file").len(), whole);
    }
}
