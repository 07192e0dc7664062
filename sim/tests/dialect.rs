//! Disks that understand less than ours: what the initiator makes of their IDENTIFY data, and with which commands it speaks to them.

mod common;

use std::cell::Cell;
use std::rc::Rc;

use aoe_initiator::{AttachOptions, Completion, Failure, Malformed};
use aoe_wire::{AFlags, ArgMut, AtaCommand, AtaError, PacketMut};
use bdev::testing::{Fault, Faults, Faulty};
use bdev::{Extent, Features, Io, Op, Status};
use common::{Lab, S, change_word, export_with, is_ata, is_write, pattern};
use sim::Verdict;

const LBA48: u16 = 1 << 10;
const FLUSH: u16 = 1 << 12;
const FLUSH_EXT: u16 = 1 << 13;
const FUA: u16 = 1 << 6;

fn no_fua(page: &mut [u8]) {
    change_word(page, 84, |word| word & !FUA);
    change_word(page, 87, |word| word & !FUA);
}

/// A durable write of five frames.
fn write_durably(lab: &mut Lab) -> Completion<Vec<u8>> {
    let io = Io::new(Op::Write { fua: true }, Extent::new(0, 9), pattern(3, 0, 9), 0).with_tag(3);
    lab.world.run(lab.client, lab.remote, io)
}

/// The commands that `run` sends.
fn commands(lab: &mut Lab, run: impl FnOnce(&mut Lab)) -> Vec<AtaCommand> {
    let list = lab.commands();
    run(lab);
    lab.world.run_for(S);
    list.take().iter().map(|arg| arg.command()).collect()
}

fn features(lab: &mut Lab) -> Features {
    lab.remote().disk().expect("identified").features
}

#[test]
fn a_durable_write_is_one_with_fua_and_no_flush_if_the_disk_has_fua() {
    let mut lab = Lab::new(1, 1500);
    let sent = commands(&mut lab, |lab| assert_eq!(write_durably(lab).done.status(), Status::Ok));
    assert_eq!(sent, [AtaCommand::WRITE_DMA_FUA_EXT; 5]);
}

#[test]
fn a_durable_write_to_a_disk_without_fua_is_a_write_and_then_one_flush() {
    let mut lab = Lab::new(1, 1500);
    lab.announce(no_fua);
    let sent = commands(&mut lab, |lab| assert_eq!(write_durably(lab).done.status(), Status::Ok));
    let (flush, writes) = sent.split_last().expect("commands");
    assert_eq!((*flush, writes), (AtaCommand::FLUSH_CACHE_EXT, &[AtaCommand::WRITE_SECTORS_EXT; 5][..]));
    // Others are not followed by one.
    let sent = commands(&mut lab, |lab| lab.write(0, &pattern(4, 0, 2)));
    assert_eq!(sent, [AtaCommand::WRITE_SECTORS_EXT]);
}

#[test]
fn a_durable_write_that_failed_is_not_flushed() {
    let faults = Faults::default();
    let mut lab = Lab::with(1, 1500, 1, AttachOptions::default(), |_, disk| {
        export_with(|_| {}, Faulty::new(disk, &faults))
    });
    lab.announce(no_fua);
    faults.add(Fault::status(Status::Media).only(is_write).touching(Extent::new(8, 1)));
    let sent = commands(&mut lab, |lab| {
        let completion = write_durably(lab);
        assert_eq!(completion.done.status(), Status::Media);
        assert!(completion.latency < S, "{:?}", completion.latency);
    });
    assert_eq!(sent, [AtaCommand::WRITE_SECTORS_EXT; 5]);
}

#[test]
fn a_flush_that_fails_behind_a_durable_write_fails_the_write() {
    let mut lab = Lab::new(1, 1500);
    lab.announce(no_fua);
    let ([target, initiator], flushes) = (lab.stations(0), Rc::new(Cell::new(0)));
    let count = Rc::clone(&flushes);
    lab.world.net.tap(initiator, move |_, frame| {
        let command = PacketMut::parse(frame).map(|packet| match packet.arg {
            ArgMut::Ata(arg, _) => arg.command(),
            _ => AtaCommand::IDENTIFY_DEVICE,
        });
        count.set(count.get() + u32::from(command == Ok(AtaCommand::FLUSH_CACHE_EXT)));
        Verdict::Pass
    });
    let seen = Rc::clone(&flushes);
    lab.world.net.tap(target, move |_, frame| {
        if seen.get() > 0
            && let Ok(PacketMut { arg: ArgMut::Ata(arg, _), .. }) = PacketMut::parse(frame)
        {
            arg.fail(AtaError::UNC);
        }
        Verdict::Pass
    });
    let completion = write_durably(&mut lab);
    assert!(matches!(completion.failure, Some(Failure::Ata { .. })), "{completion:?}");
    assert_eq!((completion.done.status(), flushes.get()), (Status::Media, 1));
}

