//! What `FileDisk` does when the file is not as it was, and what it says then.

use std::fs::{self, OpenOptions};
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::AsRawFd;
use std::path::Path;

use bdev::{BlockingBackend, Extent, Features, FileDisk, FileOptions, Status};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};

use crate::support::{directory, image, logged};

fn cut(path: &Path, bytes: u64) {
    OpenOptions::new().write(true).open(path).unwrap().set_len(bytes).unwrap();
}

#[test]
fn sector_zero_lies_at_the_offset() {
    let directory = directory();
    let disk = FileDisk::open(&FileOptions { offset: 3, ..image(&directory, 5120) }).unwrap();
    assert_eq!(disk.write_at(0, &[1; 512]), Ok(()));
    assert_eq!(disk.write_fua_at(6, &[2; 512]), Ok(()));
    let content = fs::read(disk.path()).unwrap();
    assert_eq!((content.len(), content[3 * 512 - 1], content[3 * 512]), (5120, 0, 1));
    assert_eq!((content[9 * 512 - 1], content[9 * 512]), (0, 2));
}

#[test]
fn reads_beyond_the_end_of_a_file_cut_short_fail_and_are_logged_once_with_path_and_lba() {
    let directory = directory();
    for direct in [false, true] {
        let options = FileOptions { direct, ..image(&directory, 5120) };
        let disk = FileDisk::open(&options).unwrap();
        cut(&options.path, 4096);
        let mut data = [0; 1024];
        let lines = logged(|| {
            assert_eq!(disk.read_at(6, &mut data), Ok(()));
            assert_eq!(disk.read_at(7, &mut data), Err(Status::Media));
        });
        assert_eq!(
            lines,
            [format!(
                "read failed: the file ends before the last byte; was it cut short? path={} lba=7 sectors=2",
                options.path.display()
            )],
            "direct {direct}"
        );
    }
}

#[test]
fn writes_to_a_file_cut_short_let_it_grow_again_but_not_beyond_the_disk() {
    let directory = directory();
    let options = FileOptions { length: Some(10), ..image(&directory, 20 * 512) };
    let disk = FileDisk::open(&options).unwrap();
    cut(&options.path, 512);
    assert_eq!(disk.write_at(9, &[3; 512]), Ok(()));
    assert_eq!(fs::metadata(&options.path).unwrap().len(), 10 * 512);
    assert_eq!(disk.write_at(10, &[3; 512]), Err(Status::OutOfRange));
    assert_eq!(fs::metadata(&options.path).unwrap().len(), 10 * 512);
}

#[test]
fn a_write_that_the_system_refuses_is_logged_with_path_lba_and_errno_and_the_disk_goes_on() {
    let memory = memfd_create("bdev", MemfdFlags::ALLOW_SEALING).unwrap();
    ftruncate(&memory, 1 << 20).unwrap();
    let path = format!("/proc/self/fd/{}", memory.as_raw_fd());
    fcntl_add_seals(&memory, SealFlags::WRITE).unwrap();
    let disk = FileDisk::open(&FileOptions::new(&path)).unwrap();

    let lines = logged(|| {
        assert_eq!(disk.write_at(77, &[2; 1024]), Err(Status::Media));
        assert_eq!(disk.write_fua_at(78, &[2; 512]), Err(Status::Media));
        assert_eq!(disk.write_zeroes(Extent::new(8, 9)), Err(Status::Media));
        assert_eq!(disk.read_at(8, &mut [0; 512]), Ok(()));
    });
    let why = "failed: Operation not permitted (os error 1)";
    assert_eq!(
        lines,
        [
            format!("write {why} path={path} lba=77 sectors=2 errno=1"),
            format!("durable write {why} path={path} lba=78 sectors=1 errno=1"),
            format!("write of zeros {why} path={path} lba=8 sectors=9 errno=1"),
        ]
    );
}

#[test]
fn a_flood_of_failures_fills_at_most_ten_lines_a_second() {
    let directory = directory();
    let options = image(&directory, 30 * 512);
    let disk = FileDisk::open(&options).unwrap();
    cut(&options.path, 0);
    let lines = logged(|| {
        for number in 0..1000 {
            assert_eq!(disk.read_at(number % 30, &mut [0; 512]), Err(Status::Media));
        }
    });
    // Two seconds' worth, should the clock turn over on the way.
    assert!((10..=20).contains(&lines.len()), "{} lines", lines.len());
}

