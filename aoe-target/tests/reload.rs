//! Targets and links that come and go: those that stay do not notice, and nothing that was taken is lost.

mod common;

use std::time::Duration;

use aoe_target::bdev::testing::Delay;
use aoe_target::bdev::{Inline, MemDisk};
use aoe_target::{AddError, Address, Link};
use bytes::BytesMut;
use common::fleet::Fleet;
use common::{HOST, read, registers, request, tag, write};

fn disk() -> Inline<MemDisk> {
    Inline::new(MemDisk::new(64))
}

/// The slots that advertisements and replies come from.
fn slots(frames: &[BytesMut]) -> Vec<u8> {
    frames.iter().map(|frame| frame[18]).collect()
}

fn tags(frames: &[BytesMut]) -> Vec<u32> {
    frames.iter().map(|frame| tag(frame)).collect()
}

/// A config request that changes the string.
fn set_config(tag: u32) -> Vec<u8> {
    request(HOST, 1, tag, &[0, 0, 0, 0, 0, 4, 0, 1, b'x'])
}

#[test]
fn a_target_that_is_added_later_is_advertised_at_once_on_its_links_and_served() {
    let mut fleet = Fleet::new(3);
    fleet.add(1, &disk(), &[0, 1]).unwrap();
    fleet.turn();
    assert_eq!([0, 1, 2].map(|link| slots(&fleet.received(link))), [vec![1], vec![1], vec![]]);
    fleet.add(2, &disk(), &[1]).unwrap();
    fleet.turn();
    assert_eq!([0, 1, 2].map(|link| slots(&fleet.received(link))), [vec![], vec![2], vec![]]);
    assert_eq!(slots(&fleet.ask(1, 2, &read(1, 0, 1))), [2]);
    assert!(fleet.ask(0, 2, &read(1, 0, 1)).is_empty());
}

#[test]
fn a_target_on_a_link_that_is_down_is_advertised_when_it_comes_up() {
    let mut fleet = Fleet::new(1);
    fleet.server.link_mut(fleet.links[0]).unwrap().link.set_up(false);
    fleet.turn();
    fleet.add(1, &disk(), &[0]).unwrap();
    fleet.turn();
    assert!(fleet.received(0).is_empty());
    fleet.server.link_mut(fleet.links[0]).unwrap().link.set_up(true);
    fleet.turn();
    assert_eq!(slots(&fleet.received(0)), [1]);
}

#[test]
fn a_removed_target_answers_what_it_has_taken_and_is_dropped_and_its_address_is_free_before() {
    let mut fleet = Fleet::new(1);
    let (slow, gate) = Delay::until_released(disk());
    let (old, watch) = fleet.add_watched(1, &slow, &[0]).unwrap();
    fleet.ask(0, 1, &write(1, 0, &[7; 512]));
    fleet.ask(0, 1, &set_config(2));
    fleet.ask(0, 1, &read(3, 9, 1));
    fleet.server.remove_target(old);
    fleet.server.remove_target(old);
    assert!(fleet.server.has_target(old) && fleet.server.targets().eq([old]));
    assert!(fleet.ask(0, 1, &read(4, 0, 1)).is_empty(), "it takes no more");
    assert_eq!(fleet.server.set_links(old, &[fleet.links[0]]), Err(AddError::Removed));

    let new = fleet.add(1, &disk(), &[0]).unwrap();
    assert_eq!(tags(&fleet.ask(0, 1, &read(5, 0, 1))), [0, 5], "advertised, and served");
    assert!(watch.upgrade().is_some());
    gate.open();
    fleet.turns(4);
    let mut answered = tags(&fleet.received(0));
    answered.sort_unstable();
    assert_eq!(answered, [1, 2, 3], "what was taken is answered");
    assert!(watch.upgrade().is_none(), "its way to store state is closed");
    assert!(!fleet.server.has_target(old) && fleet.server.targets().eq([new]));
    assert_eq!(fleet.out(), [0]);
    assert_eq!(fleet.turn(), 0);
}

