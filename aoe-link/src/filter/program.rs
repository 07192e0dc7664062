//! The kernel's side of [`Accept`]: a classic BPF program for a packet socket.
//!
//! It may not loop, conditional jumps reach 255 steps, and 4096 steps are the limit: addresses are sorted, consecutive ones are merged,
//! and few are compared with a frame's, those that a search by halves ends at.

use std::ops::RangeInclusive;

use aoe_wire::{Address, ETH_HEADER_LEN};
use libc::sock_filter;

use super::Accept;

/// `BPF_MAXINSNS`: the most steps that the kernel takes.
const MOST_STEPS: usize = 4096;

/// Ranges of addresses that are compared one after the other.
const COMPARED: usize = 8;

/// Offsets of fields in a frame (AoEr11 §2).
const FLAGS: usize = ETH_HEADER_LEN;
const SHELF: usize = 16;
const SLOT: usize = 18;
const AOE_END: usize = 24;

/// Flag R.
const RESPONSE: u32 = 0x08;

/// What follows for a frame.
const DROP: sock_filter = step(libc::BPF_RET | libc::BPF_K, 0);
const PASS: sock_filter = step(libc::BPF_RET | libc::BPF_K, u32::MAX);

/// The program that lets pass what `accept` says, of frames for this host: unicast, multicast or broadcast, but no copies of its own
/// outgoing frames, none for other hosts, and none that carry a VLAN tag that no interface here stands for (the kernel marks those as
/// for another host).
pub(crate) fn program(accept: &Accept) -> Vec<sock_filter> {
    const PACKET_TYPE: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_PKTTYPE).cast_unsigned();
    let mut program = vec![
        step(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, PACKET_TYPE),
        jump(libc::BPF_JGE, libc::PACKET_OTHERHOST.into(), 0, 1),
        DROP,
    ];
    let steps = match accept {
        Accept::All => vec![PASS],
        Accept::Target(addresses) => for_addresses(addresses),
        Accept::Initiator => responses(),
    };
    if program.len() + steps.len() <= MOST_STEPS {
        program.extend(steps);
    } else {
        program.push(PASS);
    }
    program
}

fn responses() -> Vec<sock_filter> {
    let mut steps = pass_short_frames();
    steps.extend([load(libc::BPF_B, FLAGS), jump(libc::BPF_JSET, RESPONSE, 1, 0), DROP, PASS]);
    steps
}

fn for_addresses(addresses: &[Address]) -> Vec<sock_filter> {
    let mut steps = pass_short_frames();
    steps.extend([
        load(libc::BPF_B, SLOT),
        jump(libc::BPF_JEQ, Address::ANY_MINOR.into(), 2, 0),
        load(libc::BPF_H, SHELF),
        jump(libc::BPF_JEQ, Address::ANY_MAJOR.into(), 0, 1),
        PASS,
        load(libc::BPF_W, SHELF),
        step(libc::BPF_ALU | libc::BPF_RSH | libc::BPF_K, 8),
    ]);
    steps.extend(search(&ranges(addresses)));
    steps
}

/// A load from beyond a frame's end would drop it.
fn pass_short_frames() -> Vec<sock_filter> {
    vec![step(libc::BPF_LD | libc::BPF_W | libc::BPF_LEN, 0), jump(libc::BPF_JGE, AOE_END as u32, 1, 0), PASS]
}

/// Shelf and slot as one number.
fn number(address: Address) -> u32 {
    u32::from(address.major) << 8 | u32::from(address.minor)
}

