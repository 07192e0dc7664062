//! One link at work: what was received, what is to be sent.

use std::collections::VecDeque;
use std::time::Duration;

use crate::routes::Routes;
use crate::{Link, LinkInfo};

/// Where and when a frame arrived.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    /// The number of the link.
    pub(crate) link: usize,
    /// As [`Link::times`] tells it; asked for only where frames of several links are put in order.
    pub(crate) time: Option<Duration>,
}

pub(crate) struct Port<L: Link> {
    pub(crate) link: L,
    /// The link as it was at the beginning of this turn.
    pub(crate) info: LinkInfo,
    pub(crate) tx: VecDeque<L::Frame>,
    pub(crate) rx: Vec<L::Frame>,
    /// Frames received in this turn, and whether more are to be received in it.
    pub(crate) received: usize,
    pub(crate) open: bool,
    /// The targets that are served here.
    pub(crate) routes: Routes,
    /// The generation of the link that the targets were advertised on.
    advertised: Option<u64>,
}

impl<L: Link> Port<L> {
    pub(crate) fn new(link: L) -> Self {
        let info = link.info();
        Self {
            link,
            info,
            tx: VecDeque::new(),
            rx: Vec::new(),
            received: 0,
            open: false,
            routes: Routes::default(),
            advertised: None,
        }
    }

    /// Looks at the link again; whether it is up and has not been advertised on as it is now.
    pub(crate) fn refresh(&mut self) -> bool {
        self.info = self.link.info();
        let news = self.info.up && self.advertised != Some(self.info.generation);
        if news {
            self.advertised = Some(self.info.generation);
        }
        news
    }
}