#[test]
fn a_removed_target_that_is_at_rest_is_gone_at_once_and_its_name_never_means_another() {
    let mut fleet = Fleet::new(1);
    let (old, watch) = fleet.add_watched(1, &disk(), &[0]).unwrap();
    fleet.turns(2);
    fleet.received(0);
    fleet.server.remove_target(old);
    assert!(watch.upgrade().is_none());
    let new = fleet.add(2, &disk(), &[0]).unwrap();
    assert_ne!(old, new);
    assert!(!fleet.server.has_target(old) && fleet.server.target(old).is_none());
    fleet.server.remove_target(old);
    assert_eq!(fleet.server.target(new).unwrap().address(), Address::new(7, 2));
    fleet.now += Duration::from_secs(2);
    assert_eq!(slots(&fleet.ask(0, 2, &read(1, 0, 1))), [2, 2]);
}

#[test]
fn a_target_moves_between_links_and_answers_where_it_was_asked() {
    let mut fleet = Fleet::new(3);
    let (slow, gate) = Delay::until_released(disk());
    let id = fleet.add(1, &slow, &[0, 1]).unwrap();
    fleet.turn();
    (0..3).for_each(|link| drop(fleet.received(link)));
    fleet.ask(0, 1, &read(1, 0, 1));
    let links = [fleet.links[1], fleet.links[2]];
    fleet.server.set_links(id, &links).unwrap();
    fleet.turn();
    assert_eq!([0, 1, 2].map(|link| slots(&fleet.received(link))), [vec![], vec![], vec![1]]);
    gate.open();
    fleet.turns(3);
    assert_eq!(tags(&fleet.received(0)), [1], "asked there, answered there");
    assert!(fleet.ask(0, 1, &read(2, 0, 1)).is_empty());
    assert_eq!(tags(&fleet.ask(2, 1, &read(3, 0, 1))), [3]);
    assert_eq!(fleet.out(), [0, 0, 0]);
}

#[test]
fn a_target_does_not_move_to_a_link_where_another_has_its_address() {
    let mut fleet = Fleet::new(2);
    let first = fleet.add(1, &disk(), &[0]).unwrap();
    let second = fleet.add(1, &disk(), &[1]).unwrap();
    let [a, b] = [fleet.links[0], fleet.links[1]];
    let taken = Err(AddError::AddressInUse(Address::new(7, 1)));
    assert_eq!(fleet.server.set_links(second, &[a, b]), taken);
    assert_eq!(slots(&fleet.ask(1, 1, &read(1, 0, 1))), [1, 1], "nothing has changed");
    fleet.server.remove_target(first);
    fleet.server.set_links(second, &[a, b]).unwrap();
    fleet.received(0);
    assert_eq!(tags(&fleet.ask(0, 1, &read(2, 0, 1))), [0, 2]);
}

#[test]
fn a_write_that_comes_too_late_is_dropped_also_where_the_second_link_was_added_later() {
    let mut fleet = Fleet::new(1);
    let id = fleet.add(1, &disk(), &[0]).unwrap();
    fleet.turn();
    fleet.add_link();
    fleet.server.set_links(id, &fleet.links).unwrap();
    let ms = |ms| Some(Duration::from_millis(ms));
    fleet.hosts[1].set_time(ms(500));
    assert_eq!(tags(&fleet.ask(1, 1, &write(1, 3, &[2; 512]))), [0, 1]);
    fleet.received(0);
    fleet.hosts[0].set_time(ms(100));
    assert!(fleet.ask(0, 1, &write(2, 3, &[1; 512])).is_empty());
    assert_eq!(fleet.server.take_late(), Some(id));
}

