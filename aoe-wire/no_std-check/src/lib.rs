//! Proof that aoe-wire needs `core` only. With std somewhere below, this panic handler would be the second one and the
//! build fail; with alloc, the global allocator would be missing.
#![no_std]

use core::fmt::Write;

use aoe_wire::{ArgMut, IdentifyDevice, IdentifyFeatures, Identity, PacketMut, show};

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// Counts what is written.
struct Counter(usize);

impl Write for Counter {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        self.0 = self.0.saturating_add(text.len());
        Ok(())
    }
}

/// Uses the codec from end to end, so that none of it is left out of the library.
pub fn answer(frame: &mut [u8]) -> Option<usize> {
    let identity = Identity::new("e7.3", "0.1.0", "AOE DISK").ok()?;
    let mut packet = PacketMut::parse(frame).ok()?;
    packet.respond("0200000000b2".parse().ok()?, "e7.3".parse().ok()?);
    if let ArgMut::Ata(arg, payload) = packet.arg {
        IdentifyDevice::parse_mut(payload).ok()?.fill(identity, 16_384, IdentifyFeatures::default());
        arg.succeed();
    }
    let mut counter = Counter(0);
    write!(counter, "{}", show(frame)).ok()?;
    Some(counter.0)
}
