//! What a target owes those who ask it, judged where its processes take and send frames: [`Wire`].
//!
//! The order in which a process takes frames is the order in which overlapping requests must take effect, whoever sent them and whatever
//! the network does; so each reply can be judged exactly. What was taken in one turn is put in the order of arrival over all links first,
//! as the target does.

use std::time::Duration;

use aoe_target::State;
use aoe_wire::{
    Address, Arg, ConfigCommand, ErrorCode, MaskCommand, MaskError, Packet, ReserveCommand, SECTOR,
};

use self::asked::{Asked, What, ata};
use self::cache::Caching;
use self::settings::Settings;
use crate::{History, Note, Passed, StationId, stamp_of};

mod asked;
mod cache;
mod settings;

/// By how much a newer write must have arrived later for an older one to be dropped without an answer (protocol reference, rule 5).
const MARGIN: Duration = Duration::from_millis(10);

/// For how long writes are kept in mind for that.
const KEPT: Duration = Duration::from_secs(10);

/// One export, seen from outside.
pub(super) struct Wire {
    address: Address,
    stations: Vec<StationId>,
    caching: Caching,
    /// What was discarded reads as zeros.
    zeroes: bool,
    histories: Vec<History>,
    asked: Vec<Asked>,
    settings: Settings,
    /// When writes of this life arrived, and where.
    written: Vec<(Duration, u64, u64)>,
    /// The latest flush that was answered well.
    flushed: u64,
    /// What was taken after this came when a flush had failed.
    flush_failed: Option<u64>,
    number: u64,
    taken: Vec<Note>,
    sent: Vec<Note>,
    turn: u64,
    pub(super) requests: u64,
}

impl Wire {
    /// `durable`: a reply to a write promises that it is, unless the cache is switched on. `zeroes`: what was discarded reads as zeros.
    pub(super) fn new(
        address: Address,
        stations: &[StationId],
        sectors: u64,
        durable: bool,
        zeroes: bool,
    ) -> Self {
        Self {
            address,
            stations: stations.to_vec(),
            caching: Caching::new(durable),
            zeroes,
            histories: (0..sectors).map(|_| History::default()).collect(),
            asked: Vec::new(),
            settings: Settings::default(),
            written: Vec::new(),
            flushed: 0,
            flush_failed: None,
            number: 1,
            taken: Vec::new(),
            sent: Vec::new(),
            turn: 0,
            requests: 0,
        }
    }

    /// Takes note of a frame that passed at one of its stations.
    pub(super) fn note(&mut self, note: &Note) -> Result<(), String> {
        if !self.stations.contains(&note.station) {
            return Ok(());
        }
        let mut result = Ok(());
        if note.turn != self.turn {
            result = self.judge();
            self.turn = note.turn;
        }
        match note.passed {
            Passed::Taken { .. } => self.taken.push(note.clone()),
            Passed::Sent => self.sent.push(note.clone()),
        }
        result
    }

    /// Judges a turn: what was taken in it, then what was sent.
    pub(super) fn judge(&mut self) -> Result<(), String> {
        self.settings.turn();
        let mut taken = std::mem::take(&mut self.taken);
        taken.sort_by_key(|note| match note.passed {
            Passed::Taken { round, arrived } => (round, arrived),
            Passed::Sent => (0, Duration::ZERO),
        });
        for note in &taken {
            if let Passed::Taken { arrived, .. } = note.passed {
                self.ask(arrived, &note.frame);
            }
        }
        // Replies leave by one link after the other: what they tell of is judged in the order in which it must have happened. Settings come
        // first, since the others are judged by them.
        let (changes, others) = std::mem::take(&mut self.sent)
            .into_iter()
            .map(|note| note.frame)
            .partition::<Vec<_>, _>(|frame| self.is_change(frame));
        let settled = self.judge_replies(changes)?;
        self.judge_replies(others)?;
        self.judge_settled(settled)
    }

