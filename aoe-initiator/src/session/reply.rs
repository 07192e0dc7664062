//! What comes back: replies are judged, and end their requests.

use std::time::Duration;

use aoe_l2::Link;
use aoe_wire::{
    ATA_HEADER_LEN, Arg, AtaArg, AtaError, Command, ConfigArg, Directive, ErrorCode, IdentifyDevice, Lba,
    MacAddr, MaskArg, Packet, ReserveArg, WireError,
};
use bdev::{IoBuf, Op, SECTOR_SIZE};

use super::send::sectors;
use super::{Air, Session, Stage};
use crate::copy::copy;
use crate::emit::{self, Dialect};
use crate::flight::SlotId;
use crate::remote::{Path, device_info};
use crate::task::{Origin, Task, Work};
use crate::{Answer, Control, Event, Failure, LinkId, Malformed, Reply};

/// How long a target is asked what it takes.
const ASKED: Duration = Duration::from_secs(1);

/// Sectors that commands can name.
const MOST_SECTORS: u64 = Lba::MAX_48 + 1;

/// A frame that has the tag of a request.
pub(crate) struct Arrival<'f, F> {
    pub(crate) link: LinkId,
    pub(crate) packet: Packet<'f>,
    pub(crate) frame: &'f F,
    pub(crate) slot: SlotId,
    /// Sendings of the request since the one that this answers.
    pub(crate) age: u32,
    pub(crate) sent: Option<Duration>,
}

/// What a reply says about the piece it answers.
enum Verdict {
    Done,
    Answered(Answer),
    Failed(Failure),
    /// Try again later.
    Later(ErrorCode),
    /// It answers something else.
    Stray,
}

impl<B: IoBuf> Session<B> {
    /// Takes a reply whose tag is that of a request of this session.
    pub(crate) fn reply<L: Link>(&mut self, arrival: &Arrival<'_, L::Frame>, air: &mut Air<'_, L, B>) {
        let Some(flight) = air.flights.get(arrival.slot) else { return };
        let (key, piece, doubted) = (flight.task, flight.piece, flight.doubted);
        let Some(task) = self.tasks.get_mut(key) else { return };
        let aoe = arrival.packet.aoe;
        if aoe.address() != self.remote.address || aoe.command != command(task) {
            self.remote.stats.strays += 1;
            return;
        }
        let kind = task.kind();
        let lane = &mut self.lanes[kind as usize];
        let rtt = arrival.sent.map_or(Duration::ZERO, |sent| air.now.saturating_sub(sent));
        if arrival.age > 0 {
            self.remote.stats.late += 1;
            if arrival.sent.is_some() {
                lane.rtt.sample(rtt);
            }
            lane.rtt.was_hasty();
            if !task.takes_late() {
                return;
            }
        }
        let registers = emit::registers(task, piece, self.dialect);
        let verdict = match &mut task.work {
            Work::Io(Some(io)) => {
                let into = matches!(io.op(), Op::Read).then_some(&mut *io);
                judge_block(arrival, registers.unwrap_or_default(), into, piece)
            }
            Work::Control(control, _) => judge_control(arrival, control),
            Work::Io(None) => Verdict::Stray,
        };
        let answer = match verdict {
            Verdict::Stray => {
                self.remote.stats.strays += 1;
                return;
            }
            // Its successor may be another request: in smaller pieces, to a target that has recovered.
            Verdict::Failed(_) if arrival.age > 0 => return,
            Verdict::Later(code) => {
                self.remote.stats.errors += 1;
                task.refused = Some(code);
                return;
            }
            // Perhaps it was cut for an MTU that the target has no more: so the target is asked what it takes.
            Verdict::Failed(Failure::Ata { status, error })
                if error.contains(AtaError::ABRT) && task.has_data() && piece.sectors > 1 && !doubted =>
            {
                let Some(flight) = air.flights.get_mut(arrival.slot) else { return };
                flight.doubted = true;
                if std::mem::take(&mut flight.in_air) {
                    self.landed(true);
                }
                let by = (arrival.link, arrival.packet.eth.src);
                return self.doubt(arrival.slot, Failure::Ata { status, error }, by);
            }
            Verdict::Failed(failure) => {
                match failure {
                    Failure::Malformed(_) => self.remote.stats.malformed += 1,
                    _ => self.remote.stats.errors += 1,
                }
                task.failure.get_or_insert(failure);
                None
            }
            Verdict::Answered(answer) => Some(answer),
            Verdict::Done => None,
        };

        if arrival.age == 0 {
            if let Some(sent) = arrival.sent {
                lane.rtt.sample(rtt);
                lane.newest = lane.newest.max(sent);
            }
            lane.rtt.settle();
            self.seek_pause = super::timing::FIRST_PAUSE;
        }
        self.heard = air.now;
        self.remote.stats.replies += 1;
        let is_block = task.io().is_some();
        let origin = match task.work {
            Work::Control(_, origin) => Some(origin),
            Work::Io(_) => None,
        };
        if is_block {
            self.window.widen();
        }
        // Short frames say little of a path.
        let came_by = |path: &&mut Path| (path.link, path.mac) == (arrival.link, arrival.packet.eth.src);
        if let Some(path) = self.remote.paths.iter_mut().find(came_by)
            && (is_block || origin == Some(Origin::Probe))
        {
            (path.alive, path.lost, path.heard) = (true, 0, air.now);
        }
        if air.flights.remove(arrival.slot).is_some_and(|flight| flight.in_air) {
            self.landed(is_block);
        }
        if let (Some(answer), Some(origin)) = (answer, origin) {
            self.tasks.remove(key);
            let reply = Reply { answer, link: arrival.link, mac: arrival.packet.eth.src, rtt };
            return self.answered(origin, Ok(reply), air);
        }
        self.close(key, air);
    }

