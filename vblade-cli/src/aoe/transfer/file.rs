//! Files and block devices as the local side of a transfer.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;

use bdev::{AlignedBuf, Extent, IoBuf, SECTOR_SIZE};
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

use super::{Fill, LocalError, Sink, Source};

/// Zeros are looked for in pieces of this many bytes, which is what file systems allocate.
const BLOCK: usize = 4096;

/// Where the sectors of a target lie in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mapping {
    /// This sector of the target…
    pub(crate) lba: u64,
    /// …is at this byte of the file, and the others follow.
    pub(crate) byte: u64,
}

impl Mapping {
    /// The same place in both.
    pub(crate) const SAME: Self = Self { lba: 0, byte: 0 };

    fn byte(self, lba: u64) -> u64 {
        self.byte.saturating_add(lba.saturating_sub(self.lba).saturating_mul(SECTOR_SIZE as u64))
    }
}

/// Sectors from a file.
pub(crate) struct FileSource {
    file: File,
    mapping: Mapping,
    /// A file of this many bytes ends in the middle of a sector, which is filled up with zeros.
    padded_at: Option<u64>,
}

impl FileSource {
    pub(crate) fn new(file: File, mapping: Mapping) -> Self {
        Self { file, mapping, padded_at: None }
    }

    /// What follows byte `end` is taken for zeros.
    pub(crate) fn padded_at(mut self, end: u64) -> Self {
        self.padded_at = Some(end);
        self
    }
}

impl Source for FileSource {
    fn fill(&mut self, extent: Extent, mut buf: AlignedBuf) -> Result<Fill, LocalError> {
        buf.set_len(extent.bytes());
        let at = self.mapping.byte(extent.lba);
        let data = buf.bytes_mut();
        let have = match self.padded_at {
            Some(end) => usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX).min(data.len()),
            None => data.len(),
        };
        let (data, padding) = data.split_at_mut(have);
        read_at(&self.file, data, at)?;
        padding.fill(0);
        Ok(Fill::Ready(buf))
    }
}

/// Sectors into a file, in place. Where zeros meet a hole, it stays one.
pub(crate) struct FileSink {
    file: File,
    mapping: Mapping,
}

impl FileSink {
    pub(crate) fn new(file: File, mapping: Mapping) -> Self {
        Self { file, mapping }
    }

    fn write(&self, data: &[u8], at: u64) -> io::Result<()> {
        for (start, piece, zero) in runs(data) {
            let at = at.saturating_add(start as u64);
            if !zero || !self.is_hole(at, piece.len()) {
                self.file.write_all_at(piece, at)?;
            }
        }
        Ok(())
    }

    /// Whether the file system knows that `len` bytes from `at` on were never written. What is at or beyond the end is no hole.
    fn is_hole(&self, at: u64, len: usize) -> bool {
        let end = at.saturating_add(len as u64);
        let within = || self.file.metadata().is_ok_and(|file| file.is_file() && end <= file.len());
        match seek(&self.file, SeekFrom::Data(at)) {
            Ok(data) => data >= end,
            // No data from there to the end.
            Err(Errno::NXIO) => within(),
            Err(_) => false,
        }
    }
}

impl Sink for FileSink {
    fn take(&mut self, extent: Extent, buf: AlignedBuf) -> Result<Option<AlignedBuf>, LocalError> {
        self.write(buf.bytes(), self.mapping.byte(extent.lba)).map_err(LocalError::Write)?;
        Ok(Some(buf))
    }

    fn sync(&mut self) -> Result<(), LocalError> {
        self.file.sync_all().map_err(LocalError::Write)
    }
}

/// Sectors to be compared with a file.
pub(crate) struct Compare {
    file: File,
    mapping: Mapping,
    other: Vec<u8>,
    first: Option<u64>,
}

impl Compare {
    pub(crate) fn new(file: File, mapping: Mapping) -> Self {
        Self { file, mapping, other: Vec::new(), first: None }
    }

    /// The first sector that differs, of those that were compared.
    pub(crate) fn first_difference(&self) -> Option<u64> {
        self.first
    }
}

impl Sink for Compare {
    fn take(&mut self, extent: Extent, buf: AlignedBuf) -> Result<Option<AlignedBuf>, LocalError> {
        let data = buf.bytes();
        self.other.resize(data.len(), 0);
        read_at(&self.file, &mut self.other, self.mapping.byte(extent.lba))?;
        if data == self.other {
            return Ok(Some(buf));
        }
        let pairs = data.chunks(SECTOR_SIZE).zip(self.other.chunks(SECTOR_SIZE));
        let lba = (extent.lba..)
            .zip(pairs)
            .find(|(_, (ours, theirs))| ours != theirs)
            .map_or(extent.lba, |(lba, _)| lba);
        self.first = Some(self.first.map_or(lba, |first| first.min(lba)));
        Err(LocalError::Differs { lba })
    }
}

fn read_at(file: &File, data: &mut [u8], at: u64) -> Result<(), LocalError> {
    file.read_exact_at(data, at).map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof => LocalError::Shrunk { at: file.metadata().map_or(at, |file| file.len()) },
        _ => LocalError::Read(error),
    })
}

