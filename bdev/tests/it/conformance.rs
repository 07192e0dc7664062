//! Every backend of this crate, and every layer over one, runs the conformance suite.

use std::path::Path;

use bdev::testing::{
    Delay, Fault, Faults, Faulty, Pieces, Reorder, conformance, conformance_segmented, rules,
};
use bdev::{AlignedBuf, Backend, FileDisk, FileOptions, Inline, MemDisk, NullDisk, OpenErrorKind, Pooled};
use tempfile::TempDir;

use crate::support::{directory, image};

const SECTORS: u64 = 200;

fn both<T: Backend<AlignedBuf> + Backend<Pieces>>(backend: &T) {
    conformance(backend);
    conformance_segmented(backend);
}

#[test]
fn memory_conforms() {
    both(&Inline::new(MemDisk::new(128)));
    both(&Pooled::new(MemDisk::new(4096)));
}

#[test]
fn the_null_disk_keeps_the_rules_that_do_not_need_content() {
    let disk = Inline::new(NullDisk::new(1 << 40));
    rules::the_description_makes_sense::<AlignedBuf>(&disk);
    rules::an_idle_queue_has_nothing_to_reap::<AlignedBuf>(&disk);
    rules::extents_beyond_the_end_are_out_of_range::<AlignedBuf>(&disk);
    rules::a_read_touches_nothing_but_its_data::<AlignedBuf>(&disk);
    rules::each_request_ends_once_with_all_that_it_came_with::<AlignedBuf>(&disk);
    rules::a_full_queue_takes_more_after_a_reap::<AlignedBuf>(&disk);
}

#[test]
fn a_cached_file_conforms() {
    let directory = directory();
    let options = image(&directory, SECTORS * 512);
    both(&Inline::new(FileDisk::open(&options).unwrap()));
    both(&Pooled::new(FileDisk::open(&options).unwrap()));
}

#[test]
fn a_file_on_a_memory_file_system_conforms() {
    let directory = TempDir::new_in(Path::new("/dev/shm")).unwrap();
    let options = image(&directory, (SECTORS + 3) * 512 + 100);
    both(&Inline::new(FileDisk::open(&options).unwrap()));
    both(&Pooled::new(FileDisk::open(&options).unwrap()));
    // Direct since Linux 6.6, and then in blocks of a page, of which the last is not whole here.
    match FileDisk::open(&FileOptions { direct: true, ..options }) {
        Ok(disk) => both(&Inline::new(disk)),
        Err(error) => assert!(matches!(error.kind(), OpenErrorKind::NoDirect), "{error}"),
    }
}

#[test]
fn a_direct_file_conforms() {
    let directory = directory();
    let options = FileOptions { direct: true, ..image(&directory, SECTORS * 512) };
    both(&Inline::new(FileDisk::open(&options).unwrap()));
    both(&Pooled::new(FileDisk::open(&options).unwrap()).with_threads(4));
}

#[test]
fn a_part_of_a_file_conforms_and_leaves_the_rest_alone() {
    let directory = directory();
    for direct in [false, true] {
        let options = image(&directory, 512 * 300 + 17);
        std::fs::write(&options.path, vec![0x5a; 512 * 300 + 17]).unwrap();
        let options = FileOptions { offset: 9, length: Some(130), direct, ..options };
        both(&Inline::new(FileDisk::open(&options).unwrap()));
        let content = std::fs::read(&options.path).unwrap();
        assert_eq!(content.len(), 512 * 300 + 17);
        assert!(content[..9 * 512].iter().all(|&byte| byte == 0x5a), "before, direct {direct}");
        assert!(content[139 * 512..].iter().all(|&byte| byte == 0x5a), "after, direct {direct}");
    }
}

#[test]
fn a_read_only_file_conforms() {
    let directory = directory();
    for direct in [false, true] {
        let options = FileOptions { read_only: true, direct, ..image(&directory, SECTORS * 512) };
        both(&Inline::new(FileDisk::open(&options).unwrap()));
        both(&Pooled::new(FileDisk::open(&options).unwrap()));
    }
}

#[test]
fn a_pool_of_one_thread_conforms() {
    both(&Pooled::new(MemDisk::new(128)).with_threads(1));
}

#[test]
fn reordered_queues_conform() {
    let directory = directory();
    for seed in 0..4 {
        both(&Reorder::new(Inline::new(MemDisk::new(128)), seed));
        both(&Reorder::new(Pooled::new(MemDisk::new(128)), seed));
        both(&Reorder::new(Reorder::new(Inline::new(MemDisk::new(128)), seed), seed));
    }
    both(&Reorder::new(Pooled::new(FileDisk::open(&image(&directory, SECTORS * 512)).unwrap()), 9));
}

#[test]
fn delayed_queues_conform() {
    both(&Delay::for_reaps(Inline::new(MemDisk::new(128)), 0));
    both(&Delay::for_reaps(Inline::new(MemDisk::new(128)), 5));
    both(&Delay::for_reaps(Pooled::new(MemDisk::new(128)), 3));
    let (disk, gate) = Delay::until_released(Inline::new(MemDisk::new(128)));
    gate.open();
    both(&disk);
}

#[test]
fn queues_that_are_often_full_conform() {
    let faults = Faults::default();
    faults.add(Fault::full().every(3));
    both(&Faulty::new(Reorder::new(Inline::new(MemDisk::new(128)), 1), &faults));
    both(&Faulty::new(Pooled::new(MemDisk::new(128)), &faults));
    both(&Reorder::new(Faulty::new(Delay::for_reaps(Inline::new(MemDisk::new(128)), 2), &faults), 3));
    both(&Delay::for_reaps(Faulty::new(Reorder::new(Inline::new(MemDisk::new(128)), 2), &faults), 1));
}
