//! What `FileDisk::reread_size` makes of a file that became longer or shorter.

use std::fs::{self, OpenOptions};
use std::path::Path;

use bdev::{BlockingBackend, Extent, FileDisk, FileOptions, OpenErrorKind, Status};

use crate::support::{directory, image};

fn resize(path: &Path, bytes: u64) {
    OpenOptions::new().write(true).open(path).unwrap().set_len(bytes).unwrap();
}

/// Writes the last sector and reads it back; the one behind is refused and the file keeps its size.
fn ends_at(disk: &FileDisk, sectors: u64) {
    assert_eq!(disk.info().sectors, sectors);
    let bytes = fs::metadata(disk.path()).unwrap().len();
    let (data, mut back) = ([sectors as u8; 512], [0; 512]);
    assert_eq!(disk.write_at(sectors - 1, &data), Ok(()));
    assert_eq!(disk.read_at(sectors - 1, &mut back), Ok(()));
    assert_eq!(back, data);
    assert_eq!(disk.write_at(sectors, &data), Err(Status::OutOfRange));
    assert_eq!(disk.read_at(sectors, &mut back), Err(Status::OutOfRange));
    assert_eq!(disk.discard(Extent::new(sectors, 1)), Err(Status::OutOfRange));
    assert_eq!(fs::metadata(disk.path()).unwrap().len(), bytes);
}

#[test]
fn a_file_that_grew_or_shrank_has_its_new_size_once_it_is_reread() {
    let directory = directory();
    for direct in [false, true] {
        let options = FileOptions { offset: 2, direct, ..image(&directory, 12 * 512) };
        let disk = FileDisk::open(&options).unwrap();
        for (bytes, sectors) in
            [(50 * 512, 48), (20 * 512 + 100, 18), (4096, 6), (3 * 512, 1), (1 << 20, 2046)]
        {
            let before = disk.info().sectors;
            resize(&options.path, bytes);
            assert_eq!(disk.info().sectors, before, "not yet");
            assert_eq!(disk.reread_size().unwrap(), sectors, "direct {direct}, {bytes} bytes");
            ends_at(&disk, sectors);
        }
    }
}

#[test]
fn a_disk_of_a_given_length_becomes_shorter_with_its_file_and_never_longer_than_that() {
    let directory = directory();
    for direct in [false, true] {
        let options = FileOptions { offset: 4, length: Some(10), direct, ..image(&directory, 20 * 512) };
        let disk = FileDisk::open(&options).unwrap();
        for (in_file, sectors) in [(100, 10), (14, 10), (13, 9), (5, 1), (30, 10)] {
            resize(&options.path, in_file * 512);
            assert_eq!(disk.reread_size().unwrap(), sectors, "direct {direct}, {in_file} sectors");
            ends_at(&disk, sectors);
        }
    }
}

#[test]
fn a_file_with_no_sector_left_is_an_error_as_when_opening_and_the_old_size_stays() {
    let directory = directory();
    let options = FileOptions { offset: 3, ..image(&directory, 10 * 512) };
    let disk = FileDisk::open(&options).unwrap();
    for bytes in [4 * 512 - 1, 511, 0] {
        resize(&options.path, bytes);
        let error = disk.reread_size().unwrap_err();
        assert_eq!(error.to_string(), FileDisk::open(&options).unwrap_err().to_string());
        assert_eq!(disk.info().sectors, 7);
        assert!(
            match error.kind() {
                OpenErrorKind::OffsetBeyondEnd { offset: 3, sectors: 3 } => bytes > 512,
                OpenErrorKind::TooSmall { bytes: 511 } => bytes == 511,
                OpenErrorKind::Empty => bytes == 0,
                _ => false,
            },
            "{error}"
        );
    }
    assert_eq!(disk.read_at(6, &mut [0; 512]), Err(Status::Media), "of the old size, and not there");
    resize(&options.path, 10 * 512);
    assert_eq!(disk.reread_size().unwrap(), 7);
    ends_at(&disk, 7);
}

#[test]
fn a_disk_opened_read_only_follows_its_file_too() {
    let directory = directory();
    let options = FileOptions { read_only: true, ..image(&directory, 5120) };
    let disk = FileDisk::open(&options).unwrap();
    fs::write(&options.path, [7; 8192]).unwrap();
    assert_eq!(disk.reread_size().unwrap(), 16);
    let mut back = [0; 512];
    assert_eq!((disk.read_at(15, &mut back), back), (Ok(()), [7; 512]));
    assert!(disk.info().read_only);
}

#[test]
fn only_the_size_changes_and_the_file_is_the_one_that_was_opened() {
    let directory = directory();
    let options = image(&directory, 5120 + 100);
    let disk = FileDisk::open(&options).unwrap();
    let before = disk.info();
    resize(&options.path, 1 << 20);
    fs::rename(&options.path, directory.path().join("renamed.img")).unwrap();
    image(&directory, 512);
    assert_eq!(disk.reread_size().unwrap(), 2048);
    assert_eq!(disk.info(), bdev::DeviceInfo { sectors: 2048, ..before });
    assert_eq!(disk.dropped_tail(), 100, "that of opening");
}
