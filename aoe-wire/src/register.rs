//! Values of the command, status and error registers (ATA8-ACS).

use crate::value::{wire_code, wire_flags};

wire_code! {
    /// The command register (ATA8-ACS; for obsolete codes, the ATA standard that last had them).
    AtaCommand {
        /// NOP: always aborts.
        NOP = 0x00, "nop";
        /// DATA SET MANAGEMENT: TRIM when bit 0 of the feature register is set.
        DATA_SET_MANAGEMENT = 0x06, "data-set-management";
        /// DEVICE RESET, packet devices only.
        DEVICE_RESET = 0x08, "device-reset";
        /// RECALIBRATE, obsolete.
        RECALIBRATE = 0x10, "recalibrate";
        /// READ SECTORS, 28-bit.
        READ_SECTORS = 0x20, "read";
        /// READ SECTORS EXT, 48-bit.
        READ_SECTORS_EXT = 0x24, "read-ext";
        /// READ DMA EXT, 48-bit.
        READ_DMA_EXT = 0x25, "read-dma-ext";
        /// READ NATIVE MAX ADDRESS EXT.
        READ_NATIVE_MAX_EXT = 0x27, "read-native-max-ext";
        /// READ MULTIPLE EXT, 48-bit.
        READ_MULTIPLE_EXT = 0x29, "read-multiple-ext";
        /// READ LOG EXT.
        READ_LOG_EXT = 0x2f, "read-log-ext";
        /// WRITE SECTORS, 28-bit.
        WRITE_SECTORS = 0x30, "write";
        /// WRITE SECTORS EXT, 48-bit.
        WRITE_SECTORS_EXT = 0x34, "write-ext";
        /// WRITE DMA EXT, 48-bit.
        WRITE_DMA_EXT = 0x35, "write-dma-ext";
        /// SET MAX ADDRESS EXT.
        SET_MAX_EXT = 0x37, "set-max-ext";
        /// WRITE MULTIPLE EXT, 48-bit.
        WRITE_MULTIPLE_EXT = 0x39, "write-multiple-ext";
        /// WRITE DMA FUA EXT, 48-bit: stable before the reply.
        WRITE_DMA_FUA_EXT = 0x3d, "write-dma-fua-ext";
        /// WRITE LOG EXT.
        WRITE_LOG_EXT = 0x3f, "write-log-ext";
        /// READ VERIFY SECTORS, 28-bit: no data.
        READ_VERIFY = 0x40, "read-verify";
        /// READ VERIFY SECTORS EXT, 48-bit: no data.
        READ_VERIFY_EXT = 0x42, "read-verify-ext";
        /// ZERO EXT.
        ZERO_EXT = 0x44, "zero-ext";
        /// WRITE UNCORRECTABLE EXT.
        WRITE_UNCORRECTABLE_EXT = 0x45, "write-uncorrectable-ext";
        /// READ LOG DMA EXT.
        READ_LOG_DMA_EXT = 0x47, "read-log-dma-ext";
        /// WRITE LOG DMA EXT.
        WRITE_LOG_DMA_EXT = 0x57, "write-log-dma-ext";
        /// READ FPDMA QUEUED.
        READ_FPDMA_QUEUED = 0x60, "read-fpdma-queued";
        /// WRITE FPDMA QUEUED.
        WRITE_FPDMA_QUEUED = 0x61, "write-fpdma-queued";
        /// SEEK, obsolete.
        SEEK = 0x70, "seek";
        /// EXECUTE DEVICE DIAGNOSTIC.
        EXECUTE_DIAGNOSTIC = 0x90, "execute-diagnostic";
        /// INITIALIZE DEVICE PARAMETERS, obsolete.
        INITIALIZE_PARAMETERS = 0x91, "initialize-parameters";
        /// DOWNLOAD MICROCODE.
        DOWNLOAD_MICROCODE = 0x92, "download-microcode";
        /// STANDBY IMMEDIATE, the old code.
        STANDBY_IMMEDIATE_94 = 0x94, "standby-immediate";
        /// IDLE IMMEDIATE, the old code.
        IDLE_IMMEDIATE_95 = 0x95, "idle-immediate";
        /// STANDBY, the old code.
        STANDBY_96 = 0x96, "standby";
        /// IDLE, the old code.
        IDLE_97 = 0x97, "idle";
        /// CHECK POWER MODE, the old code.
        CHECK_POWER_MODE_98 = 0x98, "check-power-mode";
        /// SLEEP, the old code.
        SLEEP_99 = 0x99, "sleep";
        /// PACKET, packet devices only.
        PACKET = 0xa0, "packet";
        /// IDENTIFY PACKET DEVICE.
        IDENTIFY_PACKET_DEVICE = 0xa1, "identify-packet-device";
        /// SMART: the feature register holds the sub-command.
        SMART = 0xb0, "smart";
        /// DEVICE CONFIGURATION OVERLAY.
        DEVICE_CONFIGURATION = 0xb1, "device-configuration";
        /// SANITIZE DEVICE.
        SANITIZE_DEVICE = 0xb4, "sanitize-device";
        /// READ MULTIPLE, 28-bit.
        READ_MULTIPLE = 0xc4, "read-multiple";
        /// WRITE MULTIPLE, 28-bit.
        WRITE_MULTIPLE = 0xc5, "write-multiple";
        /// SET MULTIPLE MODE.
        SET_MULTIPLE_MODE = 0xc6, "set-multiple-mode";
        /// READ DMA, 28-bit.
        READ_DMA = 0xc8, "read-dma";
        /// WRITE DMA, 28-bit.
        WRITE_DMA = 0xca, "write-dma";
        /// WRITE MULTIPLE FUA EXT, 48-bit: stable before the reply.
        WRITE_MULTIPLE_FUA_EXT = 0xce, "write-multiple-fua-ext";
        /// STANDBY IMMEDIATE.
        STANDBY_IMMEDIATE = 0xe0, "standby-immediate";
        /// IDLE IMMEDIATE.
        IDLE_IMMEDIATE = 0xe1, "idle-immediate";
        /// STANDBY.
        STANDBY = 0xe2, "standby";
        /// IDLE.
        IDLE = 0xe3, "idle";
        /// CHECK POWER MODE: the sector count of the reply is FF when active.
        CHECK_POWER_MODE = 0xe5, "check-power-mode";
        /// SLEEP.
        SLEEP = 0xe6, "sleep";
        /// FLUSH CACHE.
        FLUSH_CACHE = 0xe7, "flush-cache";
        /// FLUSH CACHE EXT.
        FLUSH_CACHE_EXT = 0xea, "flush-cache-ext";
        /// IDENTIFY DEVICE: 512 bytes, see [`IdentifyDevice`](crate::IdentifyDevice).
        IDENTIFY_DEVICE = 0xec, "identify";
        /// SET FEATURES: the feature register holds the sub-command.
        SET_FEATURES = 0xef, "set-features";
        /// SECURITY SET PASSWORD.
        SECURITY_SET_PASSWORD = 0xf1, "security-set-password";
        /// SECURITY UNLOCK.
        SECURITY_UNLOCK = 0xf2, "security-unlock";
        /// SECURITY ERASE PREPARE.
        SECURITY_ERASE_PREPARE = 0xf3, "security-erase-prepare";
        /// SECURITY ERASE UNIT.
        SECURITY_ERASE_UNIT = 0xf4, "security-erase-unit";
        /// SECURITY FREEZE LOCK.
        SECURITY_FREEZE_LOCK = 0xf5, "security-freeze-lock";
        /// SECURITY DISABLE PASSWORD.
        SECURITY_DISABLE_PASSWORD = 0xf6, "security-disable-password";
        /// READ NATIVE MAX ADDRESS.
        READ_NATIVE_MAX = 0xf8, "read-native-max";
        /// SET MAX ADDRESS.
        SET_MAX = 0xf9, "set-max";
    }
}

