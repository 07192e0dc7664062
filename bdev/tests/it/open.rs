//! What `FileDisk::open` refuses, with which words, and what it finds out.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, SystemTime};

use bdev::{BlockingBackend, FileDisk, FileOptions, OpenError, OpenErrorKind};
use rustix::fs::{CWD, FileType, Mode};

use crate::support::{directory, image};

/// How opening fails.
fn refused(options: &FileOptions) -> OpenError {
    let error = FileDisk::open(options).unwrap_err();
    assert_eq!(error.path(), options.path);
    error
}

/// What it says after the path.
fn said(options: &FileOptions) -> String {
    let line = refused(options).to_string();
    assert!(!line.contains('\n'), "one line: {line}");
    line.strip_prefix(&format!("{}: ", options.path.display())).expect("the path comes first").to_owned()
}

#[test]
fn a_missing_file_is_named_with_a_way_to_make_one_and_is_not_created() {
    let directory = directory();
    let path = directory.path().join("none.img");
    let options = FileOptions::new(&path);
    assert!(matches!(refused(&options).kind(), OpenErrorKind::Missing));
    assert_eq!(said(&options), "no such file; create it first, for example with `truncate -s 1G FILE`");
    assert!(!path.exists());
}

#[test]
fn a_dangling_link_is_a_missing_file() {
    let directory = directory();
    let path = directory.path().join("link");
    symlink("nowhere", &path).unwrap();
    assert!(matches!(refused(&FileOptions::new(path)).kind(), OpenErrorKind::Missing));
}

#[test]
fn a_path_through_something_that_is_no_directory_is_a_missing_file() {
    let directory = directory();
    let file = image(&directory, 5120);
    let options = FileOptions::new(file.path.join("disk.img"));
    assert!(matches!(refused(&options).kind(), OpenErrorKind::Missing));
    assert!(said(&options).starts_with("no such file;"));
}

#[test]
fn a_directory_is_refused() {
    let directory = directory();
    let options = FileOptions::new(directory.path());
    assert!(matches!(refused(&options).kind(), OpenErrorKind::Directory));
    assert_eq!(said(&options), "is a directory; name a regular file or a block device");
}

#[test]
fn a_character_device_is_refused() {
    let options = FileOptions::new("/dev/null");
    assert!(matches!(refused(&options).kind(), OpenErrorKind::NotADisk("character device")));
    assert_eq!(said(&options), "is a character device; name a regular file or a block device");
}

#[test]
fn a_socket_is_refused() {
    let directory = directory();
    let path = directory.path().join("socket");
    let _listener = UnixListener::bind(&path).unwrap();
    assert!(said(&FileOptions::new(path)).starts_with("is a socket;"));
}

#[test]
fn a_fifo_is_refused_without_waiting_for_its_other_end() {
    let directory = directory();
    let path = directory.path().join("fifo");
    rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RWXU, 0).unwrap();
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(said(&FileOptions::new(path))));
    let said = receiver.recv_timeout(Duration::from_secs(10)).expect("opening does not hang");
    assert!(said.starts_with("is a FIFO;"), "{said}");
}

#[test]
fn an_empty_file_is_refused() {
    let directory = directory();
    let said = said(&image(&directory, 0));
    assert_eq!(said, "is empty; give it a size, for example with `truncate -s 1G FILE`");
}

#[test]
fn a_file_below_one_sector_is_refused_with_its_size() {
    let directory = directory();
    let said = said(&image(&directory, 511));
    assert_eq!(said, "has only 511 bytes; at least one sector of 512 bytes is needed");
}

#[test]
fn an_offset_at_or_beyond_the_end_is_refused_with_both_numbers() {
    let directory = directory();
    let options = image(&directory, 10 * 512 + 511);
    for offset in [10, 11, u64::MAX] {
        let said = said(&FileOptions { offset, ..options.clone() });
        assert_eq!(
            said,
            format!(
                "offset {offset} is beyond the end; it must be below 10, the size in sectors of 512 bytes"
            )
        );
    }
    assert_eq!(FileDisk::open(&FileOptions { offset: 9, ..options }).unwrap().info().sectors, 1);
}

#[test]
fn a_length_beyond_the_end_is_refused_with_what_is_left() {
    let directory = directory();
    let options = FileOptions { offset: 4, ..image(&directory, 10 * 512) };
    for length in [7, u64::MAX] {
        let said = said(&FileOptions { length: Some(length), ..options.clone() });
        assert_eq!(
            said,
            format!("length {length} is beyond the end; at most 6 sectors of 512 bytes follow offset 4")
        );
    }
    assert_eq!(FileDisk::open(&FileOptions { length: Some(6), ..options }).unwrap().info().sectors, 6);
}

