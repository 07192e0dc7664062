//! Config string, mask list, reservation, and other requests that are no block I/O.

mod common;

use aoe_initiator::{Answer, AttachOptions, Control, Event, Failure, Reply};
use aoe_wire::{
    AFlags, AtaArg, AtaCommand, ConfigCommand, Directive, DirectiveCommand, ErrorCode, Lba, MacAddr,
    MaskCommand, MaskError, ReserveCommand,
};
use bdev::{Extent, Io, Op, Status};
use common::{Lab, MS, S, pattern};
use sim::{Verdict, Weather, seeds};

fn ask(lab: &mut Lab, control: Control) -> Result<Answer, Failure> {
    lab.world.ask(lab.client, lab.remote, control).map(|reply: Reply| reply.answer)
}

fn config(lab: &mut Lab, command: ConfigCommand, string: &[u8]) -> Result<Vec<u8>, Failure> {
    match ask(lab, Control::Config { command, string: string.to_vec() })? {
        Answer::Config { string, .. } => Ok(string),
        other => panic!("{other:?}"),
    }
}

fn mask(lab: &mut Lab, directives: &[(DirectiveCommand, MacAddr)]) -> Vec<MacAddr> {
    let directives: Vec<_> = directives.iter().map(|(command, mac)| Directive::new(*command, *mac)).collect();
    let command = if directives.is_empty() { MaskCommand::READ } else { MaskCommand::EDIT };
    match ask(lab, Control::Mask { command, directives }).unwrap() {
        Answer::Mask { error: MaskError::NONE, list, .. } => list,
        other => panic!("{other:?}"),
    }
}

fn reserve(lab: &mut Lab, command: ReserveCommand, macs: &[MacAddr]) -> Result<Vec<MacAddr>, Failure> {
    match ask(lab, Control::Reserve { command, macs: macs.to_vec() })? {
        Answer::Reserve(macs) => Ok(macs),
        other => panic!("{other:?}"),
    }
}

fn own_mac(lab: &mut Lab) -> MacAddr {
    let [_, initiator] = lab.stations(0);
    lab.world.net.info(initiator).mac
}

const OTHER: MacAddr = MacAddr([2, 0xaa, 0, 0, 0, 1]);

#[test]
fn a_config_string_is_set_read_tested_and_forced_in_any_weather() {
    for seed in seeds(5) {
        let mut lab = Lab::new(seed, 1500);
        lab.world.net.set_weather(lab.segments[0], Weather::rough(100));
        assert_eq!(config(&mut lab, ConfigCommand::READ, b""), Ok(vec![]));
        assert_eq!(config(&mut lab, ConfigCommand::SET, b"red one"), Ok(b"red one".to_vec()));
        assert_eq!(config(&mut lab, ConfigCommand::TEST, b"red one"), Ok(b"red one".to_vec()));
        assert_eq!(config(&mut lab, ConfigCommand::PREFIX, b"red"), Ok(b"red one".to_vec()));
        let refused = config(&mut lab, ConfigCommand::SET, b"blue").unwrap_err();
        let Failure::Aoe { code: ErrorCode::CONFIG_PRESENT, string, .. } = refused else {
            panic!("{refused:?}")
        };
        assert_eq!(string, b"red one");
        let long = vec![b'x'; 1024];
        assert_eq!(config(&mut lab, ConfigCommand::FORCE, &long), Ok(long.clone()));
        assert_eq!(lab.world.target(lab.target).state(0).config, long);
    }
}

#[test]
fn a_string_that_does_not_match_is_answered_by_silence() {
    let mut lab = Lab::new(1, 1500);
    let before = lab.world.now();
    let control = Control::Config { command: ConfigCommand::TEST, string: b"other".to_vec() };
    let remote = lab.remote;
    let id = lab.world.client(lab.client).initiator().control(remote, control, Some(S));
    let event = lab.world.wait_for(
        lab.client,
        2 * S,
        |event| matches!(event, aoe_initiator::Event::Answer(answered, _) if *answered == id),
    );
    let aoe_initiator::Event::Answer(_, result) = event else { unreachable!("waited for another") };
    assert!(matches!(result, Err(Failure::Timeout { sent: 2.., .. })), "{result:?}");
    let took = lab.world.now() - before;
    assert!((S..S + MS).contains(&took), "{took:?}");
}

#[test]
fn arguments_beyond_the_protocol_are_refused_at_once() {
    let mut lab = Lab::new(1, 9000);
    let before = lab.world.now();
    let long = config(&mut lab, ConfigCommand::FORCE, &[b'x'; 1025]);
    assert!(long.is_err(), "{long:?}");
    let macs = vec![OTHER; 256];
    let many = reserve(&mut lab, ReserveCommand::SET, &macs);
    assert!(many.is_err(), "{many:?}");
    let took = lab.world.now() - before;
    assert!(took < S, "that took {took:?}: {long:?} {many:?}");
}