    /// The number of the last that was answered.
    fn judge_replies(&mut self, frames: Vec<Vec<u8>>) -> Result<u64, String> {
        let mut replies = Vec::new();
        for frame in frames {
            replies.extend(self.match_reply(&frame)?.map(|asked| (asked, frame)));
        }
        replies.sort_by_key(|(asked, _)| (asked.what.rank(), asked.number));
        for (asked, frame) in &replies {
            self.answered(asked, frame)
                .map_err(|wrong| format!("{}: {wrong}, in the reply to {asked:?}", self.address))?;
        }
        Ok(replies.iter().map(|(asked, _)| asked.number).max().unwrap_or(0))
    }

    /// No write that was taken before the last change of settings that was answered goes on.
    fn judge_settled(&self, settled: u64) -> Result<(), String> {
        let goes_on = |asked: &&Asked| {
            asked.number < settled
                && !asked.what.changes().is_empty()
                && asked.exact
                && !asked.late
                && self.admits(asked)
        };
        match self.asked.iter().find(goes_on) {
            None => Ok(()),
            Some(asked) => Err(format!(
                "{}: a change of settings was answered before an earlier write: {asked:?}",
                self.address
            )),
        }
    }

    /// Whether a frame answers a change of settings.
    fn is_change(&self, frame: &[u8]) -> bool {
        let Ok(packet) = Packet::parse(frame) else { return false };
        let (to, tag) = (packet.eth.dst, packet.aoe.tag.to_u32());
        let fits = |asked: &Asked| asked.from == to && asked.tag == tag && asked.what.fits(&packet.arg);
        packet.aoe.address() == self.address
            && self.asked.iter().any(|asked| fits(asked) && asked.what.is_change())
    }

    /// The process ends, at once: what was not answered may have been done.
    pub(super) fn ended(&mut self) -> Result<(), String> {
        self.judge()?;
        self.asked.clear();
        self.written.clear();
        self.caching.ended();
        (self.flushed, self.flush_failed) = (0, None);
        Ok(())
    }

    /// The power fails.
    pub(super) fn cut(&mut self) {
        self.number += 1;
        let number = self.number;
        self.histories.iter_mut().for_each(|history| history.cut(number, |_| false));
    }

    /// A sync has failed.
    pub(super) fn given_up(&mut self) {
        self.histories.iter_mut().for_each(History::given_up);
    }

    /// A process starts with this as what was stored.
    pub(super) fn started(&mut self, stored: State, attempts: Vec<State>) -> Result<(), String> {
        self.number += 1;
        self.settings.started(stored, attempts).map_err(|wrong| format!("{}: {wrong}", self.address))
    }

    /// What was to be stored lately.
    pub(super) fn attempted(&mut self, attempts: Vec<State>) {
        self.settings.attempted(attempts);
    }

    /// What is on the disk in the end, when all has been quiet for a while; and nobody was forgotten.
    pub(super) fn closed(&mut self, sector: impl Fn(u64) -> [u8; SECTOR]) -> Result<(), String> {
        self.judge()?;
        for asked in &self.asked {
            if asked.exact && self.admits(asked) && !asked.late {
                return Err(format!(
                    "{}: taken at {:?} and never answered: {asked:?}",
                    self.address, asked.arrived
                ));
            }
        }
        for lba in 0..self.histories.len() as u64 {
            self.look(u64::MAX, lba, &sector(lba))
                .map_err(|wrong| format!("{}: in the end, {wrong}", self.address))?;
        }
        Ok(())
    }

    fn admits(&self, asked: &Asked) -> bool {
        self.settings.admit(asked.number, asked.from)
    }

