//! Requests that nobody has thought of.

use proptest::prelude::*;

use super::{HOST, TARGET};

/// Frames that get past the first checks often enough, and anything else.
pub(crate) fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let dst = prop_oneof![4 => Just(TARGET.0), 1 => Just([0xff; 6]), 1 => any::<[u8; 6]>()];
    let src = prop_oneof![8 => Just(HOST.0), 1 => any::<[u8; 6]>()];
    let flags = prop_oneof![8 => Just(0x10u8), 1 => any::<u8>()];
    let address = prop_oneof![6 => Just([0, 7, 3]), 2 => Just([0xff, 0xff, 0xff]), 1 => any::<[u8; 3]>()];
    let command = prop_oneof![8 => 0..4u8, 1 => any::<u8>()];
    let opcode = prop_oneof![
        6 => prop::sample::select(vec![0x20u8, 0x24, 0x30, 0x34, 0x40, 0x42, 0xec, 0xe7, 0xe5, 0xef, 0x06, 0x3d]),
        1 => any::<u8>()
    ];
    let ata = (any::<u8>(), prop_oneof![any::<u8>(), Just(1u8)], 0..5u8, opcode, 0..5000u16).prop_map(
        |(aflags, feature, count, opcode, lba)| {
            let mut arg = vec![aflags, feature, count, opcode];
            arg.extend(u64::from(lba).to_le_bytes()[..6].iter());
            arg.extend([0, 0]);
            arg
        },
    );
    let arg = prop_oneof![3 => ata, 2 => prop::collection::vec(0..8u8, 0..40), 1 => prop::collection::vec(any::<u8>(), 0..40)];
    let tail = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..100),
        (0..4usize).prop_map(|n| vec![0x22; n * 512]),
        Just(vec![])
    ];
    (dst, src, flags, address, command, any::<[u8; 4]>(), arg, tail).prop_map(
        |(dst, src, flags, address, command, tag, arg, tail)| {
            let mut frame = Vec::new();
            frame.extend(dst);
            frame.extend(src);
            frame.extend([0x88, 0xa2, flags, 0]);
            frame.extend(address);
            frame.push(command);
            frame.extend(tag);
            frame.extend(arg);
            frame.extend(tail);
            frame
        },
    )
}
