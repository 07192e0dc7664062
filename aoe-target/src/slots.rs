//! Numbers that are used again, and names that are not: [`Slots`].

/// Values, each at a number of its own, which another may have when it is gone.
#[derive(Debug)]
pub(crate) struct Slots<T>(Vec<Slot<T>>);

#[derive(Debug)]
struct Slot<T> {
    /// How many values were here before.
    generation: u32,
    value: Option<T>,
}

/// Names one value, and never another at the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Name {
    at: usize,
    generation: u32,
}

impl<T> Slots<T> {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    /// Puts `value` at a number that is free; the number.
    pub(crate) fn insert(&mut self, value: T) -> usize {
        let free = self.0.iter().position(|slot| slot.value.is_none());
        let at = free.unwrap_or_else(|| {
            self.0.push(Slot { generation: 0, value: None });
            self.0.len() - 1
        });
        self.0[at].value = Some(value);
        at
    }

    /// What is at a number from now on is another.
    pub(crate) fn remove(&mut self, at: usize) -> Option<T> {
        let slot = self.0.get_mut(at)?;
        slot.generation = slot.generation.wrapping_add(1);
        slot.value.take()
    }

    /// The name of what is at a number.
    pub(crate) fn name(&self, at: usize) -> Name {
        Name { at, generation: self.0.get(at).map_or(0, |slot| slot.generation) }
    }

    /// The number of what has a name, unless it is gone.
    pub(crate) fn find(&self, name: Name) -> Option<usize> {
        let slot = self.0.get(name.at)?;
        (slot.generation == name.generation && slot.value.is_some()).then_some(name.at)
    }

    pub(crate) fn get(&self, at: usize) -> Option<&T> {
        self.0.get(at)?.value.as_ref()
    }

    pub(crate) fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        self.0.get_mut(at)?.value.as_mut()
    }

    /// All that there are, with their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        self.0.iter().enumerate().filter_map(|(at, slot)| Some((at, slot.value.as_ref()?)))
    }

    /// The same, to be changed.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (usize, &mut T)> {
        self.0.iter_mut().enumerate().filter_map(|(at, slot)| Some((at, slot.value.as_mut()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_used_again_and_the_name_of_what_was_there_names_nothing() {
        let mut slots = Slots::new();
        let at = slots.insert("first");
        let first = slots.name(at);
        assert_eq!(slots.insert("beside it"), at + 1);
        assert_eq!(slots.remove(at), Some("first"));
        assert_eq!((slots.find(first), slots.get(at)), (None, None));
        assert_eq!(slots.insert("second"), at);
        assert_eq!(slots.find(first), None);
        assert_eq!(slots.find(slots.name(at)), Some(at));
        assert_eq!(slots.iter().map(|(_, value)| *value).collect::<Vec<_>>(), ["second", "beside it"]);
    }
}
