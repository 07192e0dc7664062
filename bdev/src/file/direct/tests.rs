//! Direct transfers with an alignment of 4096 bytes, whatever the disk below asks for.

use std::fs::File;
use std::io::{IoSlice, IoSliceMut};
use std::thread;

use rustix::fs::{Mode, OFlags};
use tempfile::NamedTempFile;

use super::*;

const ALIGNMENT: Alignment = Alignment { memory: 4096, offset: 4096 };
const PLAIN: ReadWriteFlags = ReadWriteFlags::empty();

/// A file of `size` bytes, opened past the cache where the file system can.
fn open(size: u64) -> (Direct, OwnedFd, NamedTempFile) {
    let file = NamedTempFile::new().unwrap();
    file.as_file().set_len(size).unwrap();
    let open = |flags| rustix::fs::open(file.path(), flags | OFlags::RDWR, Mode::empty()).unwrap();
    (Direct::new(ALIGNMENT, size, Some(open(OFlags::empty()))), open(OFlags::DIRECT), file)
}

/// Offsets and lengths in bytes that begin and end anywhere in a block, in the tail, and across more than one chunk.
fn ranges(size: usize) -> Vec<(usize, usize)> {
    let chunk = CHUNK;
    let mut ranges = vec![
        (0, 512),
        (512, 512),
        (3584, 512),
        (3584, 1024),
        (4096, 4096),
        (4096, 8192),
        (512, 12288),
        (0, chunk),
        (512, chunk),
        (512, 2 * chunk + 1024),
        (3584, chunk + 4096),
        (size - 512, 512),
        (size - 4096, 4096),
        (size - 5120, 5120),
        (0, size),
    ];
    ranges.extend((0..64).map(|n| (n * 512, 512 * (1 + n % 17))));
    ranges
}

fn pattern(seed: usize, len: usize) -> Vec<u8> {
    (0..len).map(|byte| (byte / 512 * 7 + seed * 31 + 1) as u8).collect()
}

#[test]
fn any_range_of_sectors_is_written_and_read_back_and_its_neighbours_stay() {
    for size in [3 << 20, (3 << 20) + 512, (3 << 20) + 3584] {
        let (direct, fd, file) = open(size as u64);
        let mut model = vec![0; size];
        for (seed, (at, len)) in ranges(size).into_iter().enumerate() {
            let data = pattern(seed, len);
            direct
                .write(&fd, at as u64, &data, if seed % 8 == 0 { ReadWriteFlags::DSYNC } else { PLAIN })
                .unwrap();
            model[at..at + len].copy_from_slice(&data);
            let mut back = vec![0xff; len];
            direct.read(&fd, at as u64, &mut back).unwrap();
            assert!(back == data, "{len} bytes at {at}");
        }
        assert!(
            std::fs::read(file.path()).unwrap() == model,
            "a file of {size} bytes holds what was written"
        );
    }
}

#[test]
fn buffers_in_pieces_are_gathered_and_scattered() {
    let (direct, fd, _file) = open(1 << 20);
    let data = pattern(3, 5120);
    let pieces: Vec<_> = data.chunks(1001).map(IoSlice::new).collect();
    direct.write_vectored(&fd, 1536, &pieces, PLAIN).unwrap();
    let mut back = vec![0; 5120];
    let mut pieces: Vec<_> = back.chunks_mut(77).map(IoSliceMut::new).collect();
    direct.read_vectored(&fd, 1536, &mut pieces).unwrap();
    assert!(back == data);
}

#[test]
fn aligned_requests_need_no_copy_and_others_reuse_a_few() {
    let (direct, fd, _file) = open(1 << 20);
    let mut aligned = AlignedBuf::with_len(8192, 4096);
    direct.write(&fd, 4096, aligned.bytes(), PLAIN).unwrap();
    direct.read(&fd, 4096, aligned.bytes_mut()).unwrap();
    assert_eq!(direct.copies.lock().unwrap().len(), 0);
    for at in 0..50 {
        direct.write(&fd, at * 512, &[1; 512], PLAIN).unwrap();
    }
    assert_eq!(direct.copies.lock().unwrap().len(), 1);
}