#[test]
fn a_discard_gives_space_back_and_zeroing_keeps_it() {
    let directory = directory();
    let disk = FileDisk::open(&image(&directory, 1 << 20)).unwrap();
    let zeroing = Features::DISCARD | Features::DISCARD_ZEROES | Features::WRITE_ZEROES;
    assert!(disk.info().features.contains(zeroing), "this file system punches holes");
    assert_eq!(disk.write_at(0, &vec![9; 1 << 20]), Ok(()));
    assert_eq!(disk.flush(), Ok(()));
    let blocks = || rustix::fs::stat(disk.path()).unwrap().st_blocks;
    let full = blocks();
    assert_eq!(disk.write_zeroes(Extent::new(0, 1024)), Ok(()));
    assert_eq!(blocks(), full);
    assert_eq!(disk.discard(Extent::new(1024, 1024)), Ok(()));
    assert!(blocks() <= full / 2 + 16, "{} of {full} blocks are left", blocks());
    assert_eq!(fs::metadata(disk.path()).unwrap().len(), 1 << 20);
    assert_eq!(fs::read(disk.path()).unwrap(), vec![0; 1 << 20]);
}

#[test]
fn cached_reads_need_no_waiting_and_direct_ones_always_do() {
    let directory = directory();
    let options = image(&directory, 1 << 16);
    let cached = FileDisk::open(&options).unwrap();
    assert_eq!(cached.write_at(5, &[7; 512]), Ok(()));
    let mut data = [0; 512];
    assert_eq!((cached.read_now(5, &mut data), data), (Some(Ok(())), [7; 512]));
    assert!(!cached.write_waits(false));
    assert!(cached.write_waits(true), "durable");
    let direct = FileDisk::open(&FileOptions { direct: true, ..options }).unwrap();
    assert_eq!(direct.read_now(5, &mut data), None);
    assert!(direct.write_waits(false));
}

#[test]
fn nothing_waits_on_a_file_in_memory() {
    let Ok(directory) = tempfile::tempdir_in("/dev/shm") else { return println!("SKIP: no /dev/shm") };
    let disk = FileDisk::open(&image(&directory, 1 << 16)).unwrap();
    assert!(!disk.write_waits(true));
    assert_eq!(disk.write_fua_at(5, &[7; 512]), Ok(()));
    let mut data = [0; 1024];
    assert_eq!(disk.read_now(4, &mut data), Some(Ok(())));
    assert_eq!((data[511], data[512]), (0, 7));
}

#[test]
fn what_is_not_wholly_cached_is_not_read_now() {
    let directory = directory();
    let options = image(&directory, 5120);
    let disk = FileDisk::open(&options).unwrap();
    cut(&options.path, 512);
    assert_eq!(disk.write_at(0, &[7; 512]), Ok(()));
    assert_eq!(disk.read_now(0, &mut [0; 1024]), None, "half of it is missing");
    assert_eq!(disk.read_now(0, &mut [0; 512]), Some(Ok(())));
    assert_eq!(disk.read_now(u64::MAX, &mut [0; 512]), None);
}

#[test]
fn more_pieces_than_one_system_call_takes_are_moved() {
    const PIECES: usize = 3000;
    let directory = directory();
    for direct in [false, true] {
        let options = FileOptions { direct, ..image(&directory, PIECES as u64 * 512) };
        let disk = FileDisk::open(&options).unwrap();
        let data: Vec<u8> = (0..PIECES * 512).map(|byte| (byte / 512 % 251) as u8).collect();
        let pieces: Vec<_> = data.chunks(512).map(IoSlice::new).collect();
        assert_eq!(disk.write_vectored_at(0, &pieces, true), Ok(()));
        let mut back = vec![0; data.len()];
        let mut pieces: Vec<_> = back.chunks_mut(512).map(IoSliceMut::new).collect();
        assert_eq!(disk.read_vectored_at(0, &mut pieces), Ok(()));
        assert!(back == data, "direct {direct}");
    }
}

#[test]
fn changes_of_a_disk_opened_read_only_are_refused() {
    let directory = directory();
    let disk = FileDisk::open(&FileOptions { read_only: true, ..image(&directory, 5120) }).unwrap();
    assert_eq!(disk.write_at(0, &[1; 512]), Err(Status::ReadOnly));
    assert_eq!(disk.write_fua_at(0, &[1; 512]), Err(Status::ReadOnly));
    assert_eq!(disk.discard(Extent::new(0, 1)), Err(Status::ReadOnly));
    assert_eq!(disk.write_zeroes(Extent::new(0, 1)), Err(Status::ReadOnly));
    assert_eq!(disk.flush(), Ok(()));
    assert_eq!(disk.info().features, Features::FLUSH);
}
