//! One link at work: what was received, what is to be sent.

use std::collections::VecDeque;
use std::time::Duration;

use crate::routes::Routes;
use crate::sweep::Sweep;
use crate::{Link, LinkInfo};

/// Where and when a frame arrived.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    /// The number of the link.
    pub(crate) link: usize,
    /// As [`Link::times`] tells it; asked for only where frames of several links are put in order.
    pub(crate) time: Option<Duration>,
}

/// The place of a link. It outlives the link while requests that came by it are in flight: their replies are made, and dropped.
pub(crate) struct Port<L: Link> {
    /// `None` when it was removed.
    pub(crate) link: Option<L>,
    /// How many links were here before.
    pub(crate) generation: u32,
    /// The link as it was at the beginning of this turn.
    pub(crate) info: LinkInfo,
    pub(crate) tx: VecDeque<L::Frame>,
    pub(crate) rx: Vec<L::Frame>,
    /// Frames received in this turn, and whether more are to be received in it.
    pub(crate) received: usize,
    pub(crate) open: bool,
    /// Who has had its share of what waited.
    pub(crate) sweep: Sweep,
    /// The targets that are served here.
    pub(crate) routes: Routes,
    /// The generation of the link that the targets were advertised on.
    advertised: Option<u64>,
}

impl<L: Link> Port<L> {
    pub(crate) fn new(link: L) -> Self {
        let info = link.info();
        Self {
            link: Some(link),
            generation: 0,
            info,
            tx: VecDeque::new(),
            rx: Vec::new(),
            received: 0,
            open: false,
            sweep: Sweep::default(),
            routes: Routes::default(),
            advertised: None,
        }
    }

    /// Looks at the link again; whether it is up and has not been advertised on as it is now.
    pub(crate) fn refresh(&mut self) -> bool {
        let Some(link) = &self.link else { return false };
        self.info = link.info();
        let news = self.info.up && self.advertised != Some(self.info.generation);
        if news {
            self.advertised = Some(self.info.generation);
        }
        news
    }

    /// Whether what is served here has been advertised on the link as it is now.
    pub(crate) fn is_advertised(&self) -> bool {
        self.info.up && self.advertised == Some(self.info.generation)
    }

    /// Another link, in the place of one that was removed.
    pub(crate) fn replace(&mut self, link: L) {
        *self = Self { generation: self.generation, ..Self::new(link) };
    }

    /// Takes the link away, and with it the frames that were to be sent there.
    pub(crate) fn remove(&mut self) -> Option<L> {
        let mut link = self.link.take()?;
        self.generation = self.generation.wrapping_add(1);
        self.routes = Routes::default();
        self.tx.drain(..).for_each(|frame| link.recycle(frame));
        Some(link)
    }

    /// Gives a frame back to the link. Where that is gone, it is dropped.
    pub(crate) fn recycle(&mut self, frame: L::Frame) {
        if let Some(link) = &mut self.link {
            link.recycle(frame);
        }
    }
}
