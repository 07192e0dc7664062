//! The conformance suite over every kind of file.

use bdev::testing::{Pieces, conformance, conformance_segmented};
use bdev::{AlignedBuf, Backend, FileOptions};
use tempfile::TempDir;

use crate::support::{directory, image, open};

const SECTORS: u64 = 200;

fn both<T: Backend<AlignedBuf> + Backend<Pieces>>(backend: &T) {
    conformance(backend);
    conformance_segmented(backend);
}

#[test]
fn a_cached_file_conforms() {
    let directory = directory();
    both(&open(&image(&directory, SECTORS * 512)));
}

#[test]
fn a_direct_file_conforms() {
    let directory = directory();
    both(&open(&FileOptions { direct: true, ..image(&directory, SECTORS * 512) }));
}

#[test]
fn a_file_on_a_memory_file_system_conforms() {
    let Ok(directory) = TempDir::new_in("/dev/shm") else { return println!("SKIP: no /dev/shm") };
    both(&open(&image(&directory, (SECTORS + 3) * 512 + 100)));
}

#[test]
fn a_read_only_file_conforms() {
    let directory = directory();
    for direct in [false, true] {
        both(&open(&FileOptions { read_only: true, direct, ..image(&directory, SECTORS * 512) }));
    }
}

#[test]
fn a_part_of_a_file_conforms_and_leaves_the_rest_alone() {
    let directory = directory();
    for direct in [false, true] {
        let options = image(&directory, 512 * 300 + 17);
        std::fs::write(&options.path, vec![0x5a; 512 * 300 + 17]).unwrap();
        let options = FileOptions { offset: 9, length: Some(130), direct, ..options };
        both(&open(&options));
        let content = std::fs::read(&options.path).unwrap();
        assert_eq!(content.len(), 512 * 300 + 17);
        assert!(content[..9 * 512].iter().all(|&byte| byte == 0x5a), "before, direct {direct}");
        assert!(content[139 * 512..].iter().all(|&byte| byte == 0x5a), "after, direct {direct}");
    }
}
