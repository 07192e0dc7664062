//! The program that runs in the interface's driver, or right behind it, for every frame that arrives, and its attachment (bpf(2)).
//!
//! It hands frames of the kind that the link accepts to the link's sockets, by the queue that they arrived in. **Everything else passes
//! to the kernel untouched**: other protocols, other hosts' frames, broadcasts, wildcards, other targets' and other initiators' AoE. It
//! is written as instructions here, so that neither a compiler nor a loader is needed; it is some 30 of them.
//!
//! The attachment is a BPF link: the kernel removes program and map when its descriptor is closed, which the end of the process
//! does, however it ends.
#![expect(unsafe_code, reason = "system calls by libc")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use aoe_wire::{ETHERTYPE, MacAddr};

use super::sys::{bpf, owned};
use crate::Accept;
use crate::filter::ranges;

const MAP_CREATE: libc::c_int = 0;
const MAP_UPDATE_ELEM: libc::c_int = 2;
const PROG_LOAD: libc::c_int = 5;
const LINK_CREATE: libc::c_int = 28;
const LINK_UPDATE: libc::c_int = 29;

const MAP_TYPE_XSKMAP: u32 = 17;
const PROG_TYPE_XDP: u32 = 6;
const ATTACH_XDP: u32 = 37;
const XDP_HAS_FRAGS: u32 = 1 << 5;

/// Where the program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attach {
    /// In the driver.
    Native,
    /// Behind the driver, in the kernel's own receive path.
    Generic,
}

/// A program at work. Dropping it removes it.
#[derive(Debug)]
pub(super) struct Program {
    sockets: OwnedFd,
    link: OwnedFd,
    /// `XDP_HAS_FRAGS` or 0, the same for every program of a link.
    flags: u32,
}

impl Program {
    /// Puts a program at interface number `index`, whose address is `mac`. `pieces` says that frames may be longer than a page.
    pub(super) fn attach(
        index: u32,
        attach: Attach,
        mac: MacAddr,
        accept: &Accept,
        queues: u32,
        pieces: bool,
    ) -> io::Result<Self> {
        let sockets = create_map(queues)?;
        let flags = if pieces { XDP_HAS_FRAGS } else { 0 };
        let program = load(&instructions(mac, accept, sockets.as_raw_fd()), flags)?;
        let place = match attach {
            Attach::Generic => 1 << 1,
            Attach::Native => 1 << 2,
        };
        let attributes = [program.as_raw_fd().cast_unsigned(), index, ATTACH_XDP, place];
        // SAFETY: the command takes a program, an interface, a kind and flags, all integers.
        let link = owned(unsafe { bpf(LINK_CREATE, &attributes) }?)?;
        Ok(Self { sockets, link, flags })
    }

    /// Another program for the same sockets, which is not yet at work.
    pub(super) fn load(&self, mac: MacAddr, accept: &Accept) -> io::Result<OwnedFd> {
        load(&instructions(mac, accept, self.sockets.as_raw_fd()), self.flags)
    }

    /// Puts `next` in the place of the program at work: each frame is seen by one of them.
    pub(super) fn replace(&self, next: &OwnedFd) -> io::Result<()> {
        let [link, next] = [&self.link, next].map(|fd| fd.as_raw_fd().cast_unsigned());
        // SAFETY: the command takes a link, a program, flags, and a program that is expected there if the flags say so, all integers.
        unsafe { bpf(LINK_UPDATE, &[link, next, 0, 0]) }.map(drop)
    }

    /// Hands frames of receive queue number `queue` to `socket` from now on.
    pub(super) fn direct(&self, queue: u32, socket: BorrowedFd<'_>) -> io::Result<()> {
        #[repr(C)]
        struct Update<'a> {
            map: u32,
            key: Option<&'a u32>,
            value: Option<&'a u32>,
            flags: u64,
        }
        const { assert!(size_of::<usize>() == 8, "addresses are 64 bits wide in bpf(2)") };
        let socket = socket.as_raw_fd().cast_unsigned();
        let update = Update {
            map: self.sockets.as_raw_fd().cast_unsigned(),
            key: Some(&queue),
            value: Some(&socket),
            flags: 0,
        };
        // SAFETY: the command takes a map, the addresses of a key and of a value, four bytes each, which it reads, and flags.
        unsafe { bpf(MAP_UPDATE_ELEM, &update) }.map(drop)
    }
}

