//! What a target says of itself in IDENTIFY DEVICE data (ATA8-ACS §7.16).

use aoe_wire::{Address, IdentifyDevice, IdentifyFeatures, IdentityError, SECTOR, Trim};
use bdev::{DeviceInfo, Features};

/// The names of a disk, as initiators show them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    serial: String,
    firmware: String,
    model: String,
}

impl Identity {
    /// The model of a disk that was given no other.
    pub const MODEL: &'static str = "AOE DISK";

    /// The firmware revision of a disk that was given no other: this crate's version.
    pub const FIRMWARE: &'static str = env!("CARGO_PKG_VERSION");

    /// Names of printable ASCII: a serial of up to 20 characters, different for every disk and stable over restarts, a firmware
    /// revision of up to 8, and a model of up to 40.
    ///
    /// # Errors
    ///
    /// The first name that is too long, blank or not printable.
    pub fn new(serial: &str, firmware: &str, model: &str) -> Result<Self, IdentityError> {
        aoe_wire::Identity::new(serial, firmware, model)?;
        Ok(Self { serial: serial.into(), firmware: firmware.into(), model: model.into() })
    }

    /// A disk known by its address only.
    #[must_use]
    pub fn of_address(address: Address) -> Self {
        Self { serial: address.to_string(), firmware: Self::FIRMWARE.into(), model: Self::MODEL.into() }
    }

    /// Writes the IDENTIFY page of `disk` into the first 512 bytes of `payload`. Nothing is written to a shorter one.
    pub(crate) fn write(&self, payload: &mut [u8], disk: &DeviceInfo, write_cache: bool) {
        let Ok(page) = IdentifyDevice::parse_mut(payload) else { return };
        let Ok(names) = aoe_wire::Identity::new(&self.serial, &self.firmware, &self.model) else { return };
        page.fill(names, disk.sectors, features(disk, write_cache));
    }
}

fn features(disk: &DeviceInfo, write_cache_enabled: bool) -> IdentifyFeatures {
    let trim = match disk.features {
        features if disk.read_only || !features.contains(Features::DISCARD) => Trim::Absent,
        features if features.contains(Features::DISCARD_ZEROES) => Trim::Zeroes,
        _ => Trim::Indeterminate,
    };
    let per_block = (disk.physical_block as usize / SECTOR).max(1);
    IdentifyFeatures {
        write_cache_enabled,
        fua: true,
        trim,
        physical_exponent: u8::try_from(per_block.ilog2()).unwrap_or(0),
        ..IdentifyFeatures::default()
    }
}
