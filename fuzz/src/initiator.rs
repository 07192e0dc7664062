//! A session of the initiator with a target that answers late, doubly, wrongly or not at all.
//!
//! The target executes what it is sent when it answers it, on a disk whose sectors hold their own number. Whatever arrives, nothing may
//! panic, every request ends once, and ends when nothing is answered any more; and as long as the target only delays, doubles and forgets, a sector
//! that was read is the sector that was asked for.

mod air;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use aoe_initiator::{AttachOptions, Control, Event, Initiator, RemoteId};
use aoe_wire::{
    AFlags, Address, AtaArg, AtaCommand, ConfigCommand, Directive, DirectiveCommand, Lba, MacAddr,
    MaskCommand, ReserveCommand,
};
use arbitrary::Arbitrary;
use bdev::{Extent, Features, Io, Op, Submit};

pub use self::air::Mutation;
use self::air::{Air, FuzzLink};

const OWN: Address = Address::new(7, 3);
const DEADLINE: Duration = Duration::from_secs(5);
/// Steps of a session that are looked at.
const STEPS: usize = 200;

/// What happens, in order.
#[derive(Arbitrary, Debug)]
pub struct Session {
    in_order: bool,
    window: u8,
    max_sectors: u8,
    steps: Vec<Step>,
}

#[derive(Arbitrary, Debug)]
enum Step {
    /// A block request.
    Submit { op: u8, lba: u8, sectors: u8 },
    /// A control request.
    Control { kind: u8, bytes: Vec<u8>, by: bool },
    /// The target answers one of the frames it was sent, which may be answered again.
    Answer { which: u8, link: bool, mutation: Option<Mutation> },
    /// The target answers everything.
    AnswerAll,
    /// Any bytes arrive.
    Raw { link: bool, bytes: Vec<u8> },
    /// The target advertises itself.
    Advertise { link: bool },
    /// Time passes, in milliseconds.
    Wait(u16),
    /// A link goes down or up.
    Up { link: bool, up: bool },
    /// The MTU changes.
    Mtu { link: bool, mtu: u16 },
    /// The link has no frames, or has them again.
    Starve { link: bool, starved: bool },
}

/// Runs a session.
pub fn run(session: &Session) {
    let air = Rc::new(RefCell::new(Air::new()));
    let mut initiator = Initiator::new(1);
    for at in 0..2 {
        initiator.add_link(FuzzLink::new(&air, at));
    }
    let options = AttachOptions {
        deadline: DEADLINE,
        window: session.window.into(),
        max_sectors: session.max_sectors,
        in_order: session.in_order,
        ..AttachOptions::default()
    };
    let disk = initiator.attach(OWN, options);
    let mut run = Run { air, initiator, disk, now: Duration::ZERO, submitted: Vec::new(), controls: 0 };
    for step in session.steps.iter().take(STEPS) {
        run.step(step);
        run.turn();
    }
    run.finish();
}

struct Run {
    air: Rc<RefCell<Air>>,
    initiator: Initiator<FuzzLink, Vec<u8>>,
    disk: RemoteId,
    now: Duration,
    /// When each block request was submitted, until it ends.
    submitted: Vec<Option<Duration>>,
    controls: usize,
}

impl Run {
    fn step(&mut self, step: &Step) {
        let mut air = self.air.borrow_mut();
        match step {
            Step::Submit { op, lba, sectors } => {
                drop(air);
                self.submit(*op, (*lba).into(), u32::from(*sectors) + 1);
            }
            Step::Control { kind, bytes, by } => {
                drop(air);
                self.control(*kind, bytes, *by);
            }
            Step::Answer { which, link, mutation } => air.answer(*which, (*link).into(), mutation.as_ref()),
            Step::AnswerAll => air.answer_all(),
            Step::Raw { link, bytes } => air.raw((*link).into(), bytes),
            Step::Advertise { link } => air.advertise((*link).into()),
            Step::Wait(ms) => self.now += Duration::from_millis((*ms).into()),
            Step::Up { link, up } => air.change((*link).into(), |info| info.up = *up),
            Step::Mtu { link, mtu } => {
                air.change((*link).into(), |info| info.mtu = u32::from(*mtu).clamp(68, 9000));
            }
            Step::Starve { link, starved } => air.starved[usize::from(*link)] = *starved,
        }
    }

