//! Which target is served at an address of a link: [`Routes`].

use aoe_wire::Address;

/// The targets of one link, by address: what a frame costs does not grow with their number (but for a few steps of a search where they are scattered).
#[derive(Debug, Default)]
pub(crate) struct Routes(Vec<(Address, usize)>);

impl Routes {
    /// Serves target number `target` at `address`. What is there already stays.
    pub(crate) fn add(&mut self, address: Address, target: usize) {
        if let Err(place) = self.place(address) {
            self.0.insert(place, (address, target));
        }
    }

    /// Serves nothing at `address` any more.
    pub(crate) fn remove(&mut self, address: Address) {
        if let Ok(place) = self.place(address) {
            self.0.remove(place);
        }
    }

    /// The target at exactly this address.
    pub(crate) fn find(&self, address: Address) -> Option<usize> {
        // Where slots are used in a row, which is common, the place follows from the first.
        let (first, _) = self.0.first()?;
        let guess = number(address).wrapping_sub(number(*first));
        if let Some((own, target)) = self.0.get(guess)
            && *own == address
        {
            return Some(*target);
        }
        let place = self.place(address).ok()?;
        self.0.get(place).map(|(_, target)| *target)
    }

    /// The first target at or behind place number `from` that an address, perhaps a wildcard, means: its place, and its number.
    pub(crate) fn matching(&self, address: Address, from: usize) -> Option<(usize, usize)> {
        let mut rest = self.0.iter().enumerate().skip(from);
        rest.find(|(_, (own, _))| address.matches(*own)).map(|(place, (_, target))| (place, *target))
    }

    /// Every target, by address.
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> {
        self.0.iter().map(|(_, target)| *target)
    }

    fn place(&self, address: Address) -> Result<usize, usize> {
        self.0.binary_search_by_key(&address, |(own, _)| *own)
    }
}

/// Addresses counted through, slots within shelves.
fn number(address: Address) -> usize {
    usize::from(address.major) << 8 | usize::from(address.minor)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(routes: &Routes, address: Address) -> Vec<usize> {
        let (mut found, mut from) = (Vec::new(), 0);
        while let Some((place, target)) = routes.matching(address, from) {
            found.push(target);
            from = place + 1;
        }
        found
    }

    proptest! {
        #[test]
        fn what_is_found_is_what_a_look_at_each_finds(
            addresses in prop::collection::hash_set((0..6u16, 0..6u8), 0..30),
            asked in (prop_oneof![0..7u16, Just(Address::ANY_MAJOR)], prop_oneof![0..7u8, Just(Address::ANY_MINOR)]),
        ) {
            let addresses: Vec<_> = addresses.into_iter().map(|(major, minor)| Address::new(major, minor)).collect();
            let mut routes = Routes::default();
            for (target, address) in addresses.iter().enumerate() {
                routes.add(*address, target);
            }
            let asked = Address::new(asked.0, asked.1);
            prop_assert_eq!(routes.find(asked), addresses.iter().position(|own| *own == asked));
            let mut matching = all(&routes, asked);
            matching.sort_unstable();
            let expected: Vec<_> = (0..addresses.len()).filter(|at| asked.matches(addresses[*at])).collect();
            prop_assert_eq!(matching, expected);
        }
    }

    #[test]
    fn targets_are_listed_by_address_and_the_first_at_an_address_stays() {
        let mut routes = Routes::default();
        for (target, minor) in [7, 3, 5, 3].into_iter().enumerate() {
            routes.add(Address::new(1, minor), target);
        }
        assert_eq!(routes.iter().collect::<Vec<_>>(), [1, 2, 0]);
        routes.remove(Address::new(1, 5));
        routes.remove(Address::new(1, 6));
        assert_eq!(routes.iter().collect::<Vec<_>>(), [1, 0]);
        assert_eq!([3, 5, 7].map(|minor| routes.find(Address::new(1, minor))), [Some(1), None, Some(0)]);
    }
}
