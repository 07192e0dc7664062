//! A cable that loses frames, for `kernel-faults.sh`: `cable INTERFACE INTERFACE LOSS` carries AoE frames between two
//! interfaces and loses LOSS of a thousand, in each direction, until it is killed. Every second it prints what it has done.

use std::env;
use std::thread::sleep;
use std::time::Duration;

use e2e::wire::{Weather, Wire};

fn main() {
    let words: Vec<String> = env::args().skip(1).collect();
    let [one, other, loss] = &words[..] else { panic!("usage: cable INTERFACE INTERFACE LOSS") };
    let weather = Weather { loss: loss.parse().expect("frames of a thousand"), ..Weather::default() };
    let wire = Wire::between([one, other], weather, 73);
    loop {
        sleep(Duration::from_secs(1));
        let counts = wire.counts();
        println!("{} frames carried, {} lost, {} refused", counts.taken, counts.lost, counts.refused);
    }
}