    fn submit(&mut self, op: u8, lba: u64, sectors: u32) {
        let extent = Extent::new(lba, sectors);
        let mut buf = vec![0xee; extent.bytes()];
        let op = match op % 8 {
            0..4 => Op::Read,
            4 | 5 => Op::Write { fua: op % 2 == 0 },
            6 => Op::Flush,
            _ => Op::Discard,
        };
        if op.is_write() {
            buf.chunks_mut(512).zip(lba..).for_each(|(sector, lba)| air::stamp(sector, lba));
        }
        let io = match op {
            Op::Flush => Io::flush(buf),
            op => Io::new(op, extent, buf, 0),
        };
        match self.initiator.submit(self.disk, io.with_tag(self.submitted.len() as u64)) {
            Submit::Queued => self.submitted.push(Some(self.now)),
            Submit::Done(done) => assert!(
                !done.status().is_ok() || op == Op::Flush && !self.features().contains(Features::FLUSH),
                "a request that was not sent cannot be done"
            ),
            Submit::Full(_) => panic!("an initiator is never full"),
        }
    }

    fn features(&self) -> Features {
        let disk = self.initiator.remote(self.disk).and_then(|remote| remote.disk());
        disk.map_or(Features::NONE, |disk| disk.features)
    }

    fn control(&mut self, kind: u8, bytes: &[u8], by: bool) {
        let macs: Vec<MacAddr> = bytes
            .chunks_exact(6)
            .take(255)
            .map(|mac| MacAddr([mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]]))
            .collect();
        let string = bytes[..bytes.len().min(1024)].to_vec();
        let control = match kind % 4 {
            0 => Control::Config { command: ConfigCommand(kind >> 4), string },
            1 => {
                let directives =
                    macs.iter().map(|mac| Directive::new(DirectiveCommand(kind >> 4), *mac)).collect();
                Control::Mask { command: MaskCommand(kind >> 6), directives }
            }
            2 => Control::Reserve { command: ReserveCommand(kind >> 4), macs },
            _ => {
                let arg = AtaArg::request(AtaCommand(kind), AFlags(0), Lba::ZERO, 1);
                Control::Ata { arg, data: string, expect: usize::from(kind >> 6) * 512 }
            }
        };
        self.controls += 1;
        if by {
            let link = self.initiator.links().last().map(|(id, _)| id).expect("two links");
            self.initiator.control_by(self.disk, link, air::TARGET, control, None);
        } else {
            self.initiator.control(self.disk, control, None);
        }
    }

    fn turn(&mut self) {
        for _ in 0..4 {
            let _ = self.initiator.turn(self.now).expect("a link that never breaks");
        }
        while let Some(event) = self.initiator.poll() {
            match event {
                Event::Done(_, completion) => {
                    let done = completion.done;
                    let number = usize::try_from(done.tag()).expect("ours");
                    assert!(self.submitted[number].take().is_some(), "a request ended twice");
                    assert_eq!(done.status().is_ok(), completion.failure.is_none());
                    if done.op() == Op::Read && done.status().is_ok() && self.air.borrow().honest {
                        for (sector, lba) in done.buf().chunks(512).zip(done.extent().lba..) {
                            assert!(air::is_stamped(sector, lba), "another sector's data at {lba}");
                        }
                    }
                }
                Event::Answer(..) => {
                    self.controls = self.controls.checked_sub(1).expect("a control request ended twice");
                }
                _ => {}
            }
        }
        let sane = |remote: &aoe_initiator::Remote| {
            remote.in_flight() <= 1024 && remote.disk().is_none_or(|disk| disk.sectors > 0)
        };
        assert!(self.initiator.remote(self.disk).is_none_or(sane));
    }

    fn finish(mut self) {
        self.now += DEADLINE * 2;
        self.turn();
        assert!(self.submitted.iter().all(Option::is_none), "a request never ended");
        assert_eq!(self.controls, 0, "a control request never ended");
        assert!(self.initiator.deadline().is_none_or(|at| at + DEADLINE > self.now));
        self.initiator.detach(self.disk);
        assert!(self.initiator.poll().is_none(), "nothing was left");
    }
}