/// The `addresses` in their order, consecutive ones as one range.
pub(crate) fn ranges(addresses: &[Address]) -> Vec<RangeInclusive<u32>> {
    let mut numbers: Vec<_> = addresses.iter().copied().map(number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let runs = numbers.chunk_by(|a, b| a + 1 == *b);
    runs.filter_map(|run| Some(*run.first()?..=*run.last()?)).collect()
}

/// Whether the number in the accumulator lies in one of `ranges`: passes or drops.
fn search(ranges: &[RangeInclusive<u32>]) -> Vec<sock_filter> {
    let (low, high) = ranges.split_at(ranges.len() / 2);
    match high.first() {
        Some(first) if ranges.len() > COMPARED => {
            let (low, high) = (search(low), search(high));
            // The condition jumps over the long jump, or to it: only that reaches far enough.
            let steps = [
                jump(libc::BPF_JGE, *first.start(), 0, 1),
                step(libc::BPF_JMP | libc::BPF_JA, low.len() as u32),
            ];
            [&steps[..], &low, &high].concat()
        }
        _ => compare(ranges),
    }
}

/// The same, for at most [`COMPARED`] ranges.
fn compare(ranges: &[RangeInclusive<u32>]) -> Vec<sock_filter> {
    let mut steps = vec![PASS, DROP];
    // From the end: `PASS` is the last step, by then as many steps away as there are already.
    for range in ranges.iter().rev() {
        let to_pass = steps.len() as u8 - 1;
        let (first, last) = (*range.start(), *range.end());
        if first == last {
            steps.push(jump(libc::BPF_JEQ, first, to_pass, 0));
        } else {
            steps.push(jump(libc::BPF_JGT, last, 0, to_pass));
            steps.push(jump(libc::BPF_JGE, first, 0, 1));
        }
    }
    steps.reverse();
    steps
}

fn load(size: u32, offset: usize) -> sock_filter {
    step(libc::BPF_LD | size | libc::BPF_ABS, offset as u32)
}

/// Goes on `yes` or `no` steps behind the next one, as the accumulator compares with `value`.
const fn jump(condition: u32, value: u32, yes: u8, no: u8) -> sock_filter {
    sock_filter { code: (libc::BPF_JMP | condition | libc::BPF_K) as u16, jt: yes, jf: no, k: value }
}

const fn step(code: u32, k: u32) -> sock_filter {
    sock_filter { code: code as u16, jt: 0, jf: 0, k }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixDatagram;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::netif::attach_filter;

    /// The kernel, with the program of one [`Accept`]: what passes it arrives at the other end of a pair of sockets.
    struct Kernel(UnixDatagram, UnixDatagram);

    impl Kernel {
        fn new(accept: &Accept) -> Self {
            let (near, far) = UnixDatagram::pair().unwrap();
            far.set_nonblocking(true).unwrap();
            attach_filter(far.as_fd(), &program(accept)).unwrap();
            Self(near, far)
        }

        fn passes(&self, frame: &[u8]) -> bool {
            assert_eq!(self.0.send(frame).unwrap(), frame.len());
            let mut arrived = [0; 128];
            match self.1.recv(&mut arrived) {
                Ok(len) => {
                    assert_eq!(&arrived[..len], frame, "cut or changed");
                    true
                }
                Err(error) => {
                    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
                    false
                }
            }
        }
    }

    fn request(address: Address) -> [u8; 60] {
        let mut frame = [0; 60];
        frame[14] = 0x10;
        frame[16..18].copy_from_slice(&address.major.to_be_bytes());
        frame[18] = address.minor;
        // The command, which is no part of the address.
        frame[19] = 0xff;
        frame
    }

    fn target(addresses: impl IntoIterator<Item = (u16, u8)>) -> Accept {
        Accept::Target(addresses.into_iter().map(|(major, minor)| Address::new(major, minor)).collect())
    }

    fn passes(kernel: &Kernel, (major, minor): (u16, u8)) -> bool {
        kernel.passes(&request(Address::new(major, minor)))
    }

    #[test]
    fn a_target_receives_its_own_addresses_and_every_wildcard() {
        let kernel = Kernel::new(&target([(7, 3), (7, 4), (0x1234, 0)]));
        for own in
            [(7, 3), (7, 4), (0x1234, 0), (0xffff, 0xff), (7, 0xff), (8, 0xff), (0xffff, 3), (0xffff, 0)]
        {
            assert!(passes(&kernel, own), "{own:?}");
        }
        for other in
            [(7, 2), (7, 5), (6, 3), (8, 3), (0x1234, 1), (0x1233, 0xfe), (0x3412, 0), (0, 0), (0xfffe, 0xfe)]
        {
            assert!(!passes(&kernel, other), "{other:?}");
        }
    }

    #[test]
    fn a_target_without_address_receives_the_wildcards_alone() {
        let kernel = Kernel::new(&Accept::Target(Vec::new()));
        assert!(passes(&kernel, (0xffff, 0xff)));
        assert!(!passes(&kernel, (0, 0)));
    }

    #[test]
    fn an_initiator_receives_responses_alone() {
        let kernel = Kernel::new(&Accept::Initiator);
        let mut frame = request(Address::new(7, 3));
        assert!(!kernel.passes(&frame));
        frame[14] = 0x18;
        assert!(kernel.passes(&frame));
        // Error and the version's bits say nothing of the direction.
        frame[14] = 0xf7;
        assert!(!kernel.passes(&frame));
    }

    #[test]
    fn frames_too_short_to_tell_pass() {
        for accept in [Accept::All, Accept::Initiator, target([(7, 3)])] {
            let kernel = Kernel::new(&accept);
            assert!((1..24).all(|len| kernel.passes(&[0; 60][..len])), "{accept:?}");
            assert_eq!(kernel.passes(&[0; 24]), accept == Accept::All, "{accept:?}");
        }
    }

    #[test]
    fn a_thousand_scattered_addresses_are_told_from_their_neighbours() {
        let kernel = Kernel::new(&target((0..1024).map(|i| (i * 63, (i % 255) as u8))));
        for i in 0..1024_u16 {
            assert!(passes(&kernel, (i * 63, (i % 255) as u8)), "{i}");
            assert!(!passes(&kernel, (i * 63 + 1, (i % 255) as u8)), "{i}");
            assert!(!passes(&kernel, (i * 63, ((i + 1) % 255) as u8)), "{i}");
        }
    }

    #[test]
    fn few_steps_are_taken_for_many_addresses() {
        let whole_shelves = target((0..256).flat_map(|major| (0..255).map(move |minor| (major, minor))));
        assert!(program(&whole_shelves).len() < 1000);
        // Two of three addresses are the worst of cases.
        let pairs = |count| target((0..count).map(|i| (i / 100, (i % 100 * 3 / 2) as u8)));
        assert!(program(&pairs(2800)).len() <= MOST_STEPS);
        assert!(!passes(&Kernel::new(&pairs(2800)), (0, 2)), "the address between two pairs");
        assert!(passes(&Kernel::new(&pairs(5600)), (0, 2)), "too many: everything passes");
    }

    /// What [`Accept`] says, in other words.
    fn accepts(accept: &Accept, frame: &[u8]) -> bool {
        let Some(&[flags, _, s1, s2, slot, ..]) = frame.get(14..24) else { return true };
        let shelf = u16::from_be_bytes([s1, s2]);
        match accept {
            Accept::All => true,
            Accept::Initiator => flags & 8 != 0,
            Accept::Target(own) => {
                shelf == 0xffff || slot == 0xff || own.contains(&Address::new(shelf, slot))
            }
        }
    }

    /// Near to each other, and near to both ends of the numbers.
    fn address() -> impl Strategy<Value = (u16, u8)> {
        let major = prop_oneof![0..4_u16, 0xfffc..=0xffff_u16, any::<u16>()];
        let minor = prop_oneof![0..20_u8, 0xf0..=0xff_u8, any::<u8>()];
        (major, minor)
    }

    fn accept() -> impl Strategy<Value = Accept> {
        prop_oneof![
            1 => Just(Accept::All),
            1 => Just(Accept::Initiator),
            8 => vec(address(), 0..200).prop_map(target),
        ]
    }

    proptest! {
        #[test]
        fn the_kernel_decides_as_the_words_say(
            accept in accept(),
            frames in vec((address(), any::<u8>(), 1..=60_usize), 1..60),
        ) {
            let kernel = Kernel::new(&accept);
            let own = match &accept {
                Accept::Target(own) => own.clone(),
                _ => Vec::new(),
            };
            let others = frames.into_iter().map(|((major, minor), flags, len)| (Address::new(major, minor), flags, len));
            for (address, flags, len) in own.iter().map(|own| (*own, 0, 60)).chain(others) {
                let mut frame = request(address);
                frame[14] = flags;
                prop_assert_eq!(kernel.passes(&frame[..len]), accepts(&accept, &frame[..len]), "{} {}", address, len);
            }
        }
    }
}
