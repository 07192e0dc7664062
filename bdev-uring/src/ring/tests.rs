//! What no file does: kernels short of memory, and transfers that end only when they are cancelled.

use std::io::{PipeReader, PipeWriter, Write as _, pipe};
use std::sync::mpsc;

use io_uring::opcode::{OpenAt, Read};
use io_uring::types::Fd;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::*;

/// A ring whose data comes out of a pipe: a read ends when there is a byte.
fn ring() -> (Ring, PipeWriter, PipeReader) {
    let (reader, writer) = pipe().unwrap();
    (Ring::new(8, reader.as_fd(), reader.as_fd()).unwrap(), writer, reader)
}

/// Has a read of one byte taken.
fn read(ring: &mut Ring, name: u32) {
    let byte: &'static mut u8 = Box::leak(Box::new(0));
    // SAFETY: the byte is there for good, and nobody touches it.
    unsafe { ring.transfer(name, Read::new(DATA, byte, 1).build()) };
}

fn is_readable(ring: &Ring, seconds: i64) -> bool {
    let timeout = Timespec { tv_sec: seconds, tv_nsec: 0 };
    poll(&mut [PollFd::new(&ring.event(), PollFlags::IN)], Some(&timeout)).unwrap() > 0
}

#[test]
fn what_the_kernel_has_no_memory_for_is_waited_for_where_nothing_else_would_wake_anybody() {
    let (mut ring, mut writer, _reader) = ring();
    writer.write_all(&[7]).unwrap();
    read(&mut ring, 3);
    ring.shortages = PATIENCE + 20;
    ring.submit().unwrap();
    assert!(!ring.has_todo());
    assert!(is_readable(&ring, 20));
    assert_eq!(ring.next(), Some(Event::Transfer { name: 3, result: 1 }));
}

#[test]
fn what_the_kernel_has_no_memory_for_follows_when_something_else_ends() {
    let (mut ring, mut writer, _reader) = ring();
    read(&mut ring, 1);
    ring.submit().unwrap();
    read(&mut ring, 2);
    ring.shortages = u32::MAX;
    ring.submit().unwrap();
    assert!(ring.has_todo());
    assert_eq!(
        u32::MAX - ring.shortages,
        PATIENCE + 1,
        "that was a moment: there is something that will end"
    );
    ring.shortages = 0;
    writer.write_all(&[7, 7]).unwrap();
    assert!(is_readable(&ring, 20), "the end of the first tells when to try again");
    assert_eq!(ring.next(), Some(Event::Transfer { name: 1, result: 1 }));
    ring.submit().unwrap();
    assert!(is_readable(&ring, 20));
    assert_eq!(ring.next(), Some(Event::Transfer { name: 2, result: 1 }));
}

#[test]
fn a_kernel_that_stays_short_of_memory_does_not_hold_the_thread_for_ever() {
    let (mut ring, _writer, _reader) = ring();
    read(&mut ring, 1);
    ring.shortages = u32::MAX;
    ring.submit().unwrap();
    assert!(ring.has_todo());
}

#[test]
fn at_the_end_what_would_never_end_by_itself_is_cancelled() {
    let (mut ring, _writer, _reader) = ring();
    (0..6).for_each(|name| read(&mut ring, name));
    ring.submit().unwrap();
    assert_eq!(ring.next(), None, "they wait for bytes");
    // Should it hang, this thread tells.
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || tell.send(ring.finish()));
    assert_eq!(told.recv_timeout(Duration::from_secs(20)), Ok(true));
}

#[test]
fn a_ring_opens_no_file() {
    let (mut ring, ..) = ring();
    let open = OpenAt::new(Fd(libc::AT_FDCWD), c"/dev/null".as_ptr()).flags(libc::O_RDONLY).build();
    // SAFETY: the name is there for good.
    unsafe { ring.transfer(4, open) };
    ring.submit().unwrap();
    assert!(is_readable(&ring, 20));
    assert_eq!(ring.next(), Some(Event::Transfer { name: 4, result: -libc::EACCES }));
}