    /// Whether a write that arrived enough later, with a sector in common, was taken before. Takes note of one that is not late.
    fn is_late(&mut self, arrived: Duration, what: &What) -> bool {
        let changes = what.changes();
        let late = self.written.iter().any(|(other, from, to)| {
            let meets = |(lba, sectors): &(u64, u64)| *from < lba + sectors && lba < to;
            *other >= arrived + MARGIN && changes.iter().any(meets)
        });
        if !late && !changes.is_empty() {
            self.written.retain(|(other, ..)| *other + KEPT >= arrived);
            self.written.extend(changes.iter().map(|(lba, sectors)| (arrived, *lba, lba + sectors)));
        }
        late
    }

    fn ask(&mut self, arrived: Duration, frame: &[u8]) {
        let Ok(packet) = Packet::parse(frame) else { return };
        let address = packet.aoe.address();
        if packet.aoe.ver_flags.is_response() || !address.matches(self.address) {
            return;
        }
        let what = match packet.arg {
            Arg::Ata(arg, payload) => match ata(arg, payload) {
                Some(What::Write { lba, sectors, durable }) => {
                    self.number += 1;
                    for (lba, data) in (lba..lba + sectors).zip(payload.chunks(SECTOR)) {
                        let stamp = data.first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
                        if let Some(history) = self.histories.get_mut(lba as usize) {
                            history.write(self.number, stamp);
                        }
                    }
                    Some(What::Write { lba, sectors, durable })
                }
                Some(What::Trim { ranges }) => {
                    self.number += 1;
                    for lba in ranges.iter().flat_map(|(lba, sectors)| *lba..lba + sectors) {
                        if let Some(history) = self.histories.get_mut(lba as usize) {
                            history.write(self.number, 0);
                        }
                    }
                    Some(What::Trim { ranges })
                }
                what => what,
            },
            Arg::Config(arg, _) => Some(What::Config { change: arg.command() != ConfigCommand::READ }),
            Arg::Mask(arg, _) => Some(What::Mask { change: arg.command == MaskCommand::EDIT }),
            Arg::Reserve(arg, _) => Some(What::Reserve { change: arg.command != ReserveCommand::READ }),
            Arg::Unknown(_) => None,
        };
        let Some(what) = what else { return };
        if !matches!(what, What::Write { .. } | What::Trim { .. }) {
            self.number += 1;
        }
        if let What::WriteCache { on } = what {
            self.caching.asked(self.number, on);
        }
        self.requests += 1;
        let exact = !address.is_wildcard();
        let (from, tag) = (packet.eth.src, packet.aoe.tag.to_u32());
        let late = self.is_late(arrived, &what);
        self.asked.push(Asked { from, tag, number: self.number, arrived, exact, late, what });
    }

    /// Finds what a reply answers, the oldest of its kind that may be answered. `None` for an advertisement, and for other targets' replies.
    fn match_reply(&mut self, frame: &[u8]) -> Result<Option<Asked>, String> {
        let Ok(packet) = Packet::parse(frame) else { return Ok(None) };
        if packet.aoe.address() != self.address || !packet.aoe.ver_flags.is_response() {
            return Ok(None);
        }
        let (to, tag) = (packet.eth.dst, packet.aoe.tag.to_u32());
        let fits = |asked: &&Asked| asked.from == to && asked.tag == tag && asked.what.fits(&packet.arg);
        let admitted = self.asked.iter().find(|asked| fits(asked) && self.admits(asked));
        if admitted.is_none() && tag == 0 && matches!(packet.arg, Arg::Config(..)) {
            return match self.settings.advertise_to(to) {
                true => Ok(None),
                false => Err(format!("{}: masked out and told of the target: {to}", self.address)),
            };
        }
        let Some(number) = admitted.or_else(|| self.asked.iter().find(fits)).map(|asked| asked.number) else {
            return Err(format!("{}: a reply to nobody's request", self.address));
        };
        let at = self.asked.iter().position(|asked| asked.number == number);
        Ok(at.map(|at| self.asked.remove(at)))
    }