/// `data` as runs of blocks that are all zero or not: where each begins, its bytes, whether they are zero.
fn runs(data: &[u8]) -> impl Iterator<Item = (usize, &[u8], bool)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = data.get(at..).filter(|rest| !rest.is_empty())?;
        let mut blocks = rest.chunks(BLOCK).map(|block| (block.len(), is_zero(block)));
        let (mut len, zero) = blocks.next()?;
        len += blocks.take_while(|(_, same)| *same == zero).map(|(len, _)| len).sum::<usize>();
        let start = at;
        at += len;
        Some((start, rest.get(..len)?, zero))
    })
}

fn is_zero(block: &[u8]) -> bool {
    // Most blocks that are not zero show it at once; the rest is compared in pieces that become vector instructions.
    let mut pieces = block.chunks(128);
    pieces.all(|piece| piece.iter().fold(0, |any, byte| any | byte) == 0)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn buf(data: &[u8]) -> AlignedBuf {
        let mut buf = AlignedBuf::with_len(data.len(), 512);
        buf.bytes_mut().copy_from_slice(data);
        buf
    }

    fn file(content: &[u8]) -> File {
        let mut file = tempfile::tempfile().expect("a temporary file");
        file.write_all(content).expect("room");
        file
    }

    fn content(file: &File) -> Vec<u8> {
        let mut content = vec![0; usize::try_from(file.metadata().unwrap().len()).unwrap()];
        file.read_exact_at(&mut content, 0).expect("all of it");
        content
    }

    fn ones_and_zeros() -> Vec<u8> {
        [vec![1; BLOCK], vec![0; 64 * BLOCK], vec![1; BLOCK + 512], vec![0; BLOCK]].concat()
    }

    #[test]
    fn runs_of_zero_blocks_are_told_from_the_others() {
        let data = [vec![1; BLOCK], vec![0; 2 * BLOCK], vec![1; 2 * BLOCK], vec![0; 512]].concat();
        let found: Vec<_> = runs(&data).map(|(start, run, zero)| (start / BLOCK, run.len(), zero)).collect();
        assert_eq!(found, [(0, BLOCK, false), (1, 2 * BLOCK, true), (3, 2 * BLOCK, false), (5, 512, true)]);
        assert_eq!(runs(&[]).count(), 0);
        let mut last = vec![0; BLOCK];
        last[BLOCK - 1] = 1;
        assert!(!is_zero(&last));
    }

    #[test]
    fn zeros_leave_holes_in_a_new_file_and_overwrite_what_was_in_an_old_one() {
        let data = ones_and_zeros();
        for before in [0, data.len()] {
            let target = file(&vec![7; before]);
            target.set_len(data.len() as u64).unwrap();
            let mut sink = FileSink::new(target.try_clone().unwrap(), Mapping::SAME);
            sink.take(Extent::new(0, (data.len() / 512) as u32), buf(&data)).unwrap();
            sink.sync().unwrap();
            assert!(content(&target) == data, "over {before} bytes");
            let allocated = target.metadata().unwrap().blocks() * 512;
            if before == 0 {
                assert!(allocated < data.len() as u64 / 2, "{allocated} bytes of {}", data.len());
            }
        }
    }

    #[test]
    fn zeros_beyond_the_end_of_a_file_make_it_longer() {
        let target = file(&[]);
        let mut sink = FileSink::new(target.try_clone().unwrap(), Mapping::SAME);
        sink.take(Extent::new(0, 8), buf(&[0; 8 * 512])).unwrap();
        assert_eq!(content(&target), [0; 8 * 512]);
    }

    #[test]
    fn a_mapping_moves_sectors_to_their_place_in_the_file() {
        let mut source =
            FileSource::new(file(&ones_and_zeros()), Mapping { lba: 100, byte: BLOCK as u64 - 512 });
        let Fill::Ready(buf) = source.fill(Extent::new(100, 2), AlignedBuf::new(4096, 512, 0)).unwrap()
        else {
            panic!("a file always has something")
        };
        assert_eq!(buf.bytes(), [[1; 512], [0; 512]].concat());
    }

    #[test]
    fn the_last_sector_is_padded_with_zeros_when_that_was_asked_for() {
        let mut source = FileSource::new(file(&[5; 700]), Mapping::SAME).padded_at(700);
        let old = buf(&[9; 1024]);
        let Fill::Ready(buf) = source.fill(Extent::new(0, 2), old).unwrap() else { panic!("a file") };
        assert_eq!(buf.bytes(), [vec![5; 700], vec![0; 324]].concat());
    }

    #[test]
    fn a_file_that_became_shorter_is_told() {
        let mut source = FileSource::new(file(&[5; 700]), Mapping::SAME);
        let error = source.fill(Extent::new(0, 2), AlignedBuf::new(1024, 512, 0)).expect_err("too short");
        assert!(matches!(error, LocalError::Shrunk { at: 700 }), "{error:?}");
    }

    #[test]
    fn the_first_sector_that_differs_is_found_whatever_the_order() {
        let mut ours = vec![3; 16 * 512];
        let theirs = file(&ours);
        let mut compare = Compare::new(theirs, Mapping::SAME);
        assert!(compare.take(Extent::new(0, 16), buf(&ours)).is_ok());
        assert_eq!(compare.first_difference(), None);
        ours[5 * 512 + 511] = 4;
        ours[12 * 512] = 4;
        for half in [1, 0] {
            let data = &ours[half * 8 * 512..(half + 1) * 8 * 512];
            assert!(compare.take(Extent::new(half as u64 * 8, 8), buf(data)).is_err());
        }
        assert_eq!(compare.first_difference(), Some(5));
    }
}