#[test]
fn a_length_of_zero_is_refused() {
    let directory = directory();
    let said = said(&FileOptions { length: Some(0), ..image(&directory, 5120) });
    assert!(said.starts_with("length 0 leaves nothing;"), "{said}");
}

#[test]
fn a_file_system_without_direct_io_is_named_as_the_reason() {
    // A file of sysfs: unlike those of proc, they have a size.
    let file = FileOptions::new("/sys/kernel/uevent_seqnum");
    let said = said(&FileOptions { direct: true, read_only: true, ..file });
    assert!(said.starts_with("cannot be used without the page cache here;"), "{said}");
}

#[test]
fn a_file_that_the_user_may_not_write_can_still_be_opened_read_only() {
    let directory = directory();
    let options = image(&directory, 5120);
    fs::set_permissions(&options.path, fs::Permissions::from_mode(0o444)).unwrap();
    let read_only = FileOptions { read_only: true, ..options.clone() };
    assert!(FileDisk::open(&read_only).unwrap().info().read_only);
    let said = as_an_ordinary_user(|| said(&options));
    assert_eq!(said, "permission to write denied; run as a user who may write it, or open it read-only");
}

#[test]
fn a_file_that_the_user_may_not_read_is_refused() {
    let directory = directory();
    let options = image(&directory, 5120);
    fs::set_permissions(&options.path, fs::Permissions::from_mode(0o0)).unwrap();
    let said = as_an_ordinary_user(|| said(&options));
    assert_eq!(said, "permission denied; run as a user who may read it");
}

/// Runs `code` in a thread that has lost root's privilege over files, if it had it.
fn as_an_ordinary_user<T: Send>(code: impl FnOnce() -> T + Send) -> T {
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let mut own = capabilities(None).unwrap();
            own.effective -= CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH;
            set_capabilities(None, own).unwrap();
            code()
        });
        thread.join().unwrap()
    })
}

#[test]
fn a_refused_file_is_left_as_it_was() {
    let directory = directory();
    let options = image(&directory, 1000);
    fs::write(&options.path, [7; 1000]).unwrap();
    let before = fs::metadata(&options.path).unwrap().modified().unwrap();
    said(&FileOptions { offset: 1, ..options.clone() });
    said(&FileOptions { length: Some(2), ..options.clone() });
    let after = fs::metadata(&options.path).unwrap().modified().unwrap();
    assert_eq!((fs::read(&options.path).unwrap(), after), (vec![7; 1000], before));
}

#[test]
fn opening_for_writing_leaves_the_time_of_the_last_modification_alone() {
    let directory = directory();
    let path = directory.path().join("disk.img");
    fs::write(&path, [1; 4096]).unwrap();
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    fs::File::options().write(true).open(&path).unwrap().set_modified(long_ago).unwrap();
    FileDisk::open(&FileOptions::new(&path)).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), long_ago);
}

#[test]
fn opening_changes_neither_size_nor_space_of_a_sparse_file() {
    let directory = directory();
    let options = image(&directory, 1 << 30);
    let allocated = |path: &Path| rustix::fs::stat(path).unwrap().st_blocks;
    let before = allocated(&options.path);
    let disk = FileDisk::open(&options).unwrap();
    assert_eq!(disk.info().sectors, 1 << 21);
    assert_eq!((allocated(&options.path), fs::metadata(&options.path).unwrap().len()), (before, 1 << 30));
}

#[test]
fn the_bytes_after_the_last_whole_sector_are_dropped_and_reported() {
    let directory = directory();
    let options = image(&directory, 3 * 512 + 100);
    let disk = FileDisk::open(&options).unwrap();
    assert_eq!((disk.info().sectors, disk.dropped_tail()), (3, 100));
    let part = FileDisk::open(&FileOptions { length: Some(3), ..options }).unwrap();
    assert_eq!(part.dropped_tail(), 0, "the length was asked for");
}

#[test]
fn an_offset_off_the_block_size_lowers_the_physical_block_to_a_sector() {
    let directory = directory();
    let options = image(&directory, 1 << 20);
    let block =
        |offset| FileDisk::open(&FileOptions { offset, ..options.clone() }).unwrap().info().physical_block;
    assert_eq!(block(3), 512);
    assert_eq!(block(0), block(8), "aligned to 4096");
    assert!(block(0) <= 4096);
}

#[test]
fn the_same_file_may_be_opened_through_a_link() {
    let directory = directory();
    let options = image(&directory, 5120);
    let link = directory.path().join("link");
    symlink(&options.path, &link).unwrap();
    assert_eq!(FileDisk::open(&FileOptions::new(&link)).unwrap().path(), link);
}
