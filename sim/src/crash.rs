//! A disk that forgets at a power cut what was not made durable: [`CrashDisk`].

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bdev::{BlockingBackend, DeviceInfo, Extent, Features, SECTOR_SIZE, Status};

use crate::Chance;

type Sector = [u8; SECTOR_SIZE];

/// A disk with a volatile cache. A sector is never torn, a write of several sectors may be: at a [power cut](Self::cut) each sector becomes
/// any of the versions that were written since it was last durable, or stays as it was then.
#[derive(Debug)]
pub struct CrashDisk {
    sectors: u64,
    cached: bool,
    ignores_fua: bool,
    /// Whether what was discarded reads as zeros; `None` if nothing can be.
    discards: Option<bool>,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    stable: Vec<u8>,
    cache: BTreeMap<u64, Cached>,
    chance: Chance,
    trouble: Trouble,
    struck: u64,
    gave_up: bool,
}

/// What was written to one sector and is not durable.
#[derive(Debug, Default)]
struct Cached {
    /// The oldest first.
    versions: Vec<Sector>,
    /// A sync failed with it, of which the kernel tells once: it is readable, and no later sync takes it along.
    given_up: bool,
}

/// What a disk fails at for the time being.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trouble {
    /// Reads and writes that touch these sectors fail; of a write any part may be done.
    pub medium: Option<Extent>,
    /// There is no room: writes to sectors from this one on fail.
    pub full_from: Option<u64>,
    /// Syncs fail, and lose what they were to make durable.
    pub sync: bool,
}

impl CrashDisk {
    /// A disk of zeros. One that is not `cached` makes each write durable at once, as with `O_DSYNC` or without a cache. What it loses and
    /// keeps follows from `seed`.
    #[must_use]
    pub fn new(sectors: usize, cached: bool, seed: u64) -> Self {
        let inner = Inner {
            stable: vec![0; sectors * SECTOR_SIZE],
            cache: BTreeMap::new(),
            chance: Chance::new(seed),
            trouble: Trouble::default(),
            struck: 0,
            gave_up: false,
        };
        Self { sectors: sectors as u64, cached, ignores_fua: false, discards: None, inner: Mutex::new(inner) }
    }

    /// The same disk, which takes no notice when a write is to be durable: for seeing whether that is noticed.
    #[must_use]
    pub fn ignoring_fua(self) -> Self {
        Self { ignores_fua: true, ..self }
    }

    /// The same disk, which can discard. What was discarded reads as zeros, or it is any sector's own affair whether it does.
    #[must_use]
    pub fn with_discard(self, zeroes: bool) -> Self {
        Self { discards: Some(zeroes), ..self }
    }

    /// The power fails and comes back: what was not durable is lost, or not, sector by sector.
    pub fn cut(&self) {
        let Inner { stable, cache, chance, .. } = &mut *self.inner();
        for (lba, cached) in std::mem::take(cache) {
            let kept = chance.below(cached.versions.len() as u64 + 1);
            if let Some(version) = kept.checked_sub(1).and_then(|at| cached.versions.get(at as usize)) {
                stable[at(lba)..][..SECTOR_SIZE].copy_from_slice(version);
            }
        }
    }

    /// What it fails at from now on.
    pub fn set_trouble(&self, trouble: Trouble) {
        self.inner().trouble = trouble;
    }

    /// Whether a sync has failed since this was last asked.
    pub fn take_gave_up(&self) -> bool {
        std::mem::take(&mut self.inner().gave_up)
    }

    /// Requests that have failed.
    #[must_use]
    pub fn struck(&self) -> u64 {
        self.inner().struck
    }

    /// A sector as a read returns it.
    #[must_use]
    pub fn sector(&self, lba: u64) -> Sector {
        self.inner().sector(lba)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, lba: u64, data: &[u8], durable: bool) -> Result<(), Status> {
        let mut inner = self.inner();
        let extent = Extent::new(lba, (data.len() / SECTOR_SIZE) as u32);
        let fails =
            inner.trouble.fails(extent) || inner.trouble.full_from.is_some_and(|from| from < extent.end());
        for (lba, sector) in (lba..).zip(data.chunks_exact(SECTOR_SIZE)) {
            if fails && inner.chance.happens(500) {
                continue;
            }
            let mut whole = [0; SECTOR_SIZE];
            whole.copy_from_slice(sector);
            match !self.cached || (durable && !self.ignores_fua && !inner.trouble.sync) {
                true => inner.store(lba, &whole),
                false => {
                    let given_up = durable && inner.trouble.sync;
                    let cached = inner.cache.entry(lba).or_default();
                    cached.versions.push(whole);
                    cached.given_up = given_up;
                    inner.gave_up |= given_up;
                }
            }
        }
        let fails = fails || (self.cached && durable && inner.trouble.sync);
        inner.end(fails)
    }
}