#[test]
fn a_disk_with_28_bit_addresses_only_is_read_and_written_with_their_commands() {
    let mut lab = Lab::new(1, 1500);
    lab.announce(|page| {
        for word in [83, 86] {
            change_word(page, word, |word| word & !(LBA48 | FLUSH_EXT));
        }
    });
    let list = lab.commands();
    lab.write(1000, &pattern(2, 1000, 10));
    assert!(lab.read(1000, 10) == pattern(2, 1000, 10));
    for (at, arg) in list.take().iter().enumerate() {
        let write = at < 5;
        let (command, aflags) = match write {
            true => (AtaCommand::WRITE_SECTORS, AFlags::WRITE),
            false => (AtaCommand::READ_SECTORS, AFlags(0)),
        };
        assert_eq!((arg.command(), arg.aflags), (command, aflags));
        assert!((1000..1010).contains(&arg.lba.lba28()), "{arg:?}");
        assert_eq!(arg.lba.0[3] & 0xf0, 0xe0, "by LBA, of device 0: {arg:?}");
    }
    // There is no durable write among them, whatever is announced.
    let sent = commands(&mut lab, |lab| assert_eq!(write_durably(lab).done.status(), Status::Ok));
    let (flush, writes) = sent.split_last().expect("commands");
    assert_eq!((*flush, writes), (AtaCommand::FLUSH_CACHE, &[AtaCommand::WRITE_SECTORS; 5][..]));
}

#[test]
fn a_flush_that_is_announced_in_one_form_only_is_offered_and_sent_in_that_form() {
    for (bits, expected) in [
        (FLUSH, Some(AtaCommand::FLUSH_CACHE)),
        (FLUSH_EXT, Some(AtaCommand::FLUSH_CACHE_EXT)),
        (FLUSH | FLUSH_EXT, Some(AtaCommand::FLUSH_CACHE_EXT)),
        (0, None),
    ] {
        let mut lab = Lab::new(1, 1500);
        lab.announce(move |page| {
            for word in [83, 86] {
                change_word(page, word, |word| word & !(FLUSH | FLUSH_EXT) | bits);
            }
        });
        assert_eq!(features(&mut lab).contains(Features::FLUSH), expected.is_some());
        let sent = commands(&mut lab, |lab| {
            let completion = lab.world.run(lab.client, lab.remote, Io::flush(vec![]).with_tag(3));
            assert_eq!(completion.done.status(), Status::Ok);
        });
        assert_eq!(sent.first().copied(), expected);
        assert!(sent.len() <= 1, "{sent:?}");
    }
}

#[test]
fn zeroes_are_offered_only_if_what_is_trimmed_reads_as_zeroes() {
    const DETERMINATE_ZEROES: u16 = 1 << 14 | 1 << 5;
    let zeroing = Features::DISCARD_ZEROES | Features::WRITE_ZEROES;
    for (trim, zeroes, offered) in [
        (false, true, Features::NONE),
        (true, false, Features::DISCARD),
        (true, true, Features::DISCARD | zeroing),
    ] {
        let mut lab = Lab::new(1, 1500);
        lab.announce(move |page| {
            change_word(page, 169, |word| word & !1 | u16::from(trim));
            change_word(page, 69, |word| match zeroes {
                true => word | DETERMINATE_ZEROES,
                false => word & !DETERMINATE_ZEROES,
            });
        });
        let features = features(&mut lab);
        assert_eq!(features.without(Features::FLUSH), offered);
    }
}

#[test]
fn physical_blocks_are_as_large_as_announced() {
    for (word, size) in [(0x4000, 512), (0x6000, 512), (0x6003, 4096), (0x4003, 512), (0x6005, 16384)] {
        let mut lab = Lab::new(1, 1500);
        lab.announce(move |page| change_word(page, 106, |_| word));
        assert_eq!(lab.remote().disk().expect("identified").physical_block, size, "{word:#x}");
    }
}

#[test]
fn a_disk_of_more_sectors_than_commands_can_name_is_refused() {
    for (sectors, refused) in [(1_u64 << 48, false), ((1 << 48) + 1, true), (u64::MAX, true)] {
        let mut lab = Lab::new(1, 1500);
        lab.tap_target(move |_, frame| {
            if is_ata(frame) {
                frame[36 + 200..36 + 208].copy_from_slice(&sectors.to_le_bytes());
            }
            Verdict::Pass
        });
        let other = lab.world.add_initiator(&lab.segments, 1500);
        let result = lab.world.attach(other, common::OWN, AttachOptions::default()).map(drop);
        let expected =
            if refused { Err(Failure::Malformed(Malformed::Capacity { sectors })) } else { Ok(()) };
        assert_eq!(result, expected);
    }
}