fn create_map(entries: u32) -> io::Result<OwnedFd> {
    let attributes = [MAP_TYPE_XSKMAP, 4, 4, entries];
    // SAFETY: the command takes a type, the sizes of a key and of a value, and how many there are, all integers.
    owned(unsafe { bpf(MAP_CREATE, &attributes) }?)
}

fn load(instructions: &[Instruction], flags: u32) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Load<'a> {
        kind: u32,
        count: u32,
        instructions: &'a Instruction,
        licence: &'a u8,
        log_level: u32,
        log_size: u32,
        log: u64,
        kernel_version: u32,
        flags: u32,
        name: [u8; 16],
        interface: u32,
        attach: u32,
    }
    let (Some(first), Ok(count)) = (instructions.first(), u32::try_from(instructions.len())) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let attributes = Load {
        kind: PROG_TYPE_XDP,
        count,
        instructions: first,
        licence: &b"MIT\0"[0],
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel_version: 0,
        flags,
        name: *b"aoe_link\0\0\0\0\0\0\0\0",
        interface: 0,
        attach: ATTACH_XDP,
    };
    // SAFETY: the command takes a type, a count and the address of as many instructions, the address of a string that ends with a zero,
    // no log, and integers. The kernel reads both before it returns.
    owned(unsafe { bpf(PROG_LOAD, &attributes) }?)
}

/// An instruction of BPF (RFC 9669 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    value: i32,
}

const fn op(code: u8, to: u8, from: u8, offset: i16, value: u32) -> Instruction {
    let registers = if cfg!(target_endian = "little") { from << 4 | to } else { to << 4 | from };
    Instruction { code, registers, offset, value: value.cast_signed() }
}

const LOAD_BYTE: u8 = 0x71;
const LOAD_HALF: u8 = 0x69;
const LOAD_WORD: u8 = 0x61;
const COPY: u8 = 0xbf;
const SET: u8 = 0xb7;
const ADD: u8 = 0x07;
const SHIFT_RIGHT: u8 = 0x77;
const TO_BIG_ENDIAN: u8 = 0xdc;
const JUMP: u8 = 0x05;
const JUMP_IF_ABOVE_REGISTER: u8 = 0x2d;
/// The following compare the lower 32 bits.
const JUMP_IF_EQUAL: u8 = 0x16;
const JUMP_UNLESS_EQUAL: u8 = 0x56;
const JUMP_IF_ANY_BIT: u8 = 0x46;
const JUMP_IF_BELOW: u8 = 0xa6;
const JUMP_UNLESS_ABOVE: u8 = 0xb6;
const LOAD_MAP: u8 = 0x18;
const FROM_DESCRIPTOR: u8 = 1;
const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;

/// Helper function `bpf_redirect_map`.
const REDIRECT_MAP: u32 = 51;
/// The answer `XDP_PASS`.
const PASS: u32 = 2;

