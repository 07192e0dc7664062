//! Word of interfaces that come and go.

use aoe_link::Interfaces;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::netns::{in_netns, ip};

/// Whether there is word within so many seconds.
fn wait(interfaces: &Interfaces, tv_sec: i64) -> bool {
    let event = interfaces.event();
    let limit = Timespec { tv_sec, tv_nsec: 10_000_000 };
    poll(&mut [PollFd::new(&event, PollFlags::IN)], Some(&limit)).unwrap() > 0
}

in_netns! {
    fn an_interface_that_comes_and_goes_is_told_of_and_listed() {
        let interfaces = Interfaces::watch().expect("a netlink socket");
        assert!(!interfaces.changed() && !interfaces.names().contains(&"near".to_owned()));
        for (words, there) in [("link add near type veth peer name far", true), ("link delete near", false)] {
            ip(words);
            assert!(wait(&interfaces, 60), "no word after: ip {words}");
            assert!(interfaces.changed());
            assert_eq!(interfaces.names().contains(&"near".to_owned()), there);
        }
        while interfaces.changed() {}
        assert!(!wait(&interfaces, 0), "nothing else has happened");
    }
}