#[test]
fn a_request_longer_than_the_path_carries_is_refused_with_both_lengths() {
    let mut lab = Lab::new(1, 600);
    let refused = config(&mut lab, ConfigCommand::FORCE, &[b'x'; 1000]);
    assert_eq!(refused, Err(Failure::TooLong { need: 1032, have: 614 }));
}

#[test]
fn the_mask_list_is_edited_and_keeps_out_who_is_not_on_it() {
    let mut lab = Lab::new(1, 1500);
    let own = own_mac(&mut lab);
    assert_eq!(mask(&mut lab, &[]), []);
    assert_eq!(mask(&mut lab, &[(DirectiveCommand::ADD, own), (DirectiveCommand::ADD, OTHER)]), [own, OTHER]);
    assert_eq!(mask(&mut lab, &[]), [own, OTHER]);
    lab.write(0, &pattern(1, 0, 10));
    assert_eq!(mask(&mut lab, &[(DirectiveCommand::DELETE, OTHER)]), [own]);

    let segment = lab.segments[0];
    let stranger = lab.world.add_initiator(&[segment], 1500);
    let options = AttachOptions { deadline: S, ..AttachOptions::default() };
    assert_eq!(lab.world.attach(stranger, common::OWN, options).map(drop), Err(Failure::NotFound));
    lab.read(0, 10);
}

#[test]
fn editing_that_stops_says_where_and_why() {
    let mut lab = Lab::new(1, 1500);
    let own = own_mac(&mut lab);
    let bad = Directive::new(DirectiveCommand(9), OTHER);
    let directives = vec![Directive::new(DirectiveCommand::ADD, own), bad];
    let answer = ask(&mut lab, Control::Mask { command: MaskCommand::EDIT, directives }).unwrap();
    let Answer::Mask { error, stopped_at, .. } = answer else { panic!("{answer:?}") };
    assert_eq!((error, stopped_at), (MaskError::BAD_DIRECTIVE, 1));
}

#[test]
fn a_reservation_keeps_others_from_the_disk_until_it_is_released() {
    let mut lab = Lab::new(1, 1500);
    let own = own_mac(&mut lab);
    let segment = lab.segments[0];
    let other = lab.world.add_initiator(&[segment], 1500);
    let other_remote = lab.world.attach(other, common::OWN, AttachOptions::default()).unwrap();

    assert_eq!(reserve(&mut lab, ReserveCommand::READ, &[]), Ok(vec![]));
    assert_eq!(reserve(&mut lab, ReserveCommand::SET, &[own]), Ok(vec![own]));
    lab.write(0, &pattern(1, 0, 10));
    let (status, failure) = lab.world.read(other, other_remote, Extent::new(0, 1)).unwrap_err();
    let refused = matches!(failure, Some(Failure::Aoe { code: ErrorCode::TARGET_RESERVED, .. }));
    assert!(status == Status::Aborted && refused, "{failure:?}");
    let take = Control::Reserve { command: ReserveCommand::SET, macs: vec![OTHER] };
    let refused = lab.world.ask(other, other_remote, take).unwrap_err();
    let Failure::Aoe { code: ErrorCode::TARGET_RESERVED, holders, .. } = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(holders, [own]);

    assert_eq!(reserve(&mut lab, ReserveCommand::SET, &[]), Ok(vec![]));
    lab.world.read(other, other_remote, Extent::new(0, 1)).unwrap();
}

#[test]
fn what_was_set_is_there_after_a_restart() {
    let mut lab = Lab::new(1, 1500);
    let own = own_mac(&mut lab);
    config(&mut lab, ConfigCommand::SET, b"kept").unwrap();
    mask(&mut lab, &[(DirectiveCommand::ADD, own)]);
    reserve(&mut lab, ReserveCommand::SET, &[own]).unwrap();
    lab.world.restart_target(lab.target);
    assert_eq!(config(&mut lab, ConfigCommand::READ, b""), Ok(b"kept".to_vec()));
    assert_eq!(mask(&mut lab, &[]), [own]);
    assert_eq!(reserve(&mut lab, ReserveCommand::READ, &[]), Ok(vec![own]));

    lab.world.kill_target(lab.target);
    lab.world.target(lab.target).forget();
    lab.world.restart_target(lab.target);
    assert_eq!(config(&mut lab, ConfigCommand::READ, b""), Ok(vec![]));
}

#[test]
fn an_ata_command_of_the_callers_own_returns_registers_and_data() {
    let mut lab = Lab::new(1, 1500);
    let ata = |command, expect| Control::Ata {
        arg: AtaArg::request(command, AFlags(0), Lba::ZERO, 1),
        data: vec![],
        expect,
    };
    let answer = ask(&mut lab, ata(AtaCommand::IDENTIFY_DEVICE, 512)).unwrap();
    let Answer::Ata { arg, data } = &answer else { panic!("{answer:?}") };
    assert_eq!((arg.status().is_failure(), data.len()), (false, 512));
    let answer = ask(&mut lab, ata(AtaCommand(0xff), 0)).unwrap();
    assert!(answer.ata_status().unwrap().is_failure(), "{answer:?}");
}