    /// Holds a refused request back until the target has said what it takes.
    fn doubt(&mut self, slot: SlotId, failure: Failure, by: (LinkId, MacAddr)) {
        if self.doubtful.is_empty() {
            let work = Work::Control(Control::query(), Origin::Doubt);
            self.take(Task::new(work, Some(ASKED), Some(by)));
        }
        self.doubtful.push((slot, failure));
    }

    /// The target has said what it takes, or nothing: refused requests that are larger go out again, in smaller pieces; others have failed.
    fn resolve<L: Link>(&mut self, air: &mut Air<'_, L, B>) {
        for (slot, failure) in std::mem::take(&mut self.doubtful) {
            let Some(flight) = air.flights.get(slot).filter(|flight| flight.doubted && !flight.in_air) else {
                continue;
            };
            let (key, path) = (flight.task, self.remote.paths.get(flight.path));
            if path.is_some_and(|path| flight.piece.sectors > sectors(path, air.ports).into()) {
                self.again.push_back(slot);
                continue;
            }
            air.flights.remove(slot);
            self.remote.stats.errors += 1;
            if let Some(task) = self.tasks.get_mut(key) {
                task.failure.get_or_insert(failure);
            }
            self.close(key, air);
        }
    }

    /// A control request has ended.
    pub(super) fn answered<L: Link>(
        &mut self,
        origin: Origin,
        result: Result<Reply, Failure>,
        air: &mut Air<'_, L, B>,
    ) {
        match origin {
            Origin::Caller(id) => air.events.push_back(Event::Answer(id, result)),
            Origin::Probe => {}
            Origin::Doubt => self.resolve(air),
            Origin::Identify => match result.and_then(|reply| page(&reply.answer)) {
                Ok(page) => self.identified(page, air),
                Err(failure) if self.stage == Stage::Identifying => self.give_up(&failure, air),
                Err(_) => {}
            },
        }
    }

    fn identified<L: Link>(&mut self, page: IdentifyDevice, air: &mut Air<'_, L, B>) {
        let disk = device_info(&page);
        let was = self.remote.disk.replace(disk);
        self.dialect = Dialect::of(&page);
        self.remote.identity = Some(Box::new(page));
        if self.stage == Stage::Identifying {
            self.stage = Stage::Settled;
            air.events.push_back(Event::Ready(air.id));
        } else if was != Some(disk) {
            air.events.push_back(Event::Changed(air.id));
        }
    }
}

fn page(answer: &Answer) -> Result<IdentifyDevice, Failure> {
    let Answer::Ata { arg, data } = answer else { return Err(Failure::Malformed(Malformed::BadLength)) };
    if let Some(failure) = failed(arg) {
        return Err(failure);
    }
    let page = IdentifyDevice::parse(data).map_err(|_| Failure::Malformed(Malformed::BadLength))?;
    match page.capacity() {
        1..=MOST_SECTORS => Ok(*page),
        sectors => Err(Failure::Malformed(Malformed::Capacity { sectors })),
    }
}

