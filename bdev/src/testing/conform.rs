//! The suite that every backend runs.

use super::{Pieces, TestBuf, rules};
use crate::{AlignedBuf, Backend};

/// Checks `backend` against the [contract](crate#the-contract), rule by rule. **Destroys what it holds.**
///
/// It uses the first and last sectors of a device of any size from 128 sectors on. On a read-only device only the rules for those are
/// checked. See [`rules`] for what is checked.
///
/// # Panics
///
/// When a rule is broken, with what was expected.
pub fn conformance<T: Backend<AlignedBuf> + ?Sized>(backend: &T) {
    all::<AlignedBuf>(backend);
}

/// The same as [`conformance`], with buffers in three pieces that end within sectors.
///
/// # Panics
///
/// When a rule is broken.
pub fn conformance_segmented<T: Backend<Pieces> + ?Sized>(backend: &T) {
    all::<Pieces>(backend);
}

fn all<B: TestBuf>(backend: &(impl Backend<B> + ?Sized)) {
    rules::the_description_makes_sense(backend);
    rules::an_idle_queue_has_nothing_to_reap(backend);
    rules::extents_beyond_the_end_are_out_of_range(backend);
    rules::operations_that_were_not_announced_are_unsupported(backend);
    rules::a_read_touches_nothing_but_its_data(backend);
    rules::each_request_ends_once_with_all_that_it_came_with(backend);
    rules::a_full_queue_takes_more_after_a_reap(backend);
    if backend.info().read_only {
        return rules::changes_of_a_read_only_device_are_refused(backend);
    }
    rules::what_was_written_is_read_back(backend);
    rules::any_alignment_of_memory_will_do(backend);
    rules::a_request_without_sectors_changes_nothing(backend);
    rules::refused_requests_change_nothing(backend);
    rules::durable_writes_and_flushes_succeed(backend);
    rules::zeroed_sectors_read_as_zeros_and_their_neighbours_stay(backend);
    rules::queues_see_what_others_have_written(backend);
    rules::neighbours_written_at_the_same_time_do_not_disturb_each_other(backend);
    rules::random_requests_match_a_model(backend);
    rules::a_queue_may_be_dropped_with_requests_in_flight(backend);
}
