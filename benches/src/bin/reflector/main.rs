//! A target without a disk, as e7.3: what a link leaves to be had by any target on it.
//!
//! By itself it is a packet socket of its own, `recvmmsg` and `sendmmsg`, and nothing else; with `--link` it is one of this project's links with
//! no engine above. Every read returns whatever the frame last held, every write is forgotten.

mod socket;

use std::collections::VecDeque;
use std::error::Error;
use std::time::Duration;

use aoe_link::{Accept, Link, LinkKind, NetLink, NetifOptions};
use clap::{Parser, ValueEnum};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::socket::Socket;

/// Answer every request to e7.3 without a disk
#[derive(Debug, Parser)]
struct Args {
    /// Buffer count to announce
    #[arg(short, long, value_name = "bufcnt", default_value_t = 64)]
    buffer_count: u16,

    /// A link of this project instead of a bare socket
    #[arg(long, value_name = "kind", value_enum)]
    link: Option<Kind>,

    /// Network interface
    #[arg(value_name = "netif")]
    netif: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    Xdp,
    Packet,
    Pnet,
}

fn main() -> Result<(), Box<dyn Error>> {
    let Args { buffer_count, link, netif } = Args::parse();
    match link {
        None => {
            let mut socket = Socket::open(&netif)?;
            println!("e7.3 on {netif}, by a socket");
            socket.reflect(buffer_count)?;
        }
        Some(kind) => {
            let kind = match kind {
                Kind::Xdp => LinkKind::Xdp,
                Kind::Packet => LinkKind::Packet,
                Kind::Pnet => LinkKind::Pnet,
            };
            let options =
                NetifOptions { accept: Accept::Target(vec![benches::OWN]), ..NetifOptions::default() };
            let link = NetLink::open(kind, &netif, options)?;
            println!("e7.3 on {netif}, by {}", link.way());
            reflect(link, buffer_count)?;
        }
    }
    Ok(())
}

/// Sends each request back as its reply, for ever.
fn reflect<L: Link>(mut link: L, buffers: u16) -> Result<(), Box<dyn Error>> {
    let second = Timespec::try_from(Duration::from_secs(1))?;
    let (mut rx, mut tx) = (Vec::new(), VecDeque::new());
    loop {
        link.recv(&mut rx)?;
        if rx.is_empty() && tx.is_empty() {
            if let Some(event) = link.event() {
                // Interrupted or not: look again.
                let _ = poll(&mut [PollFd::from_borrowed_fd(event, PollFlags::IN)], Some(&second));
            }
            continue;
        }
        let info = link.info();
        for mut frame in rx.drain(..) {
            if benches::answer(&mut frame, &info, buffers) {
                tx.push_back(frame);
            } else {
                link.recycle(frame);
            }
        }
        link.send(&mut tx)?;
    }
}
