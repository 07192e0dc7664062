//! One descriptor to wait on: for frames, for changes of interfaces, and for a moment.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};

/// Netlink messages that are read at a time. More of them wake us again.
const MESSAGES: usize = 64;

pub(super) struct Watch {
    /// Readable when any interface of the namespace changed.
    changes: OwnedFd,
    timer: OwnedFd,
    armed: bool,
    /// Always readable.
    ready: OwnedFd,
    /// Covers a packet socket and those above.
    epoll: OwnedFd,
    interest: EventFlags,
    /// Whether `ready` stands in for the packet socket.
    busy: bool,
}

/// A netlink socket that gets a message for every change of an interface (rtnetlink(7), group `RTMGRP_LINK`).
pub(super) fn open_netlink() -> rustix::io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
    rustix::net::bind(&socket, &SocketAddrNetlink::new(0, libc::RTMGRP_LINK.cast_unsigned()))?;
    Ok(socket)
}

/// Takes what the netlink socket `changes` has to tell. Whether that is anything.
pub(super) fn drain(changes: &OwnedFd) -> bool {
    let mut woken = false;
    for _ in 0..MESSAGES {
        // What a message says does not matter; one that is cut short or lost (ENOBUFS) means the same as one that is not.
        match rustix::net::recv(changes, &mut [0; 16], RecvFlags::DONTWAIT) {
            Ok(_) | Err(Errno::NOBUFS) => woken = true,
            Err(_) => break,
        }
    }
    woken
}

impl Watch {
    /// Watches a packet `socket`, and the interfaces by `changes`, a netlink socket.
    pub(super) fn new(socket: &OwnedFd, changes: OwnedFd) -> rustix::io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let ready = eventfd(1, EventfdFlags::CLOEXEC)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let interest = EventFlags::IN;
        for source in [socket, &changes, &timer] {
            epoll::add(&epoll, source, EventData::new_u64(0), interest)?;
        }
        epoll::add(&epoll, &ready, EventData::new_u64(0), EventFlags::empty())?;
        Ok(Self { changes, timer, armed: false, ready, epoll, interest, busy: false })
    }

    /// Whether an interface may have changed since this was last called.
    pub(super) fn woken(&mut self) -> bool {
        if self.armed && rustix::io::read(&self.timer, &mut [0; 8]).is_ok() {
            self.armed = false;
        }
        drain(&self.changes)
    }

    /// Whether `flag` of `socket` makes [`event`](Self::event) readable.
    pub(super) fn set_interest(&mut self, socket: &OwnedFd, flag: EventFlags, on: bool) {
        let mut interest = self.interest;
        interest.set(flag, on);
        if interest != self.interest
            && (self.busy || epoll::modify(&self.epoll, socket, EventData::new_u64(0), interest).is_ok())
        {
            self.interest = interest;
        }
    }

    /// While `busy`, [`event`](Self::event) is readable, whatever `socket` has to tell.
    ///
    /// To be watched costs a socket something at every frame that arrives or leaves, a tenth to a fifth of all; who does not wait
    /// need not pay that.
    pub(super) fn set_busy(&mut self, socket: &OwnedFd, busy: bool) {
        if busy == self.busy {
            return;
        }
        // In this order, so that the event is never silent in between, nor after an error.
        let changed = if busy {
            epoll::modify(&self.epoll, &self.ready, EventData::new_u64(0), EventFlags::IN)
                .and_then(|()| epoll::delete(&self.epoll, socket))
        } else {
            epoll::add(&self.epoll, socket, EventData::new_u64(0), self.interest).and_then(|()| {
                epoll::modify(&self.epoll, &self.ready, EventData::new_u64(0), EventFlags::empty())
            })
        };
        if changed.is_ok() {
            self.busy = busy;
        }
    }

    /// Makes [`event`](Self::event) readable once, after `pause`.
    pub(super) fn wake_in(&mut self, pause: Duration) {
        let Ok(it_value) = Timespec::try_from(pause) else { return };
        let once = Itimerspec { it_interval: Timespec::default(), it_value };
        self.armed = rustix::time::timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once).is_ok();
    }

    pub(super) fn event(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}