#[test]
fn neighbours_in_one_block_do_not_lose_each_others_sectors() {
    let (direct, fd, _file) = open(1 << 16);
    thread::scope(|scope| {
        for sector in 0..4_u64 {
            let (direct, fd) = (&direct, &fd);
            scope.spawn(move || {
                for round in 0..100_u8 {
                    direct.write(fd, sector * 512, &[round; 512], PLAIN).unwrap();
                    let mut back = [0xff; 512];
                    direct.read(fd, sector * 512, &mut back).unwrap();
                    assert_eq!(back, [round; 512], "sector {sector}");
                }
            });
        }
    });
}

#[test]
fn a_file_cut_short_neither_reads_nor_grows_through_a_copy() {
    let (direct, fd, file) = open(1 << 16);
    File::options().write(true).open(file.path()).unwrap().set_len(5000).unwrap();
    assert_eq!(direct.read(&fd, 8192, &mut [0; 512]), Err(transfer::Cause::End));
    assert_eq!(direct.write(&fd, 8704, &[1; 512], PLAIN), Err(transfer::Cause::End));
    assert_eq!(file.as_file().metadata().unwrap().len(), 5000);
}

#[test]
fn the_tail_follows_the_end_of_a_file_that_grows_and_shrinks() {
    let (direct, fd, file) = open(8192);
    let mut model = vec![0; 8192];
    for (seed, size) in
        [8192 + 512, 9 * 4096 + 3584, 9 * 4096, 5 * 4096 + 1024, 1536, 4096, 12 * 4096 + 512, 512]
            .into_iter()
            .cycle()
            .take(24)
            .enumerate()
    {
        file.as_file().set_len(size as u64).unwrap();
        model.resize(size, 0);
        direct.resize(size as u64);
        for (at, len) in [(size - 512, 512), (0, size), (size / 1024 * 512, 512)] {
            let mut back = vec![0xff; len];
            direct.read(&fd, at as u64, &mut back).unwrap();
            assert!(back == model[at..at + len], "{len} bytes at {at} of {size} are as they were");
            let data = pattern(seed + at, len);
            direct.write(&fd, at as u64, &data, PLAIN).unwrap();
            model[at..at + len].copy_from_slice(&data);
            direct.read(&fd, at as u64, &mut back).unwrap();
            assert!(back == data, "{len} bytes at {at} of {size}");
        }
        assert!(std::fs::read(file.path()).unwrap() == model, "a file of {size} bytes keeps its size");
    }
}

#[test]
fn only_the_sectors_in_a_block_that_is_not_whole_go_through_the_page_cache() {
    let (direct, _fd, _file) = open(8192);
    let start = || *direct.tail.as_ref().unwrap().start();
    for (size, expected) in
        [(8192 + 511, u64::MAX), (8192 + 512, 8192), (8191, 4096), (512, 0), (4096, u64::MAX)]
    {
        direct.resize(size);
        assert_eq!(start(), expected, "{size} bytes");
    }
}

#[test]
fn transfers_go_on_while_the_tail_moves_and_lose_nothing() {
    let (direct, fd, _file) = open(12288);
    thread::scope(|scope| {
        let writers: Vec<_> = (0..4_u64)
            .map(|number| {
                let (direct, fd) = (&direct, &fd);
                scope.spawn(move || {
                    for round in 0..200_u8 {
                        let at = 8192 - 1536 + number * 512;
                        direct.write(fd, at, &[round; 512], PLAIN).unwrap();
                        let mut back = [0xff; 512];
                        direct.read(fd, at, &mut back).unwrap();
                        assert_eq!(back, [round; 512], "the sector at {at}");
                    }
                })
            })
            .collect();
        while !writers.iter().all(|writer| writer.is_finished()) {
            direct.resize(8192 + 512);
            direct.resize(12288);
        }
    });
}
