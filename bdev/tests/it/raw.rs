//! What a queue needs that makes the system calls itself.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;

use bdev::testing::{LoopDevice, Pieces, TestBuf};
use bdev::{BlockingBackend, Extent, FileDisk, FileOptions, Inline, Io, IoBuf, MemDisk, Op, Status};

use crate::support::{directory, image, logged};

#[test]
fn an_extent_has_its_place_behind_the_offset_and_none_beyond_the_end() {
    let directory = directory();
    let disk = FileDisk::open(&FileOptions { offset: 3, ..image(&directory, 5120) }).unwrap();
    assert_eq!(disk.position(Extent::new(0, 7)), Ok(1536));
    assert_eq!(disk.position(Extent::new(6, 1)), Ok(9 * 512));
    assert_eq!(disk.position(Extent::new(6, 2)), Err(Status::OutOfRange));
    assert_eq!(disk.position(Extent::new(u64::MAX, 2)), Err(Status::OutOfRange));
}

#[test]
fn only_past_the_page_cache_there_are_blocks_to_keep_to() {
    let directory = directory();
    let options = image(&directory, 20 * 512);
    let cached = FileDisk::open(&options).unwrap();
    assert_eq!(cached.alignment(), None);
    assert!(cached.is_whole_blocks(Extent::new(1, 1)));
    let direct = FileDisk::open(&FileOptions { direct: true, ..options }).unwrap();
    let sectors = direct.alignment().unwrap().offset / 512;
    assert!(direct.is_whole_blocks(Extent::new(u64::from(sectors), sectors)));
    assert!(!direct.is_whole_blocks(Extent::new(20, sectors)), "beyond the end");
    assert_eq!(direct.is_whole_blocks(Extent::new(1, 1)), sectors == 1);
}

#[test]
fn a_sync_that_somebody_else_saw_fail_is_remembered_and_said_once() {
    let directory = directory();
    let disk = FileDisk::open(&image(&directory, 5120)).unwrap();
    assert!(!disk.is_lost());
    let lines = logged(|| {
        disk.sync_failed(5);
        disk.sync_failed(5);
        assert_eq!(disk.flush(), Err(Status::Media));
        assert_eq!(disk.flush(), Err(Status::Media));
        assert_eq!(disk.failed("read", Extent::new(4, 2), Some(5)), Status::Media);
    });
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with("flush failed") && lines[0].contains("errno=5"), "{lines:?}");
    assert!(lines[1].starts_with("read failed") && lines[1].contains("lba=4 sectors=2"), "{lines:?}");
    assert!(disk.is_lost());
}

#[test]
fn a_disk_without_the_durable_flag_writes_durably_all_the_same() {
    let directory = directory();
    let disk = FileDisk::open(&FileOptions { direct: true, ..image(&directory, 8192) }).unwrap();
    assert!(disk.takes_dsync());
    disk.dsync_refused();
    assert!(!disk.takes_dsync());
    assert_eq!(disk.write_fua_at(8, &[7; 4096]), Ok(()));
}

#[test]
fn what_is_opened_for_syncs_is_the_file_of_the_disk_whatever_its_path_names_by_now() {
    let directory = directory();
    let options = image(&directory, 5120);
    let disk = FileDisk::open(&options).unwrap();
    let identity = |file: &File| file.metadata().map(|of| (of.dev(), of.ino())).unwrap();
    let opened = |disk: &FileDisk| File::from(disk.open_sync().unwrap().unwrap());
    let before = identity(&opened(&disk));
    assert_eq!(before, identity(&File::open(&options.path).unwrap()));
    fs::rename(&options.path, directory.path().join("old.img")).unwrap();
    assert_eq!(identity(&opened(&disk)), before, "the path names nothing");
    image(&directory, 5120);
    assert_eq!(identity(&opened(&disk)), before, "the path names another");
    opened(&disk).sync_data().unwrap();
    let read_only = FileDisk::open(&FileOptions { read_only: true, ..options }).unwrap();
    assert!(read_only.open_sync().unwrap().is_none());
}

#[test]
fn a_block_device_is_not_in_memory_though_its_name_is() {
    let directory = directory();
    let options = image(&directory, 1 << 20);
    let Some(device) = LoopDevice::new(&options.path, 512) else { return };
    let disk = FileDisk::open(&FileOptions { direct: true, ..FileOptions::new(device.path()) }).unwrap();
    assert_eq!((disk.is_in_memory(), disk.write_waits(false)), (false, true));
}

#[test]
fn data_in_pieces_is_read_from_the_cache_and_written_like_any_other() {
    let directory = directory();
    let disk = FileDisk::open(&image(&directory, 5120)).unwrap();
    let mut io = Io::write(Extent::new(2, 3), Pieces::make(36, 1536, 1), 36);
    io.segments_mut().for_each(|mut piece| piece.fill(7));
    assert_eq!(io.write_to(&disk, true), Ok(()));
    assert_eq!(io.run_on(Inline::new(MemDisk::new(8)).disk()), Ok(()));
    let _ = io.abandon();
    let mut io = Io::new(Op::Read, Extent::new(2, 3), Pieces::make(36, 1536, 1), 36);
    assert_eq!(io.read_now_from(&disk), Some(Ok(())));
    assert!(io.segments().all(|piece| piece.iter().all(|&byte| byte == 7)));
    let read = io.abandon().into_buf();
    assert!(read.bytes()[..36].iter().all(|&byte| byte == 0), "the header stays");
    let mut io = Io::new(Op::Read, Extent::new(2, 3), read, 36);
    assert_eq!(io.read_now_from(&MemDisk::new(8)), None, "nothing is known of it");
    let _ = io.abandon();
}