    fn answered(&mut self, asked: &Asked, frame: &[u8]) -> Result<(), String> {
        let Ok(packet) = Packet::parse(frame) else { return Err("it cannot be read".into()) };
        if !self.admits(asked) {
            return Err(format!("masked out by {:?} and served", self.settings.at(asked.number).mask));
        }
        let error = packet.aoe.ver_flags.is_error().then_some(packet.aoe.error);
        let state = self.settings.at(asked.number);
        let reserved = !state.reserve.is_empty() && !state.reserve.contains(&asked.from);
        let refused = error == Some(ErrorCode::TARGET_RESERVED);
        let of_disk = !matches!(asked.what, What::Identify) && matches!(packet.arg, Arg::Ata(..));
        if of_disk && refused != reserved {
            return Err(format!("reserved for {:?}, and refused: {refused}", state.reserve));
        }
        if error.is_some() {
            return Ok(());
        }
        match packet.arg {
            Arg::Ata(arg, payload) if !arg.status().is_failure() => self.good(asked, payload),
            Arg::Ata(..) => {
                if matches!(asked.what, What::Flush | What::WriteCache { .. }) {
                    self.flush_failed.get_or_insert(self.number);
                }
                Ok(())
            }
            Arg::Config(arg, payload) => {
                let string = arg.string(payload).map_err(|error| error.to_string())?;
                let next = State { config: string.to_vec().into(), ..state.clone() };
                self.settings.told(asked, next)
            }
            Arg::Mask(arg, payload) if arg.error == MaskError::NONE => {
                let list = arg.directives(payload).map_err(|error| error.to_string())?;
                let next = State { mask: list.iter().map(|entry| entry.mac).collect(), ..state.clone() };
                self.settings.told(asked, next)
            }
            Arg::Reserve(arg, payload) => {
                let list = arg.macs(payload).map_err(|error| error.to_string())?;
                let next = State { reserve: list.to_vec(), ..state.clone() };
                self.settings.told(asked, next)
            }
            _ => Ok(()),
        }
    }

    /// A disk command was done.
    fn good(&mut self, asked: &Asked, payload: &[u8]) -> Result<(), String> {
        match &asked.what {
            &What::Read { lba, sectors } => {
                for (lba, data) in (lba..lba + sectors).zip(payload.chunks(SECTOR)) {
                    self.look(asked.number, lba, data)?;
                }
            }
            &What::Write { lba, sectors, durable } => {
                if asked.number < self.flushed {
                    return Err("a flush that came later was answered before it".into());
                }
                for history in &mut self.histories[lba as usize..(lba + sectors) as usize] {
                    history.acknowledged(asked.number, durable || self.caching.is_off(asked.number));
                }
            }
            What::Trim { ranges } => {
                let durable = self.caching.is_off(asked.number);
                for lba in ranges.iter().flat_map(|(lba, sectors)| *lba..lba + sectors) {
                    // Without the promise of zeros any of them may still be what it was.
                    if let Some(history) = self.histories.get_mut(lba as usize).filter(|_| self.zeroes) {
                        history.acknowledged(asked.number, durable);
                    }
                }
            }
            What::Flush | What::WriteCache { .. } => {
                if self.flush_failed.is_some_and(|failed| asked.number > failed) {
                    return Err("a flush was answered well after one had failed".into());
                }
                self.caching.confirmed(asked.number);
                self.flushed = self.flushed.max(asked.number);
                self.histories.iter_mut().for_each(|history| history.flushed(asked.number));
            }
            _ => {}
        }
        Ok(())
    }

    fn look(&mut self, number: u64, lba: u64, data: &[u8]) -> Result<(), String> {
        let Some(stamp) = stamp_of(data, lba) else {
            return Err(format!("sector {lba} is torn, or another's"));
        };
        let Some(history) = self.histories.get_mut(lba as usize) else { return Ok(()) };
        history.read(number, stamp).map_err(|allowed| {
            format!("sector {lba} is of write {stamp:#x}, and may be of {allowed:#x?}, the latest first")
        })
    }
}
