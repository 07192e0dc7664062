//! One link at work: what was received, what is to be sent.

use std::collections::VecDeque;

use crate::routes::Routes;
use crate::{Link, LinkInfo};

pub(crate) struct Port<L: Link> {
    pub(crate) link: L,
    /// The link as it was at the beginning of this turn.
    pub(crate) info: LinkInfo,
    pub(crate) tx: VecDeque<L::Frame>,
    pub(crate) rx: Vec<L::Frame>,
    /// The targets that are served here.
    pub(crate) routes: Routes,
    /// The generation of the link that the targets were advertised on.
    advertised: Option<u64>,
}

impl<L: Link> Port<L> {
    pub(crate) fn new(link: L) -> Self {
        let info = link.info();
        Self { link, info, tx: VecDeque::new(), rx: Vec::new(), routes: Routes::default(), advertised: None }
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
