//! Whether another station answers at our address already.
//!
//! Initiators take two targets at one address for one disk with two paths, and spread writes over both. So the question is asked once,
//! by a config read to everybody (AoEr11 §3.2), before anything is served.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use aoe_target::{Address, Frame, Link, MacAddr};
use aoe_wire::{ConfigCommand, MIN_FRAME, Packet, RequestHeader, Tag, build_config};
use bdev::IoBuf;

use crate::wait::Waiter;

/// For how long answers are awaited after each of the two questions. Requests of initiators that arrive meanwhile go unanswered and are
/// repeated, so it is short.
const PATIENCE: Duration = Duration::from_millis(125);

/// How often a link is looked at that has no event.
const POLL: Duration = Duration::from_millis(5);

/// Never that of an initiator's request, nor of an advertisement.
const TAG: Tag = Tag(*b"dup?");

/// A station that answers at `address` on one of `links`, other than ourselves.
///
/// Nothing is asked on a link that is down: the answer is then no.
///
/// # Errors
///
/// When a link can never work again.
pub(crate) fn station_at<L: Link>(address: Address, links: &mut [L]) -> io::Result<Option<MacAddr>> {
    if !links.iter().any(|link| link.info().up) {
        return Ok(None);
    }
    let (mut waiter, mut rx) = (Waiter::default(), Vec::new());
    for _ in 0..2 {
        links.iter_mut().filter(|link| link.info().up).try_for_each(|link| ask(address, link))?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut station = None;
            for link in links.iter_mut() {
                link.recv(&mut rx)?;
                for frame in rx.drain(..) {
                    station = station.or_else(|| answer(frame.bytes(), address, link.info().mac));
                    link.recycle(frame);
                }
            }
            if station.is_some() {
                return Ok(station);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            // A link without an event is looked at often.
            let polled = links.iter().any(|link| link.event().is_none());
            let pause = if polled { left.min(POLL) } else { left };
            waiter.readable(links.iter().filter_map(|link| link.event()), pause)?;
        }
    }
    Ok(None)
}

fn ask<L: Link>(address: Address, link: &mut L) -> io::Result<()> {
    let Some(mut frame) = link.alloc() else { return Ok(()) };
    frame.set_len(MIN_FRAME);
    let header = RequestHeader { dst: MacAddr::BROADCAST, src: link.info().mac, address, tag: TAG };
    if build_config(frame.bytes_mut(), header, ConfigCommand::READ, &[]).is_err() {
        link.recycle(frame);
        return Ok(());
    }
    let mut tx = VecDeque::from([frame]);
    link.send(&mut tx)?;
    tx.into_iter().for_each(|frame| link.recycle(frame));
    Ok(())
}

/// Who sent `frame`, if it is an answer at `address` by somebody else. An advertisement is one, too.
fn answer(frame: &[u8], address: Address, own: MacAddr) -> Option<MacAddr> {
    let packet = Packet::parse_headers(frame).ok()?;
    let foreign =
        packet.aoe.ver_flags.is_response() && packet.aoe.address() == address && packet.eth.src != own;
    foreign.then_some(packet.eth.src)
}

#[cfg(test)]
mod tests {
    use aoe_link::MemLink;
    use aoe_target::{DeviceInfo, Server, State, Target, TargetOptions};
    use bdev::{Backend, Inline, MemDisk};
    use std::thread;

    use super::*;

    const OWN: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
    const OTHER: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);

    /// Asks for e7.3 on two links, on the second beside a target at `address`.
    fn station_beside(address: Address) -> Option<MacAddr> {
        let (near, far) = MemLink::pair(OWN, OTHER, 1500);
        let (lonely, _nobody) = MemLink::pair(OWN, OTHER, 1500);
        let mut links = [lonely, near];
        thread::scope(|scope| {
            let asking =
                scope.spawn(move || station_at(Address::new(7, 3), &mut links).expect("a working link"));
            let mut server = Server::new();
            let link = server.add_link(far);
            let target = Target::new(
                TargetOptions::new(address),
                DeviceInfo { sectors: 8, ..DeviceInfo::default() },
                State::default(),
            );
            let queue = Inline::new(MemDisk::new(8)).open_queue(8).expect("a queue");
            server.add_target(target, queue, Box::new(|_| Ok(())), &[link]).expect("a free address");
            let start = Instant::now();
            while !asking.is_finished() {
                server.turn(start.elapsed()).map(drop).expect("a working link");
                thread::sleep(Duration::from_millis(1));
            }
            asking.join().expect("no panic")
        })
    }

    #[test]
    fn a_station_at_the_same_address_is_found() {
        assert_eq!(station_beside(Address::new(7, 3)), Some(OTHER));
    }

    #[test]
    fn a_station_at_another_address_is_none() {
        assert_eq!(station_beside(Address::new(7, 4)), None);
    }

    #[test]
    fn nobody_is_waited_for_where_every_link_is_down() {
        let (mut near, _far) = MemLink::pair(OWN, OTHER, 1500);
        near.set_up(false);
        let start = Instant::now();
        assert_eq!(station_at(Address::new(7, 3), &mut [near]).expect("a working link"), None);
        assert!(start.elapsed() < PATIENCE);
    }

    #[test]
    fn an_answer_of_our_own_and_a_question_of_others_are_none() {
        let address = Address::new(7, 3);
        let mut frame = [0; 60];
        let header = RequestHeader { dst: MacAddr::BROADCAST, src: OTHER, address, tag: TAG };
        build_config(&mut frame, header, ConfigCommand::READ, &[]).expect("room");
        assert_eq!(answer(&frame, address, OWN), None);
        frame[14] |= 0x08;
        assert_eq!(answer(&frame, address, OWN), Some(OTHER));
        assert_eq!(answer(&frame, address, OTHER), None);
        assert_eq!(answer(&frame[..20], address, OWN), None);
    }
}