fn command<B>(task: &Task<B>) -> Command {
    match &task.work {
        Work::Io(_) | Work::Control(Control::Ata { .. }, _) => Command::ATA,
        Work::Control(Control::Config { .. }, _) => Command::CONFIG,
        Work::Control(Control::Mask { .. }, _) => Command::MASK,
        Work::Control(Control::Reserve { .. }, _) => Command::RESERVE,
    }
}

fn judge_block<F: IoBuf, B: IoBuf>(
    arrival: &Arrival<'_, F>,
    asked: AtaArg,
    into: Option<&mut bdev::Io<B>>,
    piece: crate::flight::Piece,
) -> Verdict {
    if let Some(verdict) = refused(&arrival.packet) {
        return verdict;
    }
    let Arg::Ata(arg, _) = arrival.packet.arg else { return Verdict::Stray };
    if arg.lba != asked.lba {
        return Verdict::Stray;
    }
    if let Some(failure) = failed(arg) {
        return Verdict::Failed(failure);
    }
    let Some(io) = into else { return Verdict::Done };
    let bytes = piece.sectors as usize * SECTOR_SIZE;
    let to = io.offset() + piece.at as usize * SECTOR_SIZE;
    let pieces = arrival.frame.segments();
    let have: usize = arrival.frame.segments().map(<[u8]>::len).sum();
    if have < ATA_HEADER_LEN + bytes {
        return short(ATA_HEADER_LEN + bytes, have);
    }
    copy(pieces, ATA_HEADER_LEN, io.buf_mut().segments_mut(), to, bytes);
    Verdict::Done
}

fn judge_control<F: IoBuf>(arrival: &Arrival<'_, F>, control: &Control) -> Verdict {
    if let Some(verdict) = refused(&arrival.packet) {
        return verdict;
    }
    let answer = match (arrival.packet.arg, control) {
        (Arg::Config(arg, payload), Control::Config { .. }) => config(arg, payload),
        (Arg::Mask(arg, payload), Control::Mask { .. }) => mask(arg, payload),
        (Arg::Reserve(arg, payload), Control::Reserve { .. }) => holders(arg, payload).map(Answer::Reserve),
        (Arg::Ata(arg, payload), Control::Ata { expect, .. }) => match failed(arg) {
            Some(_) => Ok(Answer::Ata { arg: *arg, data: Vec::new() }),
            None => match payload.get(..*expect) {
                Some(data) => Ok(Answer::Ata { arg: *arg, data: data.to_vec() }),
                None => return short(ATA_HEADER_LEN + expect, ATA_HEADER_LEN + payload.len()),
            },
        },
        _ => return Verdict::Stray,
    };
    match answer {
        Ok(answer) => Verdict::Answered(answer),
        Err(_) => Verdict::Failed(Failure::Malformed(Malformed::BadLength)),
    }
}

fn short(need: usize, have: usize) -> Verdict {
    Verdict::Failed(Failure::Malformed(Malformed::ShortData { need, have }))
}

/// The verdict on a reply with the error flag.
fn refused(packet: &Packet<'_>) -> Option<Verdict> {
    if !packet.aoe.ver_flags.is_error() {
        return None;
    }
    let code = packet.aoe.error;
    if code == ErrorCode::DEVICE_UNAVAILABLE {
        return Some(Verdict::Later(code));
    }
    let (mut list, mut string) = (Vec::new(), Vec::new());
    match packet.arg {
        Arg::Reserve(arg, payload) => list = holders(arg, payload).unwrap_or_default(),
        Arg::Config(arg, payload) => string = arg.string(payload).unwrap_or_default().to_vec(),
        _ => {}
    }
    Some(Verdict::Failed(Failure::Aoe { code, holders: list, string }))
}

fn failed(arg: &AtaArg) -> Option<Failure> {
    arg.status().is_failure().then(|| Failure::Ata { status: arg.status(), error: arg.error() })
}

fn config(arg: &ConfigArg, payload: &[u8]) -> Result<Answer, WireError> {
    Ok(Answer::Config { info: arg.info(), string: arg.string(payload)?.to_vec() })
}

fn mask(arg: &MaskArg, payload: &[u8]) -> Result<Answer, WireError> {
    let stopped = arg.error != aoe_wire::MaskError::NONE;
    let list: &[Directive] = if stopped { &[] } else { arg.directives(payload)? };
    let list = list.iter().map(|entry| entry.mac).collect();
    Ok(Answer::Mask { error: arg.error, stopped_at: if stopped { arg.count } else { 0 }, list })
}

fn holders(arg: &ReserveArg, payload: &[u8]) -> Result<Vec<MacAddr>, WireError> {
    Ok(arg.macs(payload)?.to_vec())
}
