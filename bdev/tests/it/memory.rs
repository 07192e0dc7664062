//! Files on tmpfs, which are read and written without a system call.

use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use bdev::{BlockingBackend, FileDisk, FileOptions, Status};
use tempfile::NamedTempFile;

/// A file of so many bytes, each of value 7; `None`, said aloud, where there is no tmpfs.
fn file(bytes: usize) -> Option<NamedTempFile> {
    let file = NamedTempFile::new_in("/dev/shm").ok();
    let Some(file) = file else {
        eprintln!("SKIP: no tmpfs at /dev/shm");
        return None;
    };
    fs::write(file.path(), vec![7; bytes]).unwrap();
    Some(file)
}

#[test]
fn what_is_written_is_read_by_all_who_have_the_file() {
    let Some(file) = file(64 << 10) else { return };
    let disk = FileDisk::open(&FileOptions { offset: 3, ..FileOptions::new(file.path()) }).unwrap();
    assert_eq!(disk.write_at(10, &[9; 1024]), Ok(()));
    assert_eq!(disk.write_fua_at(20, &[8; 512]), Ok(()));
    let stored = fs::read(file.path()).unwrap();
    let sector = |number: usize| stored[number * 512];
    assert_eq!([12, 13, 14, 15, 22, 23, 24].map(sector), [7, 9, 9, 7, 7, 8, 7]);
    fs::write(file.path(), vec![5; 64 << 10]).unwrap();
    let mut data = [0; 1024];
    assert_eq!(disk.read_at(10, &mut data), Ok(()));
    assert_eq!(data, [5; 1024]);
}

#[test]
fn a_file_that_was_cut_short_fails_its_reads_and_grows_again_by_writes() {
    let Some(file) = file(64 << 10) else { return };
    let disk = FileDisk::open(&FileOptions::new(file.path())).unwrap();
    File::options().write(true).open(file.path()).unwrap().set_len(4096).unwrap();
    let mut data = [0; 512];
    assert_eq!(disk.read_at(100, &mut data), Err(Status::Media));
    assert_eq!(disk.read_at(7, &mut data), Ok(()));
    assert_eq!(disk.write_at(100, &[9; 512]), Ok(()));
    assert_eq!(disk.read_at(100, &mut data), Ok(()));
    assert_eq!((data, file.path().metadata().unwrap().len()), ([9; 512], 101 * 512));
}

#[test]
fn a_file_that_grew_serves_its_new_sectors_once_its_size_was_read() {
    let Some(file) = file(8192) else { return };
    let disk = FileDisk::open(&FileOptions::new(file.path())).unwrap();
    fs::write(file.path(), vec![6; 65_536]).unwrap();
    assert_eq!(disk.reread_size().unwrap(), 128);
    let mut data = [0; 1024];
    assert_eq!(disk.read_at(15, &mut data), Ok(()), "on both sides of the old end");
    assert_eq!(data, [6; 1024]);
    assert_eq!(disk.write_at(126, &[9; 1024]), Ok(()));
}

#[test]
fn the_time_of_the_last_modification_follows_with_a_flush() {
    let Some(file) = file(8192) else { return };
    let long_ago = SystemTime::now() - Duration::from_secs(3600);
    let disk = FileDisk::open(&FileOptions::new(file.path())).unwrap();
    file.as_file().set_modified(long_ago).unwrap();
    let modified = || file.path().metadata().unwrap().modified().unwrap();
    assert_eq!(disk.flush(), Ok(()));
    assert_eq!(modified(), long_ago, "nothing was written");
    assert_eq!(disk.write_at(0, &[1; 512]), Ok(()));
    assert_eq!(disk.flush(), Ok(()));
    assert!(modified() > long_ago + Duration::from_secs(3000));
}
