//! Request frames, byte by byte (AoEr11).

use std::sync::atomic::{AtomicU32, Ordering};

/// An Ethernet address.
pub type Mac = [u8; 6];

/// The target's address.
pub const T: Mac = mac(0xb2);
/// The usual sender's address.
pub const S: Mac = mac(0xa1);
/// Everybody.
pub const B: Mac = [0xff; 6];

/// An address of the test network.
#[must_use]
pub const fn mac(last: u8) -> Mac {
    [2, 0, 0, 0, 0, last]
}

/// `02:00:00:00:00:a1`
#[must_use]
pub fn show_mac(mac: Mac) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// A request, from the sender to e7.3, that goes out in a frame padded to 60 bytes.
#[derive(Debug, Clone)]
pub struct Request {
    destination: Mac,
    source: Mac,
    version_flags: u8,
    error: u8,
    major: u16,
    minor: u8,
    command: u8,
    tag: [u8; 4],
    argument: Vec<u8>,
    length: Option<usize>,
}

impl Request {
    /// A request of any command: `argument` is everything from byte 24 on. Its tag is new.
    #[must_use]
    pub fn new(command: u8, argument: Vec<u8>) -> Self {
        static TAG: AtomicU32 = AtomicU32::new(0x0001_0000);
        Self {
            destination: T,
            source: S,
            version_flags: 0x10,
            error: 0,
            major: 7,
            minor: 3,
            command,
            tag: TAG.fetch_add(1, Ordering::Relaxed).to_be_bytes(),
            argument,
            length: None,
        }
    }

    /// Another destination.
    #[must_use]
    pub fn to(self, destination: Mac) -> Self {
        Self { destination, ..self }
    }

    /// Another source.
    #[must_use]
    pub fn from(self, source: Mac) -> Self {
        Self { source, ..self }
    }

    /// Another shelf and slot; ffff and ff are wildcards.
    #[must_use]
    pub fn at(self, major: u16, minor: u8) -> Self {
        Self { major, minor, ..self }
    }

    /// Another tag.
    #[must_use]
    pub fn tagged(self, tag: u32) -> Self {
        Self { tag: tag.to_be_bytes(), ..self }
    }

    /// Another byte 14: version and flags.
    #[must_use]
    pub fn version_flags(self, version_flags: u8) -> Self {
        Self { version_flags, ..self }
    }

    /// Another byte 15.
    #[must_use]
    pub fn error(self, error: u8) -> Self {
        Self { error, ..self }
    }

    /// A frame of exactly this length: cut, or filled with zeros.
    #[must_use]
    pub fn length(self, length: usize) -> Self {
        Self { length: Some(length), ..self }
    }

    /// Sets LBA 0 to 5 of an ATA request.
    #[must_use]
    pub fn lba(self, lba: u64) -> Self {
        let b = lba.to_le_bytes();
        self.lba_bytes([b[0], b[1], b[2], b[3], b[4], b[5]])
    }

    /// Sets the six LBA bytes of an ATA request as they stand in the frame.
    #[must_use]
    pub fn lba_bytes(mut self, bytes: [u8; 6]) -> Self {
        self.argument[4..10].copy_from_slice(&bytes);
        self
    }

    /// Appends payload.
    #[must_use]
    pub fn data(mut self, data: &[u8]) -> Self {
        self.argument.extend_from_slice(data);
        self
    }

    /// Another length field in a config request than its string has, or another count in a mask list or reserve request
    /// than it has entries.
    #[must_use]
    pub fn claiming(mut self, count: u16) -> Self {
        let [high, low] = count.to_be_bytes();
        match self.command {
            1 => self.argument[6..8].copy_from_slice(&[high, low]),
            2 => self.argument[3] = low,
            3 => self.argument[1] = low,
            other => panic!("command {other} has no such field"),
        }
        self
    }

    /// The frame.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut frame = Vec::with_capacity(60);
        frame.extend_from_slice(&self.destination);
        frame.extend_from_slice(&self.source);
        frame.extend_from_slice(&[0x88, 0xa2, self.version_flags, self.error]);
        frame.extend_from_slice(&self.major.to_be_bytes());
        frame.extend_from_slice(&[self.minor, self.command]);
        frame.extend_from_slice(&self.tag);
        frame.extend_from_slice(&self.argument);
        frame.resize(self.length.unwrap_or(frame.len().max(60)), 0);
        frame
    }
}

/// Command 0, `aflags/feature/count/command`, LBA 0.
#[must_use]
pub fn ata(aflags: u8, feature: u8, count: u8, command: u8) -> Request {
    Request::new(0, vec![aflags, feature, count, command, 0, 0, 0, 0, 0, 0, 0, 0])
}

/// READ SECTORS EXT, as the Linux driver sends it.
#[must_use]
pub fn read(lba: u64, count: u8) -> Request {
    ata(0x40, 0, count, 0x24).lba(lba)
}

/// WRITE SECTORS EXT of whole sectors, as the Linux driver sends it.
#[must_use]
pub fn write(lba: u64, data: &[u8]) -> Request {
    let count = u8::try_from(data.len() / crate::SECTOR).expect("at most 255 sectors");
    ata(0x41, 0, count, 0x34).lba(lba).data(data)
}

/// FLUSH CACHE.
#[must_use]
pub fn flush() -> Request {
    ata(0, 0, 0, 0xe7)
}

/// IDENTIFY DEVICE, as the Linux driver sends it.
#[must_use]
pub fn identify() -> Request {
    ata(0, 0, 1, 0xec).lba_bytes([0, 0, 0, 0xa0, 0, 0])
}

/// Command 1 with its string. The version nibble of byte 29 is 0, as all known initiators have it.
#[must_use]
pub fn config(ccmd: u8, string: &[u8]) -> Request {
    let [high, low] = u16::try_from(string.len()).expect("a short string").to_be_bytes();
    Request::new(1, [&[0, 0, 0, 0, 0, ccmd, high, low], string].concat())
}

/// Command 2 with directives (add is 1, delete 2).
#[must_use]
pub fn mask(mcmd: u8, directives: &[(u8, Mac)]) -> Request {
    let mut argument = vec![0, mcmd, 0, u8::try_from(directives.len()).expect("at most 255 directives")];
    for (dcmd, mac) in directives {
        argument.extend_from_slice(&[0, *dcmd]);
        argument.extend_from_slice(mac);
    }
    Request::new(2, argument)
}

/// Command 3 with its list.
#[must_use]
pub fn reserve(rcmd: u8, macs: &[Mac]) -> Request {
    let count = u8::try_from(macs.len()).expect("at most 255 addresses");
    Request::new(3, [&[rcmd, count][..], &macs.concat()].concat())
}
