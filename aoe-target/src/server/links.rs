//! The links of a server, which come and go.

use super::Server;
use crate::Link;
use crate::port::Port;

/// Names a link of a server, and never another that has taken its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LinkId {
    at: usize,
    generation: u32,
}

impl LinkId {
    /// The name of the link at place number `at`.
    pub(crate) fn of<L: Link>(at: usize, port: &Port<L>) -> Self {
        Self { at, generation: port.generation }
    }
}

impl<L: Link> Server<L> {
    /// Adds a link, at any time. Targets are served on it when they are told to, see [`set_links`](Self::set_links).
    pub fn add_link(&mut self, link: L) -> LinkId {
        let free = (0..self.ports.len()).find(|at| self.ports[*at].link.is_none() && !self.has_from(*at));
        let at = if let Some(at) = free {
            self.ports[at].replace(link);
            at
        } else {
            self.ports.push(Port::new(link));
            self.ports.len() - 1
        };
        LinkId::of(at, &self.ports[at])
    }

    /// Takes a link away and returns it, so that the caller may close it. No target is served on it any more.
    ///
    /// Requests that came by it and were begun are finished as those that came by others; their replies are dropped, and their frames
    /// are not given back to the link, but dropped too. Frames that had not been begun, and replies that had not been sent, are given
    /// back to it now.
    pub fn remove_link(&mut self, id: LinkId) -> Option<L> {
        let Self { ports, exports, in_flight, .. } = self;
        let mut link = ports.get_mut(id.at).filter(|port| port.generation == id.generation)?.remove()?;
        for (_, export) in exports.iter_mut() {
            let before = export.load();
            export.give_back(id.at, &mut link);
            *in_flight = *in_flight + export.load() - before;
        }
        self.order();
        Some(link)
    }

    /// Every link.
    pub fn links(&self) -> impl Iterator<Item = LinkId> {
        let there = |(_, port): &(usize, &Port<L>)| port.link.is_some();
        self.ports.iter().enumerate().filter(there).map(|(at, port)| LinkId::of(at, port))
    }

    /// A link.
    #[must_use]
    pub fn link(&self, id: LinkId) -> Option<&L> {
        self.ports.get(id.at).filter(|port| port.generation == id.generation)?.link.as_ref()
    }

    /// A link, to be changed: what it accepts, for example. Its frames stay the server's business.
    #[must_use]
    pub fn link_mut(&mut self, id: LinkId) -> Option<&mut L> {
        self.ports.get_mut(id.at).filter(|port| port.generation == id.generation)?.link.as_mut()
    }

    /// Whether a request that came by link number `at` was taken and not answered.
    fn has_from(&self, at: usize) -> bool {
        self.exports.iter().any(|(_, export)| export.has_from(at))
    }
}
