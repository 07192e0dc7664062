//! Whole scenarios from seeds: nothing that was acknowledged is lost, and every protection is missed when it is gone.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bdev::Extent;
use sim::scenario::{
    Cache, Deed, DiskPlan, HostPlan, Mutation, Op, Plan, Segment, Step, Tally, UserPlan, report, run, shrink,
};
use sim::{Weather, seeds};

/// Seeds that are the same at each run.
const FIXED: u64 = 120;

/// Seeds that no run had before.
const FRESH: u64 = 40;

/// Fails with all there is to know when something is broken.
fn pass(seed: u64, total: &mut Tally) {
    let plan = Plan::generate(seed);
    let outcome = run(&plan, None);
    total.add(&outcome.tally);
    if let Some(broken) = outcome.broken {
        panic!("{}", report(&plan, None, &broken));
    }
}

#[test]
fn nothing_acknowledged_is_lost_whatever_breaks() {
    let mut total = Tally::default();
    seeds(FIXED).for_each(|seed| pass(seed, &mut total));
    println!("{total}");
}

#[test]
fn nor_with_seeds_that_nobody_has_tried() {
    let first = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64);
    let mut total = Tally::default();
    (first..first + FRESH).for_each(|seed| pass(seed, &mut total));
    println!("{total}");
}

#[test]
fn a_seed_is_the_same_history_each_time() {
    for seed in [3, 74] {
        let plan = Plan::generate(seed);
        let [one, two] = [0; 2].map(|_| run(&plan, None));
        assert_eq!((one.digest, &one.tally), (two.digest, &two.tally));
        assert_eq!(format!("{plan}"), format!("{}", Plan::generate(seed)));
    }
}

/// Runs the fixed seeds without a protection until it is missed.
fn is_missed(mutation: Mutation, symptoms: &[&str]) {
    let missed =
        (1..=FIXED).find_map(|seed| Some((seed, run(&Plan::generate(seed), Some(mutation)).broken?)));
    let (seed, broken) = missed.unwrap_or_else(|| panic!("nobody misses {mutation:?}"));
    println!("{mutation:?}: seed {seed}: {broken}");
    assert!(symptoms.iter().any(|symptom| broken.contains(symptom)), "{broken}");
}

#[test]
fn without_order_among_overlapping_requests_old_data_is_read() {
    is_missed(Mutation::OverlapOrder, &["and may be of", "and should be of"]);
}

#[test]
fn without_order_of_flushes_what_was_flushed_is_lost() {
    is_missed(Mutation::FlushOrder, &["a flush that came later was answered before it"]);
}

#[test]
fn without_the_rule_for_late_frames_newer_data_is_overwritten() {
    is_missed(Mutation::LateFrames, &["and should be of"]);
}

#[test]
fn with_too_small_a_margin_for_late_frames_writes_are_never_answered() {
    is_missed(Mutation::LateMargin, &["and never answered", "was answered before an earlier write"]);
}

#[test]
fn without_order_of_settings_they_change_before_earlier_writes_have_ended() {
    is_missed(Mutation::ChangeOrder, &["a change of settings was answered before an earlier write"]);
}

#[test]
fn without_memory_of_a_failed_flush_later_ones_promise_what_is_lost() {
    is_missed(Mutation::FailedFlush, &["a flush was answered well after one had failed"]);
}

#[test]
fn without_durable_replies_power_cuts_lose_what_was_acknowledged() {
    is_missed(Mutation::DurableReply, &["and may be of", "and should be of"]);
}

#[test]
fn without_whole_state_files_power_cuts_lose_settings() {
    is_missed(Mutation::AtomicStateFile, &["the state file is", "was confirmed, and after a restart"]);
}

#[test]
fn without_the_mask_check_strangers_are_served() {
    is_missed(Mutation::MaskCheck, &["masked out by"]);
}

/// One target on two links, the second of which it reads late, and an initiator that writes the same sector again and again: what
/// waits there was sent again by the first link, answered, and overwritten.
fn overtaken(late: Duration) -> Plan {
    let ms = Duration::from_millis;
    let links = vec![0, 1];
    let write = |number: u32| Step {
        at: ms(1_000) + ms(50) * number,
        deed: Deed::Ask { user: 0, disk: 0, op: Op::Write(Extent::new(3, 1), false) },
    };
    let mut steps: Vec<_> = (0..5).map(write).collect();
    steps.insert(0, Step { at: ms(990), deed: Deed::Unread(0, 1, late) });
    Plan {
        seed: 1,
        segments: vec![Segment { requests: Weather::NONE, replies: Weather::NONE }; 2],
        hosts: vec![HostPlan { links: links.clone(), mtu: 1500 }],
        disks: vec![DiskPlan {
            host: 0,
            cache: Cache::Writethrough,
            latency: (Duration::ZERO, Duration::ZERO),
            depth: 16,
            discards: None,
        }],
        users: vec![UserPlan { linux: None, links, mtu: 1500 }],
        steps,
        length: ms(4_000),
    }
}

#[test]
fn a_link_that_is_read_late_undoes_nothing_thanks_to_the_rule_for_late_frames() {
    for late in [350, 500, 650, 800, 950] {
        let plan = overtaken(Duration::from_millis(late));
        assert_eq!(run(&plan, None).broken, None, "{late} ms");
        assert!(run(&plan, Some(Mutation::LateFrames)).broken.is_some(), "{late} ms: the rule is not needed");
    }
}

#[test]
fn a_plan_that_fails_is_shrunk_to_few_steps_that_fail() {
    let failing = |seed: &u64| run(&Plan::generate(*seed), Some(Mutation::MaskCheck)).broken.is_some();
    let seed = (1..=FIXED).find(failing).expect("a seed that misses the check");
    let plan = Plan::generate(seed);
    let short = shrink(&plan, Some(Mutation::MaskCheck));
    assert!(short.steps.len() <= 6, "{short}");
    let broken = run(&short, Some(Mutation::MaskCheck)).broken.unwrap_or_default();
    assert!(broken.contains("masked out by"), "another violation than that of the whole plan: {broken}");
    let text = report(&plan, Some(Mutation::MaskCheck), "wrong");
    assert!(text.contains(&format!("\nagain: ./x sim --seed {seed} --mutation MaskCheck\n")), "{text}");
}
