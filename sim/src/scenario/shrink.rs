//! From a long plan that fails to a short one: [`shrink`].

use super::plan::{Mutation, Plan};
use super::run::run;

/// Plans that are tried at most.
const TRIES: u32 = 400;

/// What a violation is, without who and where: its words that are not numbers, up to the request.
fn kind(broken: &str) -> Vec<&str> {
    let what = broken.split("Asked").next().unwrap_or_default();
    what.split_whitespace().filter(|word| !word.contains(|letter: char| letter.is_ascii_digit())).collect()
}

/// Leaves out of a plan that breaks something what it breaks the same kind of thing without: half of its steps, a quarter, and so on down to single ones.
#[must_use]
pub fn shrink(plan: &Plan, mutation: Option<Mutation>) -> Plan {
    let mut best = plan.clone();
    let broken = run(plan, mutation).broken.unwrap_or_default();
    let mut tries = 0;
    let mut chunk = best.steps.len().div_ceil(2);
    while chunk > 0 && tries < TRIES {
        let mut at = 0;
        let mut left_out = false;
        while at < best.steps.len() && tries < TRIES {
            let mut shorter = best.clone();
            shorter.steps.drain(at..(at + chunk).min(best.steps.len()));
            tries += 1;
            if run(&shorter, mutation).broken.is_some_and(|other| kind(&other) == kind(&broken)) {
                (best, left_out) = (shorter, true);
            } else {
                at += chunk;
            }
        }
        if !left_out || chunk > 1 {
            chunk /= 2;
        }
    }
    best
}

/// What to read of a seed that fails: what is broken, the line that runs it again, the shortest plan found that fails, and its last frames.
#[must_use]
pub fn report(plan: &Plan, mutation: Option<Mutation>, broken: &str) -> String {
    let mutation_flag = mutation.map(|mutation| format!(" --mutation {mutation:?}")).unwrap_or_default();
    let short = shrink(plan, mutation);
    let outcome = run(&short, mutation);
    let last = outcome.broken.unwrap_or_default();
    format!(
        "{broken}\nagain: ./x sim --seed {}{mutation_flag}\nshrunk from {} to {} steps:\n{short}{}\n{last}",
        plan.seed,
        plan.steps.len(),
        short.steps.len(),
        outcome.frames,
    )
}