wire_flags! {
    /// The status register (ATA8-ACS, status field).
    AtaStatus {
        /// Busy; never set in a reply.
        BSY = 0x80, "BSY";
        /// Ready; set in every reply.
        DRDY = 0x40, "DRDY";
        /// Device fault.
        DF = 0x20, "DF";
        /// Data request; never set in a reply.
        DRQ = 0x08, "DRQ";
        /// The error register tells what failed.
        ERR = 0x01, "ERR";
    }
}

impl AtaStatus {
    /// Done: ready and nothing else.
    pub const GOOD: Self = Self(0x40);
    /// Failed: ready, error.
    pub const FAILED: Self = Self(0x41);
    /// Failed, and the device is believed dead: ready, fault, error.
    pub const FAULT: Self = Self(0x61);

    /// Whether an initiator has to take the command for failed: busy, fault, data request or error is set.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        self.0 & 0xa9 != 0
    }
}

wire_flags! {
    /// The error register (ATA8-ACS, error field).
    AtaError {
        /// The medium cannot be read.
        UNC = 0x40, "UNC";
        /// The address is beyond the end.
        IDNF = 0x10, "IDNF";
        /// The command was refused or failed.
        ABRT = 0x04, "ABRT";
    }
}

impl AtaError {
    /// No error.
    pub const NONE: Self = Self(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_a_failure_by_any_bit_that_initiators_look_at() {
        let failures: Vec<u8> = (0..=255).filter(|status| AtaStatus(*status).is_failure()).collect();
        assert_eq!(failures.len(), 256 - 16, "four bits, 0x40, 0x10, 0x04 and 0x02, say nothing");
        assert!(!AtaStatus::GOOD.is_failure() && !AtaStatus(0x50).is_failure());
        assert!(AtaStatus::FAILED.is_failure() && AtaStatus::FAULT.is_failure());
    }

    #[test]
    fn every_opcode_has_the_byte_of_the_standard() {
        let named: Vec<String> =
            (0..=255).filter_map(|byte| Some(format!("{byte:02X} {}", AtaCommand(byte).name()?))).collect();
        let expected = "00 nop, 06 data-set-management, 08 device-reset, 10 recalibrate, 20 read, 24 read-ext, \
                        25 read-dma-ext, 27 read-native-max-ext, 29 read-multiple-ext, 2F read-log-ext, 30 write, \
                        34 write-ext, 35 write-dma-ext, 37 set-max-ext, 39 write-multiple-ext, \
                        3D write-dma-fua-ext, 3F write-log-ext, 40 read-verify, 42 read-verify-ext, 44 zero-ext, \
                        45 write-uncorrectable-ext, 47 read-log-dma-ext, 57 write-log-dma-ext, \
                        60 read-fpdma-queued, 61 write-fpdma-queued, 70 seek, 90 execute-diagnostic, \
                        91 initialize-parameters, 92 download-microcode, 94 standby-immediate, \
                        95 idle-immediate, 96 standby, 97 idle, 98 check-power-mode, 99 sleep, A0 packet, \
                        A1 identify-packet-device, B0 smart, B1 device-configuration, B4 sanitize-device, \
                        C4 read-multiple, C5 write-multiple, C6 set-multiple-mode, C8 read-dma, CA write-dma, \
                        CE write-multiple-fua-ext, E0 standby-immediate, E1 idle-immediate, E2 standby, E3 idle, \
                        E5 check-power-mode, E6 sleep, E7 flush-cache, EA flush-cache-ext, EC identify, \
                        EF set-features, F1 security-set-password, F2 security-unlock, \
                        F3 security-erase-prepare, F4 security-erase-unit, F5 security-freeze-lock, \
                        F6 security-disable-password, F8 read-native-max, F9 set-max";
        assert_eq!(named.join(", "), expected);
    }

    #[test]
    fn old_and_new_power_commands_share_a_name() {
        assert_eq!(AtaCommand::CHECK_POWER_MODE.name(), AtaCommand::CHECK_POWER_MODE_98.name());
        assert_ne!(AtaCommand::CHECK_POWER_MODE, AtaCommand::CHECK_POWER_MODE_98);
    }
}