#[test]
fn what_came_by_a_removed_link_is_done_and_not_answered() {
    let mut fleet = Fleet::new(2);
    let (slow, gate) = Delay::until_released(disk());
    fleet.add(1, &slow, &[0, 1]).unwrap();
    fleet.turn();
    (0..2).for_each(|link| drop(fleet.received(link)));
    fleet.ask(0, 1, &write(1, 5, &[9; 512]));
    fleet.ask(1, 1, &read(2, 5, 1));
    let link = fleet.server.remove_link(fleet.links[0]).unwrap();
    assert!(fleet.server.remove_link(fleet.links[0]).is_none());
    assert!(fleet.server.link(fleet.links[0]).is_none());
    assert!(fleet.server.links().eq([fleet.links[1]]));
    let new = fleet.add_link();
    assert_ne!(fleet.links[0], fleet.links[new]);
    assert!(fleet.server.link(fleet.links[0]).is_none());
    gate.open();
    fleet.turns(4);
    assert!(fleet.received(0).is_empty() && fleet.received(new).is_empty());
    let replies = fleet.received(1);
    assert_eq!((tags(&replies), replies[0][36]), (vec![2], 9), "the write was done before the read");
    assert_eq!(fleet.out(), [1, 0, 0], "its frame was dropped");
    assert_eq!(fleet.turn(), 0);
    drop(link);
    // Nothing is in flight from it any more, so its place is free: others still are not mixed up.
    let next = fleet.add_link();
    assert!(fleet.server.link(fleet.links[0]).is_none());
    assert!(fleet.server.link(fleet.links[next]).is_some() && fleet.server.links().count() == 3);
}

#[test]
fn frames_that_a_removed_link_has_lent_and_nobody_has_begun_go_home() {
    let mut fleet = Fleet::new(2);
    let (slow, gate) = Delay::until_released(disk());
    fleet.add(1, &slow, &[0, 1]).unwrap();
    fleet.turn();
    fleet.ask(1, 1, &write(1, 5, &[9; 512]));
    fleet.ask(1, 1, &set_config(2));
    fleet.ask(0, 1, &read(3, 0, 1));
    fleet.ask(1, 1, &read(4, 0, 1));
    assert_eq!((fleet.turn(), fleet.out()), (4, vec![1, 3]));
    fleet.server.remove_link(fleet.links[0]);
    assert_eq!((fleet.turn(), fleet.out()), (3, vec![0, 3]));
    gate.open();
    fleet.turns(4);
    assert_eq!((tags(&fleet.received(1)), fleet.out()), (vec![1, 2, 4], vec![0, 0]));
}

#[test]
fn the_change_that_a_removed_link_has_brought_is_carried_out() {
    let mut fleet = Fleet::new(2);
    let (slow, gate) = Delay::until_released(disk());
    let id = fleet.add(1, &slow, &[0, 1]).unwrap();
    fleet.ask(1, 1, &write(1, 5, &[9; 512]));
    fleet.ask(0, 1, &set_config(2));
    fleet.server.remove_link(fleet.links[0]);
    let new = fleet.add_link();
    gate.open();
    fleet.turns(4);
    assert_eq!(fleet.server.target(id).unwrap().state().config, "x");
    assert!(fleet.received(new).is_empty());
    assert_eq!(fleet.turn(), 0);
}

#[test]
fn a_link_whose_address_one_of_ours_had_is_no_longer_ours_when_it_is_removed() {
    let mut fleet = Fleet::new(2);
    fleet.add(1, &disk(), &[0, 1]).unwrap();
    let mut reply = request(fleet.server.link(fleet.links[0]).unwrap().info().mac, 1, 0, &[0; 8]);
    reply[14] = 0x18;
    fleet.ask(1, 1, &reply);
    assert_eq!(fleet.server.take_conflict(), None);
    fleet.server.remove_link(fleet.links[0]);
    fleet.ask(1, 1, &reply);
    assert_eq!(fleet.server.take_conflict().map(|(address, _)| address), Some(Address::new(7, 1)));
}

#[test]
fn removing_every_link_stops_nothing_else() {
    let mut fleet = Fleet::new(1);
    let id = fleet.add(1, &disk(), &[0]).unwrap();
    fleet.server.remove_link(fleet.links[0]);
    fleet.turns(3);
    let link = fleet.add_link();
    fleet.server.set_links(id, &[fleet.links[0], fleet.links[link]]).unwrap();
    let replies = fleet.ask(link, 1, &read(1, 0, 1));
    assert_eq!((tags(&replies), registers(&replies[1])), (vec![0, 1], [0x40, 0, 0, 0x40]));
}