#[test]
fn flush_trim_and_durable_writes_reach_the_disk() {
    let mut lab = Lab::new(1, 1500);
    lab.write(0, &pattern(1, 0, 3000));
    let (client, remote) = (lab.client, lab.remote);
    let durable = Io::new(Op::Write { fua: true }, Extent::new(0, 9), pattern(2, 0, 9), 0);
    for io in [Io::flush(vec![]), durable, Io::new(Op::Discard, Extent::new(100, 2000), vec![], 0)] {
        let op = io.op();
        let completion = lab.world.run(client, remote, io);
        assert_eq!((completion.done.status(), completion.failure), (Status::Ok, None), "{op:?}");
    }
    let content = lab.disk.disk().content();
    assert!(content[..9 * 512] == pattern(2, 0, 9));
    assert!(content[9 * 512..100 * 512] == pattern(1, 9, 91));
    assert!(content[100 * 512..2100 * 512].iter().all(|byte| *byte == 0));
    assert!(content[2100 * 512..3000 * 512] == pattern(1, 2100, 900));
}

#[test]
fn a_ping_by_one_path_tells_its_round_trip_and_who_answered() {
    let mut lab =
        Lab::with(1, 1500, 2, AttachOptions::default(), |_, disk| sim::Export::new(common::OWN, disk));
    let slow = Weather { delay: (5 * MS, 5 * MS), ..Weather::NONE };
    lab.world.net.set_weather(lab.segments[1], slow);
    let paths: Vec<_> = lab.remote().paths().map(|path| (path.link, path.mac)).collect();
    assert_eq!(paths.len(), 2);
    for (link, mac) in paths {
        let slow = lab.world.client(lab.client).links()[1] == link;
        let remote = lab.remote;
        let initiator = lab.world.client(lab.client).initiator();
        let id = initiator.control_by(remote, link, mac, Control::query(), Some(S));
        let event = lab.world.wait_for(
            lab.client,
            2 * S,
            |event| matches!(event, aoe_initiator::Event::Answer(answered, _) if *answered == id),
        );
        let aoe_initiator::Event::Answer(_, Ok(reply)) = event else { panic!("{event:?}") };
        assert_eq!((reply.link, reply.mac), (link, mac));
        match slow {
            true => assert_eq!(reply.rtt, 10 * MS),
            false => assert!(reply.rtt < MS, "{:?}", reply.rtt),
        }
    }
}

/// Runs something of which the first sending is answered after 300 ms, when it was sent again, and no other. Whether it has ended then.
fn ends_by_a_late_reply(start: impl FnOnce(&mut Lab)) -> bool {
    let mut lab = Lab::new(1, 1500);
    let mut replies = 0;
    lab.tap_target(move |_, _| {
        replies += 1;
        if replies == 1 { Verdict::Hold(300 * MS) } else { Verdict::Drop }
    });
    start(&mut lab);
    lab.world.run_for(500 * MS);
    let ended = |event: &Event<Vec<u8>>| matches!(event, Event::Answer(_, Ok(_)) | Event::Done(..));
    let late = lab.world.client(lab.client).take(ended).is_some();
    assert!(lab.stats().late > 0, "none came late");
    let [target, _] = lab.stations(0);
    lab.world.net.untap(target);
    if !late {
        let _ = lab.world.wait_for(lab.client, 5 * S, ended);
    }
    late
}

#[test]
fn a_late_reply_to_an_earlier_sending_ends_what_changes_nothing() {
    let ata = |command, expect| Control::Ata {
        arg: AtaArg::request(command, AFlags(0), Lba::ZERO, 1),
        data: vec![],
        expect,
    };
    let config = |command| Control::Config { command, string: vec![] };
    let mask = |command| Control::Mask { command, directives: vec![] };
    let reserve = |command| Control::Reserve { command, macs: vec![] };
    for (control, ends) in [
        (config(ConfigCommand::READ), true),
        (config(ConfigCommand::PREFIX), true),
        (config(ConfigCommand::SET), false),
        (config(ConfigCommand::FORCE), false),
        (mask(MaskCommand::READ), true),
        (mask(MaskCommand::EDIT), false),
        (reserve(ReserveCommand::READ), true),
        (reserve(ReserveCommand::SET), false),
        (ata(AtaCommand::IDENTIFY_DEVICE, 512), true),
        (ata(AtaCommand(0xff), 0), false),
    ] {
        let asked = control.clone();
        let late = ends_by_a_late_reply(|lab| {
            let remote = lab.remote;
            lab.world.client(lab.client).initiator().control(remote, control, None);
        });
        assert_eq!(late, ends, "{asked:?}");
    }
    // A flush that was executed has made durable what was written before it.
    assert!(ends_by_a_late_reply(|lab| lab.submit(Io::flush(vec![]))));
    assert!(!ends_by_a_late_reply(|lab| lab.submit(Io::new(Op::Discard, Extent::new(0, 9), vec![], 0))));
}