impl Inner {
    fn sector(&self, lba: u64) -> Sector {
        let mut sector = [0; SECTOR_SIZE];
        match self.cache.get(&lba).and_then(|cached| cached.versions.last()) {
            Some(last) => sector = *last,
            None => sector.copy_from_slice(&self.stable[at(lba)..][..SECTOR_SIZE]),
        }
        sector
    }

    /// Makes a version durable, and with it forgets those before.
    fn store(&mut self, lba: u64, sector: &Sector) {
        self.cache.remove(&lba);
        self.stable[at(lba)..][..SECTOR_SIZE].copy_from_slice(sector);
    }

    fn end(&mut self, fails: bool) -> Result<(), Status> {
        self.struck += u64::from(fails);
        if fails { Err(Status::Media) } else { Ok(()) }
    }
}

impl Trouble {
    fn fails(self, extent: Extent) -> bool {
        self.medium.is_some_and(|bad| bad.overlaps(extent))
    }
}

fn at(lba: u64) -> usize {
    lba as usize * SECTOR_SIZE
}

impl BlockingBackend for CrashDisk {
    fn info(&self) -> DeviceInfo {
        let mut features = if self.cached { Features::FLUSH } else { Features::NONE };
        if let Some(zeroes) = self.discards {
            features = features
                | if zeroes { Features::DISCARD | Features::DISCARD_ZEROES } else { Features::DISCARD };
        }
        DeviceInfo { sectors: self.sectors, features, ..DeviceInfo::default() }
    }

    fn read_at(&self, lba: u64, data: &mut [u8]) -> Result<(), Status> {
        let mut inner = self.inner();
        let fails = inner.trouble.fails(Extent::new(lba, (data.len() / SECTOR_SIZE) as u32));
        for (lba, sector) in (lba..).zip(data.chunks_exact_mut(SECTOR_SIZE)) {
            sector.copy_from_slice(&inner.sector(lba));
        }
        inner.end(fails)
    }

    fn write_at(&self, lba: u64, data: &[u8]) -> Result<(), Status> {
        self.write(lba, data, false)
    }

    fn write_fua_at(&self, lba: u64, data: &[u8]) -> Result<(), Status> {
        self.write(lba, data, true)
    }

    fn discard(&self, extent: Extent) -> Result<(), Status> {
        for lba in extent.lba..extent.end() {
            if self.discards == Some(true) || self.inner().chance.happens(500) {
                self.write(lba, &[0; SECTOR_SIZE], false)?;
            }
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), Status> {
        let mut inner = self.inner();
        let fails = inner.trouble.sync;
        if fails {
            inner.gave_up = true;
            inner.cache.values_mut().for_each(|cached| cached.given_up = true);
        } else {
            let cache = std::mem::take(&mut inner.cache);
            for (lba, cached) in cache {
                match cached.versions.last() {
                    Some(last) if !cached.given_up => inner.store(lba, last),
                    _ => drop(inner.cache.insert(lba, cached)),
                }
            }
        }
        inner.end(fails)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sector(byte: u8) -> Sector {
        [byte; SECTOR_SIZE]
    }

    /// What sector 3 of a disk is after `use_it` and a power cut, over many seeds, without repeats.
    fn after_a_cut(cached: bool, use_it: impl Fn(&CrashDisk)) -> Vec<u8> {
        let mut found: Vec<u8> = (0..64)
            .map(|seed| {
                let disk = CrashDisk::new(8, cached, seed);
                use_it(&disk);
                disk.cut();
                assert!(disk.sector(3).iter().all(|byte| *byte == disk.sector(3)[0]), "torn");
                disk.sector(3)[0]
            })
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    #[test]
    fn a_cut_leaves_any_version_since_the_last_flush_and_no_older_one() {
        let found = after_a_cut(true, |disk| {
            disk.write_at(3, &sector(1)).unwrap();
            disk.flush().unwrap();
            disk.write_at(3, &sector(2)).unwrap();
            disk.write_at(2, &[sector(3), sector(3)].concat()).unwrap();
            assert_eq!(disk.sector(3), sector(3));
        });
        assert_eq!(found, [1, 2, 3]);
    }

    #[test]
    fn durable_writes_and_disks_without_cache_lose_nothing() {
        assert_eq!(after_a_cut(true, |disk| disk.write_fua_at(3, &sector(4)).unwrap()), [4]);
        assert_eq!(after_a_cut(false, |disk| disk.write_at(3, &sector(4)).unwrap()), [4]);
    }

    #[test]
    fn what_a_failed_sync_gave_up_is_read_and_never_made_durable() {
        let found = after_a_cut(true, |disk| {
            disk.write_fua_at(3, &sector(1)).unwrap();
            disk.write_at(3, &sector(2)).unwrap();
            disk.set_trouble(Trouble { sync: true, ..Trouble::default() });
            assert_eq!(disk.flush(), Err(Status::Media));
            disk.set_trouble(Trouble::default());
            assert_eq!(disk.flush(), Ok(()));
            assert_eq!(disk.sector(3), sector(2));
        });
        assert_eq!(found, [1, 2]);
    }
}
