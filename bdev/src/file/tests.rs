//! What cannot be brought about from outside: failing flushes, and kernels without `RWF_DSYNC`.

use std::cell::{Cell, RefCell};
use std::os::fd::AsRawFd;
use std::thread;
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::OFlags;
use rustix::io::Errno;
use tempfile::NamedTempFile;

use super::transfer::Cause;
use super::*;

fn disk(direct: bool) -> (FileDisk, NamedTempFile) {
    let file = NamedTempFile::new().unwrap();
    file.as_file().set_len(1 << 16).unwrap();
    let mut disk = FileDisk::open(&FileOptions { direct, ..FileOptions::new(file.path()) }).unwrap();
    // As if there were a medium, where the directory for such files has none.
    disk.in_memory = false;
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
    let (disk, _file) = disk(true);
    let tried = RefCell::new(Vec::new());
    let write = |flags| {
        tried.borrow_mut().push(flags);
        if flags == ReadWriteFlags::DSYNC { Err(Cause::Os(Errno::OPNOTSUPP)) } else { Ok(()) }
    };
    assert_eq!(disk.write_durably(0, 4096, write), Ok(()));
    assert_eq!(disk.write_durably(0, 4096, write), Ok(()));
    let (dsync, plain) = (ReadWriteFlags::DSYNC, ReadWriteFlags::empty());
    assert_eq!(*tried.borrow(), [dsync, plain, plain]);
}

#[test]
fn only_whole_blocks_past_the_page_cache_are_written_with_the_durable_flag() {
    for (direct, at, len) in [(false, 0, 4096), (true, 0, 4096), (true, 100, 4096)] {
        let (disk, _file) = disk(direct);
        let flag = Cell::new(ReadWriteFlags::empty());
        let write = |flags| {
            flag.set(flags);
            Ok(())
        };
        assert_eq!(disk.write_durably(at, len, write), Ok(()));
        assert_eq!(flag.get() == ReadWriteFlags::DSYNC, direct && at == 0, "direct {direct}, at {at}");
    }
}

#[test]
fn a_sync_serves_all_that_were_written_before_it_began_and_nobody_else() {
    let (disk, _file) = disk(false);
    let held = disk.synced.lock().unwrap();
    thread::scope(|scope| {
        let waiting: Vec<_> = (0..4).map(|_| scope.spawn(|| disk.sync())).collect();
        // Should one of them come late, it syncs for itself, and fails the test only if that is done for each.
        thread::sleep(Duration::from_millis(200));
        drop(held);
        waiting.into_iter().for_each(|waiting| assert_eq!(waiting.join().unwrap(), Ok(())));
    });
    assert!(disk.syncs.load(Ordering::Relaxed) < 4);
    let before = disk.syncs.load(Ordering::Relaxed);
    assert_eq!(disk.sync(), Ok(()));
    assert_eq!(disk.syncs.load(Ordering::Relaxed), before + 1, "those before began too early");
}

#[test]
fn the_sync_after_a_durable_write_decides() {
    let (mut disk, _file) = disk(false);
    disk.sync = Some(unsyncable());
    assert_eq!(disk.write_durably(0, 512, |_| Ok(())), Err(Cause::Os(Errno::INVAL)));
    assert_eq!(disk.flush(), Err(Status::Media));
    let never = |_| -> Outcome { panic!("nothing is written durably any more") };
    assert_eq!(disk.write_durably(0, 512, never), Err(Cause::Os(Errno::IO)));
}

#[test]
fn a_failed_durable_write_does_not_use_up_what_the_next_flush_must_be_told() {
    let (disk, _file) = disk(false);
    let flushes = disk.sync.as_ref().unwrap().as_raw_fd();
    assert_ne!(flushes, disk.fd.as_raw_fd(), "the kernel tells each descriptor once");
    assert_eq!(disk.write_durably(0, 512, |_| Err(Cause::Os(Errno::NOSPC))), Err(Cause::Os(Errno::NOSPC)));
    assert_eq!(disk.flush(), Ok(()), "nothing was lost for lack of space");
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
