//! Runs scenarios from seeds, as many as wanted: `./x sim --seeds N [--seed S] [--mutation NAME]`.
//!
//! `--seed S` alone runs that one and prints its plan; with `--seeds N` it is the first of N. A seed that fails is printed as the line that
//! runs it again, with the shortest plan found that fails, and ends the program with status 1.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use sim::scenario::{Mutation, Plan, Tally, report, run};

const USAGE: &str = "usage: sim [--seeds N] [--seed S] [--mutation NAME]";

struct Options {
    first: u64,
    count: u64,
    /// Print the plan.
    single: bool,
    mutation: Option<Mutation>,
}

fn options(arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let (mut seed, mut seeds, mut mutation) = (None, None, None);
    let mut arguments = arguments;
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or(format!("{name} needs a value; {USAGE}"))?;
        let number = || value.parse::<u64>().map_err(|_| format!("{name} {value}: give a number"));
        match name.as_str() {
            "--seed" => seed = Some(number()?),
            "--seeds" => seeds = Some(number()?),
            "--mutation" => {
                let known = Mutation::ALL.into_iter().find(|known| format!("{known:?}") == value);
                mutation = Some(known.ok_or(format!("{value}: the mutations are {:?}", Mutation::ALL))?);
            }
            _ => return Err(format!("{name} is unknown; {USAGE}")),
        }
    }
    // Each run tries others, and says which.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs() << 20);
    let count = seeds.unwrap_or(if seed.is_some() { 1 } else { 1000 });
    Ok(Options { first: seed.unwrap_or(now), count, single: seeds.is_none() && seed.is_some(), mutation })
}

fn main() -> ExitCode {
    let options = match options(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("sim: {error}");
            return ExitCode::from(2);
        }
    };
    if options.single {
        print!("{}", Plan::generate(options.first));
    }
    println!("seeds {} to {}", options.first, options.first.wrapping_add(options.count).wrapping_sub(1));
    let started = Instant::now();
    let (next, failed) = (AtomicU64::new(0), AtomicBool::new(false));
    let total = Mutex::new(Tally::default());
    let work = || {
        while !failed.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= options.count {
                return;
            }
            let seed = options.first.wrapping_add(number);
            let plan = Plan::generate(seed);
            let outcome = run(&plan, options.mutation);
            if let Ok(mut total) = total.lock() {
                total.add(&outcome.tally);
            }
            if let Some(broken) = outcome.broken
                && !failed.swap(true, Ordering::Relaxed)
            {
                println!("{}", report(&plan, options.mutation, &broken));
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    if let Ok(total) = total.lock() {
        print!("{total}");
    }
    println!("{:.1} s", started.elapsed().as_secs_f64());
    match failed.load(Ordering::Relaxed) {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}
