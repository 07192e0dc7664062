//! Changes of state that the operator makes: settled as those from the wire.

mod common;

use std::io;
use std::sync::mpsc::{self, Receiver};

use aoe_target::bdev::testing::{Delay, Gate};
use aoe_target::bdev::{Inline, MemDisk};
use aoe_target::{Backend, EditState, State, Target, TargetId, TargetOptions};
use bytes::BytesMut;
use common::fleet::Fleet;
use common::{HOST, OTHER, OWN, ata_from, read, request, tag};

/// 7.3, which only [`OTHER`] may use, and what it stores.
struct Locked {
    fleet: Fleet,
    id: TargetId,
    gate: Gate,
    saved: Receiver<State>,
}

impl Locked {
    fn new() -> Self {
        let mut fleet = Fleet::new(1);
        let (disk, gate) = Delay::until_released(Inline::new(MemDisk::new(64)));
        let state = State { mask: vec![OTHER], reserve: vec![OTHER], ..State::default() };
        let (save, saved) = mpsc::channel();
        let save =
            move |state: &State| save.send(state.clone()).map_err(|_| io::ErrorKind::StorageFull.into());
        let target = Target::new(TargetOptions::new(OWN), Backend::<BytesMut>::info(&disk), state);
        let queue = disk.open_queue(64).unwrap();
        let id = fleet.server.add_target(target, queue, Box::new(save), &fleet.links).unwrap();
        fleet.turn();
        fleet.received(0);
        Self { fleet, id, gate, saved }
    }

    /// Asks for an edit; where its outcome will be.
    fn edit(&mut self, edit: EditState) -> Receiver<io::Result<()>> {
        let (tell, told) = mpsc::channel();
        self.fleet.server.edit_state(self.id, edit, Box::new(move |outcome| tell.send(outcome).unwrap()));
        told
    }

    fn state(&self) -> &State {
        self.fleet.server.target(self.id).unwrap().state()
    }
}

fn open() -> EditState {
    Box::new(|state| {
        state.mask.clear();
        state.reserve.clear();
    })
}

#[test]
fn an_edit_is_stored_in_force_and_told_at_once_where_no_write_is_in_flight() {
    let mut target = Locked::new();
    assert!(target.fleet.ask(0, 3, &request(HOST, 1, 1, &[0; 8])).is_empty());
    let told = target.edit(open());
    told.try_recv().unwrap().unwrap();
    assert_eq!(target.saved.try_recv(), Ok(State::default()));
    assert_eq!(target.fleet.ask(0, 3, &request(HOST, 1, 2, &[0; 8])).len(), 1);
    let told = target.edit(open());
    told.try_recv().unwrap().unwrap();
    assert!(target.saved.try_recv().is_err(), "what changes nothing is not stored");
}

#[test]
fn an_edit_waits_for_writes_in_flight_and_frames_after_it_for_the_edit() {
    let mut target = Locked::new();
    target.fleet.ask(0, 3, &ata_from(OTHER, 1, [0x41, 0, 1, 0x34], 0, &[7; 512]));
    let evict = target.edit(Box::new(|state| (state.mask, state.reserve) = (vec![], vec![HOST])));
    let name = target.edit(Box::new(|state| state.config = "edited".into()));
    target.fleet.ask(0, 3, &ata_from(OTHER, 2, [0x40, 0, 1, 0x24], 0, &[]));
    target.fleet.ask(0, 3, &read(3, 0, 1));
    assert_eq!(target.state().reserve, [OTHER], "a write in flight would come after it");
    assert!(evict.try_recv().is_err());
    assert_eq!(target.fleet.turn(), 4, "a write, the edits as one, and two frames that wait");
    target.gate.open();
    target.fleet.turns(6);
    evict.try_recv().unwrap().unwrap();
    name.try_recv().unwrap().unwrap();
    assert_eq!((&target.state().config[..], &target.state().reserve[..]), (&b"edited"[..], &[HOST][..]));
    assert_eq!(target.saved.try_iter().count(), 2);
    let mut answers: Vec<_> = target.fleet.received(0).iter().map(|reply| (tag(reply), reply[15])).collect();
    answers.sort_unstable();
    assert_eq!(answers, [(1, 0), (2, 6), (3, 0)], "who was evicted is refused");
    assert_eq!(target.fleet.turn(), 0);
}

#[test]
fn an_edit_that_cannot_be_stored_changes_nothing_and_is_told() {
    let mut target = Locked::new();
    target.saved = mpsc::channel().1;
    let told = target.edit(open());
    assert_eq!(told.try_recv().unwrap().unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(target.state().mask, [OTHER]);
}

#[test]
fn an_edit_that_was_taken_is_carried_out_before_its_target_goes_and_a_later_one_is_not() {
    let mut target = Locked::new();
    target.fleet.ask(0, 3, &ata_from(OTHER, 1, [0x41, 0, 1, 0x34], 0, &[7; 512]));
    let told = target.edit(open());
    target.fleet.server.remove_target(target.id);
    let later = target.edit(open());
    assert_eq!(later.try_recv().unwrap().unwrap_err().kind(), io::ErrorKind::NotFound);
    target.gate.open();
    target.fleet.turns(6);
    told.try_recv().unwrap().unwrap();
    assert_eq!(target.saved.try_recv(), Ok(State::default()));
    assert!(!target.fleet.server.has_target(target.id));
}

#[test]
fn an_edit_while_an_initiators_change_waits_comes_after_it() {
    let mut target = Locked::new();
    target.fleet.ask(0, 3, &ata_from(OTHER, 1, [0x41, 0, 1, 0x34], 0, &[7; 512]));
    target.fleet.ask(0, 3, &request(OTHER, 1, 2, &[0, 0, 0, 0, 0, 4, 0, 1, b'x']));
    let told = target.edit(Box::new(|state| {
        assert_eq!(state.config, "x");
        state.config = "y".into();
    }));
    assert!(told.try_recv().is_err());
    target.gate.open();
    target.fleet.turns(6);
    told.try_recv().unwrap().unwrap();
    assert_eq!(target.state().config, "y");
}
