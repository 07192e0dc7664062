//! Command 0 of the model: the ATA commands (ATA8-ACS §7).

use super::super::page;
use super::{Answer, BAD_ARGUMENT, Model, Outcome, Port, Refusal, Work, padded};

impl Model {
    pub(super) fn ata(&mut self, port: Port, f: &[u8], wildcard: bool, source: [u8; 6]) -> Outcome {
        let [aflags, feature, count, opcode] = [f[24], f[25], f[26], f[27]];
        if opcode == 0xec {
            let mut reply = self.registers(port, f, 0x40, 0, 0);
            reply.extend(page::identify(&self.rules, self.write_cache));
            return Ok(Answer::Reply(reply));
        }
        if wildcard {
            return Err(Refusal::Quiet);
        }
        if !self.reserve.is_empty() && !self.reserve.contains(&source) {
            return Err(Refusal::Error(6));
        }
        let good = |count| Ok(Answer::Reply(padded(self.registers(port, f, 0x40, 0, count))));
        let fail = |error| Ok(Answer::Reply(padded(self.registers(port, f, 0x41, error, count))));
        let disk = |model: &Self, work, count| {
            let good = model.registers(port, f, 0x40, 0, count);
            let failed = padded(model.registers(port, f, 0x41, 0, f[26]));
            Ok(Answer::Disk { work, good, failed })
        };
        match opcode {
            0x20 | 0xc8 | 0x24 | 0x25 | 0x30 | 0xca | 0x34 | 0x35 | 0x3d | 0xce | 0x40 | 0x42 => {
                let is_48 = matches!(opcode, 0x24 | 0x25 | 0x34 | 0x35 | 0x3d | 0xce | 0x42);
                let is_write = matches!(opcode, 0x30 | 0xca | 0x34 | 0x35 | 0x3d | 0xce);
                let is_verify = matches!(opcode, 0x40 | 0x42);
                let low = u64::from(f[28]) | u64::from(f[29]) << 8 | u64::from(f[30]) << 16;
                let high = u64::from(f[31]) << 24 | u64::from(f[32]) << 32 | u64::from(f[33]) << 40;
                let lba = if is_48 { low | high } else { low | (high & 0x0f00_0000) };
                let bytes = usize::from(count) * 512;
                if count == 0 || (!is_verify && usize::from(count) > port.fits()) {
                    return fail(4);
                }
                if is_48 && aflags & 0x40 == 0 && lba >= 1 << 28 {
                    return fail(4);
                }
                if is_write && f.len() < 36 + bytes {
                    return Err(Refusal::Error(BAD_ARGUMENT));
                }
                if lba + u64::from(count) > self.rules.sectors {
                    return fail(0x10);
                }
                if is_write && self.rules.read_only {
                    return fail(4);
                }
                let count = u64::from(count);
                let durable = !self.write_cache || matches!(opcode, 0x3d | 0xce);
                let work = match (is_write, is_verify) {
                    (true, _) => Work::Write { lba, data: f[36..36 + bytes].to_vec(), durable },
                    (_, true) => Work::Verify { lba, count },
                    _ => Work::Read { lba, count },
                };
                disk(self, work, 0)
            }
            0xe7 | 0xea | 0xe0..=0xe3 | 0x94..=0x97 => disk(self, Work::Flush, count),
            0xe5 | 0x98 => good(0xff),
            0xef => match feature {
                0x02 | 0x82 => {
                    self.write_cache = feature == 0x02;
                    self.switched = true;
                    disk(self, Work::Flush, 0)
                }
                0x03 | 0x55 | 0x66 | 0xaa | 0xcc => good(0),
                _ => fail(4),
            },
            0x06 => {
                if feature & 1 == 0 || count != 1 || !self.rules.discard || self.rules.read_only {
                    return fail(4);
                }
                if f.len() < 36 + 512 {
                    return Err(Refusal::Error(BAD_ARGUMENT));
                }
                let entries = f[36..548].chunks(8).map(|entry| {
                    let low = entry[..6].iter().rev().fold(0, |lba, byte| lba << 8 | u64::from(*byte));
                    (low, u64::from(entry[6]) | u64::from(entry[7]) << 8)
                });
                let ranges: Vec<_> = entries.filter(|(_, sectors)| *sectors != 0).collect();
                if ranges.iter().any(|(lba, sectors)| lba + sectors > self.rules.sectors) {
                    return fail(0x10);
                }
                let durable = !self.write_cache;
                if ranges.is_empty() { good(0) } else { disk(self, Work::Trim { ranges, durable }, 0) }
            }
            _ => fail(4),
        }
    }
}
