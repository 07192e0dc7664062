//! Replies, each checked against the request it answers.

use crate::request::{Mac, T};
use crate::{B, SECTOR};

/// A reply whose addresses, tag, length and padding are right. What it says is for the test to judge.
#[derive(Debug, Clone)]
pub struct Reply {
    request: Vec<u8>,
    frame: Vec<u8>,
}

impl Reply {
    /// Checks everything that holds for every reply of e7.3 (AoEr11 §2): destination, source, EtherType, version and
    /// flags, address, command, tag, the exact length its contents call for, and nothing but zeros after them.
    #[track_caller]
    #[must_use]
    pub fn checked(request: &[u8], frame: &[u8]) -> Self {
        Self::checked_at(request, frame, T, [0, 7, 3])
    }

    /// [`Reply::checked`] for another target: its MAC address, and major and minor as they stand in the frame.
    #[track_caller]
    #[must_use]
    pub fn checked_at(request: &[u8], frame: &[u8], target: Mac, address: [u8; 3]) -> Self {
        let reply = Self { request: request.to_vec(), frame: frame.to_vec() };
        let frame = &reply.frame;
        reply.assert(frame.len() >= 60, "is below 60 bytes");
        reply.assert(frame[..6] == request[6..12], "is not for the sender");
        reply.assert(frame[..6] != B, "is a broadcast");
        reply.assert(frame[6..12] == target, "is not from the target's own address");
        reply.assert(frame[12..14] == [0x88, 0xa2], "is not AoE");
        match frame[14..16] {
            [0x18, 0] | [0x1c, 1..=6] => {}
            _ => reply.fail("has wrong version, flags or error code"),
        }
        reply.assert(frame[16..19] == address, "has another shelf.slot than the target");
        reply.assert(frame[19..24] == request[19..24], "has another command or tag than the request");
        let end = reply.end();
        reply.assert(frame.len() == end.max(60), &format!("should have {} bytes", end.max(60)));
        reply.assert(frame[end..].iter().all(|byte| *byte == 0), &format!("is not zero from byte {end} on"));
        reply
    }

    /// Where the contents end, by the reply's own fields, and checks of those that have one right value.
    #[track_caller]
    fn end(&self) -> usize {
        let (frame, request) = (&self.frame, &self.request);
        let refused = self.refusal().is_some();
        match frame[19] {
            0 if refused => {
                self.assert(frame[24..36] == request[24..36], "refuses with other registers than requested");
                36
            }
            0 => {
                self.assert(frame[24] == request[24], "changes the aflags");
                self.assert(frame[28..36] == request[28..36], "changes the LBA or the reserved bytes");
                let reads = match request[27] {
                    0xec => 1,
                    0x20 | 0x24 | 0xc8 | 0x25 | 0xc4 | 0x29 => usize::from(request[26]),
                    _ => 0,
                };
                if frame[27] & 1 == 0 { 36 + reads * SECTOR } else { 36 }
            }
            1 => {
                self.assert(frame[29] == 0x10 | (request[29] & 0xf), "has another byte 29 than 10 + ccmd");
                let buffers = u16::from_be_bytes([frame[24], frame[25]]);
                self.assert(buffers >= 2, "offers fewer than two buffers");
                32 + usize::from(u16::from_be_bytes([frame[30], frame[31]]))
            }
            2 if refused => {
                self.assert(frame[24..28] == request[24..28], "refuses with another argument than requested");
                28
            }
            2 => {
                self.assert(frame[24..26] == [0, request[25]], "does not begin with 0 and mcmd");
                if frame[26] == 0 { 28 + 8 * usize::from(frame[27]) } else { 28 }
            }
            3 => {
                self.assert(frame[24] == request[24], "has another rcmd than the request");
                26 + 6 * usize::from(frame[25])
            }
            _ => {
                self.assert(refused, "answers an unknown command");
                24
            }
        }
    }

