//! What cannot be brought about from outside: failing flushes, and kernels without `RWF_DSYNC`.

use std::cell::RefCell;
use std::os::fd::AsRawFd;

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::OFlags;
use tempfile::NamedTempFile;

use super::*;

fn disk(direct: bool) -> (FileDisk, NamedTempFile) {
    let file = NamedTempFile::new().unwrap();
    file.as_file().set_len(1 << 16).unwrap();
    let disk = FileDisk::open(&FileOptions { direct, ..FileOptions::new(file.path()) }).unwrap();
    (disk, file)
}

/// Something that cannot be synced.
fn unsyncable() -> OwnedFd {
    eventfd(0, EventfdFlags::empty()).unwrap()
}

#[test]
fn only_a_direct_disk_has_o_direct_set() {
    for direct in [false, true] {
        let (disk, _file) = disk(direct);
        let flags = rustix::fs::fcntl_getfl(&disk.fd).unwrap();
        assert_eq!(flags.contains(OFlags::DIRECT), direct);
        assert!(!flags.contains(OFlags::NONBLOCK));
    }
}

#[test]
fn a_failed_flush_is_remembered_until_the_file_is_opened_anew() {
    let (mut disk, _file) = disk(false);
    assert_eq!(disk.flush(), Ok(()));
    let good = disk.sync.replace(unsyncable());
    assert_eq!(disk.flush(), Err(Status::Media));
    disk.sync = good;
    assert_eq!(disk.flush(), Err(Status::Media), "the kernel would say yes, and does not know better");
    assert_eq!(disk.write_at(0, &[1; 512]), Ok(()), "writes go on");
}

#[test]
fn durable_writes_fall_back_to_a_sync_once_and_for_all() {
    let (disk, _file) = disk(false);
    let tried = RefCell::new(Vec::new());
    let write = |flags| {
        tried.borrow_mut().push(flags);
        if flags == ReadWriteFlags::DSYNC { Err(Cause::Os(Errno::OPNOTSUPP)) } else { Ok(()) }
    };
    assert_eq!(disk.write_durably(write), Ok(()));
    assert_eq!(disk.write_durably(write), Ok(()));
    let (dsync, plain) = (ReadWriteFlags::DSYNC, ReadWriteFlags::empty());
    assert_eq!(*tried.borrow(), [dsync, plain, plain]);
}

#[test]
fn the_sync_after_a_durable_write_decides() {
    let (mut disk, _file) = disk(false);
    disk.dsync.store(false, Ordering::Relaxed);
    disk.sync = Some(unsyncable());
    assert_eq!(disk.write_durably(|_| Ok(())), Err(Cause::Os(Errno::INVAL)));
    assert_eq!(disk.flush(), Err(Status::Media));
}

#[test]
fn a_failed_durable_write_does_not_use_up_what_the_next_flush_must_be_told() {
    let (mut disk, _file) = disk(false);
    let flushes = disk.sync.as_ref().unwrap().as_raw_fd();
    assert_ne!(flushes, disk.fd.as_raw_fd(), "the kernel tells each descriptor once");
    assert_eq!(disk.write_durably(|_| Err(Cause::Os(Errno::NOSPC))), Err(Cause::Os(Errno::NOSPC)));
    assert_eq!(disk.flush(), Ok(()), "nothing was lost for lack of space");
    disk.sync = Some(unsyncable());
    assert_eq!(disk.write_fua_at(0, &[1; 512]), Ok(()));
    assert_eq!(disk.flush(), Err(Status::Media));
}

#[test]
fn zeroing_that_the_file_system_refuses_is_unsupported_and_its_ends_are_written() {
    let (mut disk, file) = disk(false);
    assert_eq!(disk.write_at(0, &[1; 24 * 512]), Ok(()));
    let refuse = |_, _| Err(Cause::Os(Errno::OPNOTSUPP));
    assert_eq!(disk.zero("discard", Extent::new(1, 2), refuse), Err(Status::Unsupported));
    disk.zero_unit = 4096;
    let seen = RefCell::new(Vec::new());
    let note = |at, len| {
        seen.borrow_mut().push((at, len));
        Ok(())
    };
    assert_eq!(disk.zero("discard", Extent::new(1, 20), note), Ok(()));
    assert_eq!(disk.zero("discard", Extent::new(17, 2), note), Ok(()), "inside one unit: only written");
    assert_eq!(*seen.borrow(), [(4096, 4096)]);
    let zeros: Vec<_> =
        std::fs::read(file.path()).unwrap().chunks(512).take(24).map(|sector| sector == [0; 512]).collect();
    let expected: Vec<_> =
        (0..24).map(|sector| (1..8).contains(&sector) || (16..21).contains(&sector)).collect();
    assert_eq!(zeros, expected);
}

#[test]
fn a_direct_disk_moves_its_tail_with_its_size() {
    let (mut disk, file) = disk(true);
    let tail = rustix::fs::open(file.path(), OFlags::RDWR, rustix::fs::Mode::empty()).unwrap();
    let alignment = Alignment { memory: 4096, offset: 4096 };
    disk.direct = Some(Direct::new(alignment, 1 << 16, Some(tail)));
    for size in [8192 + 1536, 20480 + 512, 4096] {
        file.as_file().set_len(size).unwrap();
        let last = disk.reread_size().unwrap() - 1;
        assert_eq!(last, size / 512 - 1);
        let mut back = [1; 512];
        assert_eq!(disk.write_at(last, &[7; 512]), Ok(()));
        assert_eq!((disk.read_at(last, &mut back), back), (Ok(()), [7; 512]));
        assert_eq!(file.as_file().metadata().unwrap().len(), size);
    }
}
