//! A disk in memory.

use std::sync::{PoisonError, RwLock};

use crate::{BlockingBackend, DeviceInfo, Extent, Features, SECTOR_SIZE, Status};

/// A disk in memory: for tests, and for scratch space that may vanish.
#[derive(Debug)]
pub struct MemDisk {
    sectors: u64,
    bytes: RwLock<Vec<u8>>,
}

impl MemDisk {
    /// A disk of `sectors` zeroed sectors.
    #[must_use]
    pub fn new(sectors: usize) -> Self {
        Self { sectors: sectors as u64, bytes: RwLock::new(vec![0; sectors * SECTOR_SIZE]) }
    }

    /// A copy of everything on it.
    #[must_use]
    pub fn content(&self) -> Vec<u8> {
        self.bytes.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, lba: u64, len: usize, change: impl FnOnce(&mut [u8])) -> Result<(), Status> {
        let mut bytes = self.bytes.write().unwrap_or_else(PoisonError::into_inner);
        let at = usize::try_from(lba)
            .ok()
            .and_then(|lba| lba.checked_mul(SECTOR_SIZE))
            .ok_or(Status::OutOfRange)?;
        change(bytes.get_mut(at..).and_then(|b| b.get_mut(..len)).ok_or(Status::OutOfRange)?);
        Ok(())
    }
}

impl BlockingBackend for MemDisk {
    fn info(&self) -> DeviceInfo {
        DeviceInfo {
            sectors: self.sectors,
            features: Features::DISCARD | Features::DISCARD_ZEROES | Features::WRITE_ZEROES,
            ..DeviceInfo::default()
        }
    }

    fn read_at(&self, lba: u64, data: &mut [u8]) -> Result<(), Status> {
        let bytes = self.bytes.read().unwrap_or_else(PoisonError::into_inner);
        let at = usize::try_from(lba)
            .ok()
            .and_then(|lba| lba.checked_mul(SECTOR_SIZE))
            .ok_or(Status::OutOfRange)?;
        data.copy_from_slice(bytes.get(at..).and_then(|b| b.get(..data.len())).ok_or(Status::OutOfRange)?);
        Ok(())
    }

    fn write_at(&self, lba: u64, data: &[u8]) -> Result<(), Status> {
        self.change(lba, data.len(), |sectors| sectors.copy_from_slice(data))
    }

    fn flush(&self) -> Result<(), Status> {
        Ok(())
    }

    fn discard(&self, extent: Extent) -> Result<(), Status> {
        self.write_zeroes(extent)
    }

    fn write_zeroes(&self, extent: Extent) -> Result<(), Status> {
        self.change(extent.lba, extent.bytes(), |sectors| sectors.fill(0))
    }
}