/// The program for an interface with the address `mac`, with sockets in the map `sockets`.
fn instructions(mac: MacAddr, accept: &Accept, sockets: i32) -> Vec<Instruction> {
    let [a, b, c, d, e, f] = mac.0;
    // Registers: 1 the context, 2 the frame's start, 3 its end, 6 the context for later. A jump to `pass` or to `take` is put in at the end.
    let mut steps = vec![
        Step::Do(op(COPY, 6, 1, 0, 0)),
        Step::Do(op(LOAD_WORD, 2, 1, 0, 0)),
        Step::Do(op(LOAD_WORD, 3, 1, 4, 0)),
        // Up to the slot and the command: AoEr11 §2.
        Step::Do(op(COPY, 4, 2, 0, 0)),
        Step::Do(op(ADD, 4, 0, 0, 20)),
        Step::Pass(op(JUMP_IF_ABOVE_REGISTER, 4, 3, 0, 0)),
        Step::Do(op(LOAD_HALF, 5, 2, 12, 0)),
        Step::Pass(op(JUMP_UNLESS_EQUAL, 5, 0, 0, u16::from_ne_bytes(ETHERTYPE.to_be_bytes()).into())),
        Step::Do(op(LOAD_WORD, 5, 2, 0, 0)),
        Step::Pass(op(JUMP_UNLESS_EQUAL, 5, 0, 0, u32::from_ne_bytes([a, b, c, d]))),
        Step::Do(op(LOAD_HALF, 5, 2, 4, 0)),
        Step::Pass(op(JUMP_UNLESS_EQUAL, 5, 0, 0, u16::from_ne_bytes([e, f]).into())),
    ];
    const RESPONSE: u32 = 0x08;
    match accept {
        Accept::All => steps.push(Step::Take(op(JUMP, 0, 0, 0, 0))),
        Accept::Initiator => steps.extend([
            Step::Do(op(LOAD_BYTE, 5, 2, 14, 0)),
            Step::Take(op(JUMP_IF_ANY_BIT, 5, 0, 0, RESPONSE)),
            Step::Pass(op(JUMP, 0, 0, 0, 0)),
        ]),
        Accept::Target(addresses) => {
            steps.extend([
                Step::Do(op(LOAD_BYTE, 5, 2, 14, 0)),
                Step::Pass(op(JUMP_IF_ANY_BIT, 5, 0, 0, RESPONSE)),
                // Shelf, slot and command; without the command, what `ranges` counts in.
                Step::Do(op(LOAD_WORD, 5, 2, 16, 0)),
                Step::Do(op(TO_BIG_ENDIAN, 5, 0, 0, 32)),
                Step::Do(op(SHIFT_RIGHT, 5, 0, 0, 8)),
            ]);
            if addresses.is_empty() {
                // Of 24 bits, never so; but the kernel takes no program with steps that nothing leads to.
                steps.push(Step::Take(op(JUMP_IF_EQUAL, 5, 0, 0, u32::MAX)));
            }
            for range in ranges(addresses) {
                let (first, last) = range.into_inner();
                if first == last {
                    steps.push(Step::Take(op(JUMP_IF_EQUAL, 5, 0, 0, first)));
                } else {
                    steps.push(Step::Pass(op(JUMP_IF_BELOW, 5, 0, 0, first)));
                    steps.push(Step::Take(op(JUMP_UNLESS_ABOVE, 5, 0, 0, last)));
                }
            }
            steps.push(Step::Pass(op(JUMP, 0, 0, 0, 0)));
        }
    }
    let take = steps.len();
    // A map's descriptor takes the place of two instructions.
    let end = [
        op(LOAD_WORD, 2, 6, 16, 0),
        op(LOAD_MAP, 1, FROM_DESCRIPTOR, 0, sockets.cast_unsigned()),
        op(0, 0, 0, 0, 0),
        // What the helper answers where a queue has no socket.
        op(SET, 3, 0, 0, PASS),
        op(CALL, 0, 0, 0, REDIRECT_MAP),
        op(EXIT, 0, 0, 0, 0),
        op(SET, 0, 0, 0, PASS),
        op(EXIT, 0, 0, 0, 0),
    ];
    let pass = take + end.len() - 2;
    let jump = |from: usize, to: usize| i16::try_from(to - from - 1).unwrap_or(i16::MAX);
    let resolve = |(at, step)| match step {
        Step::Do(instruction) => instruction,
        Step::Pass(instruction) => Instruction { offset: jump(at, pass), ..instruction },
        Step::Take(instruction) => Instruction { offset: jump(at, take), ..instruction },
    };
    steps.into_iter().enumerate().map(resolve).chain(end).collect()
}

/// An instruction; where it is a jump, to the end that lets the frame pass, or to the one that takes it.
enum Step {
    Do(Instruction),
    Pass(Instruction),
    Take(Instruction),
}
