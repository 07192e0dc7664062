//! What a reply to a write promised while the write cache was switched: [`Caching`].

/// The write cache of an export in one life of its process.
pub(super) struct Caching {
    /// Off at each start.
    off: bool,
    /// Requests to switch it in the order in which they were taken: their number, on or off, and whether they were confirmed.
    switches: Vec<(u64, bool, bool)>,
}

impl Caching {
    pub(super) fn new(off: bool) -> Self {
        Self { off, switches: Vec::new() }
    }

    /// The process has ended.
    pub(super) fn ended(&mut self) {
        self.switches.clear();
    }

    /// A request to switch it was taken.
    pub(super) fn asked(&mut self, number: u64, on: bool) {
        self.switches.push((number, on, false));
    }

    /// It was carried out.
    pub(super) fn confirmed(&mut self, number: u64) {
        self.switches.iter_mut().filter(|(at, ..)| *at == number).for_each(|switch| switch.2 = true);
    }

    /// Whether the write with this number must be durable by the time of its reply. Of a switch that was not confirmed nobody knows.
    pub(super) fn is_off(&self, number: u64) -> bool {
        let before = self.switches.partition_point(|(at, ..)| *at < number);
        let confirmed = self.switches[..before].iter().rposition(|(.., confirmed)| *confirmed);
        let base = confirmed.map_or(self.off, |at| !self.switches[at].1);
        base && self.switches[confirmed.map_or(0, |at| at + 1)..before].iter().all(|(_, on, _)| !on)
    }
}