    /// The whole frame.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.frame
    }

    /// The AoE error code, if the request was refused.
    #[must_use]
    pub fn refusal(&self) -> Option<u8> {
        (self.frame[14] & 4 != 0).then_some(self.frame[15])
    }
}

#[expect(
    clippy::must_use_candidate,
    reason = "a check either ends a statement or is followed by the next one"
)]
impl Reply {
    /// The target did what was asked: AoE says so, and for an ATA command also the registers: status 40, error 0,
    /// count 0.
    #[track_caller]
    pub fn good(&self) -> &Self {
        self.good_with_count(0)
    }

    /// [`Reply::good`] with another sector count than 0.
    #[track_caller]
    pub fn good_with_count(&self, count: u8) -> &Self {
        self.assert(self.refusal().is_none(), "is a refusal");
        if self.frame[19] == 0 {
            self.registers(0, count, 0x40);
        }
        self
    }

    /// The ATA command failed: status 41, this error register, this count.
    #[track_caller]
    pub fn failed(&self, error: u8, count: u8) {
        self.assert(self.refusal().is_none(), "is a refusal");
        self.registers(error, count, 0x41);
    }

    #[track_caller]
    fn registers(&self, error: u8, count: u8, status: u8) {
        let want = [error, count, status];
        if self.frame[25..28] != want {
            self.fail(&format!("should have error, count and status {}", hex(&want)));
        }
    }

    /// AoE itself refused the request, with this code.
    #[track_caller]
    pub fn refused(&self, code: u8) -> &Self {
        if self.refusal() != Some(code) {
            self.fail(&format!("should be a refusal with error {code}"));
        }
        self
    }

    /// Bytes 36 and up of an ATA reply are these, zeros to 60 aside.
    #[track_caller]
    pub fn with_data(&self, data: &[u8]) -> &Self {
        if self.frame[36..self.end()] != *data {
            self.fail(&format!(
                "should carry other data: {} bytes that begin with {}",
                data.len(),
                start(data)
            ));
        }
        self
    }

    /// The string of a config reply is this one.
    #[track_caller]
    pub fn with_string(&self, string: &[u8]) -> &Self {
        if self.frame[32..self.end()] != *string {
            self.fail(&format!("should carry the string {}", start(string)));
        }
        self
    }

    /// The list of a mask list or reserve reply is this one, in any order.
    #[track_caller]
    pub fn with_list(&self, macs: &[Mac]) -> &Self {
        let mut want = macs.to_vec();
        let mut list: Vec<Mac> = match self.frame[19] {
            2 => self.frame[28..self.end()]
                .chunks(8)
                .map(|entry| {
                    self.assert(entry[..2] == [0, 0], "has a list entry that does not begin with two zeros");
                    entry[2..].try_into().expect("six bytes")
                })
                .collect(),
            3 => self.frame[26..self.end()].chunks(6).map(|mac| mac.try_into().expect("six bytes")).collect(),
            _ => self.fail("has no list"),
        };
        want.sort_unstable();
        list.sort_unstable();
        self.assert(list == want, &format!("should carry the list {}", hex(&want.concat())));
        self
    }

    /// Panics with both frames unless the condition holds.
    #[track_caller]
    pub fn assert(&self, condition: bool, complaint: &str) {
        if !condition {
            self.fail(complaint);
        }
    }

    #[track_caller]
    fn fail(&self, complaint: &str) -> ! {
        panic!("the reply {complaint}\n  > {}\n  < {}", start(&self.request), start(&self.frame));
    }
}

/// The frame's length and its first bytes, in hexadecimal.
#[must_use]
pub fn start(frame: &[u8]) -> String {
    let shown = frame.len().min(96);
    let dots = if shown < frame.len() { ".." } else { "" };
    format!("{}{dots} ({} bytes)", hex(&frame[..shown]), frame.len())
}

/// The bytes in groups of two.
fn hex(bytes: &[u8]) -> String {
    let group = |pair: &[u8]| pair.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    bytes.chunks(2).map(group).collect::<Vec<_>>().join(" ")
}
