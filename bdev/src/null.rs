//! A disk that keeps nothing.

use crate::{BlockingBackend, DeviceInfo, Extent, Features, SECTOR_SIZE, Status};

/// A disk that reads as zeros and swallows writes: for measuring what lies above it, and as the end of a stack of layers.
#[derive(Clone, Copy, Debug)]
pub struct NullDisk {
    sectors: u64,
}

impl NullDisk {
    /// A disk of `sectors` sectors, which takes no memory.
    #[must_use]
    pub const fn new(sectors: u64) -> Self {
        Self { sectors }
    }

    fn check(&self, lba: u64, len: usize) -> Result<(), Status> {
        let end = lba.checked_add((len / SECTOR_SIZE) as u64).ok_or(Status::OutOfRange)?;
        if end <= self.sectors { Ok(()) } else { Err(Status::OutOfRange) }
    }
}

impl BlockingBackend for NullDisk {
    fn info(&self) -> DeviceInfo {
        DeviceInfo {
            sectors: self.sectors,
            features: Features::DISCARD | Features::DISCARD_ZEROES | Features::WRITE_ZEROES,
            ..DeviceInfo::default()
        }
    }

    fn read_at(&self, lba: u64, data: &mut [u8]) -> Result<(), Status> {
        self.check(lba, data.len())?;
        data.fill(0);
        Ok(())
    }

    fn write_at(&self, lba: u64, data: &[u8]) -> Result<(), Status> {
        self.check(lba, data.len())
    }

    fn flush(&self) -> Result<(), Status> {
        Ok(())
    }

    fn discard(&self, extent: Extent) -> Result<(), Status> {
        self.check(extent.lba, extent.bytes())
    }

    fn write_zeroes(&self, extent: Extent) -> Result<(), Status> {
        self.check(extent.lba, extent.bytes())
    }

    fn read_now(&self, lba: u64, data: &mut [u8]) -> Option<Result<(), Status>> {
        Some(self.read_at(lba, data))
    }

    fn write_waits(&self, _fua: bool) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_fills_the_whole_buffer_with_zeros_even_after_a_write() {
        let disk = NullDisk::new(8);
        assert_eq!(disk.write_at(7, &[1; 512]), Ok(()));
        let mut data = [2; 512];
        assert_eq!(disk.read_at(7, &mut data), Ok(()));
        assert_eq!(data, [0; 512]);
    }

    #[test]
    fn requests_beyond_the_end_are_out_of_range() {
        let disk = NullDisk::new(8);
        assert_eq!(disk.write_at(8, &[1; 512]), Err(Status::OutOfRange));
        assert_eq!(disk.read_at(u64::MAX, &mut [0; 1024]), Err(Status::OutOfRange));
        assert_eq!(disk.discard(Extent::new(0, 9)), Err(Status::OutOfRange));
    }
}
