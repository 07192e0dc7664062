//! Random sequences of requests over every kind of stack, against a model; a failure is shrunk to the shortest sequence.

use bdev::testing::{Delay, Fault, Faults, Faulty, Reorder, Step, run_against_model};
use bdev::{AlignedBuf, FileDisk, FileOptions, Inline, MemDisk, Op, Pooled, Status};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::{directory, image};

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (lba, sectors) = (0_u64..96, 0_u32..20);
    let step = prop_oneof![
        6 => (lba.clone(), sectors.clone()).prop_map(|(lba, sectors)| Step::Read(lba, sectors)),
        6 => (lba.clone(), sectors.clone(), any::<bool>()).prop_map(|(lba, sectors, fua)| Step::Write(lba, sectors, fua)),
        1 => Just(Step::Flush),
        1 => (lba.clone(), sectors.clone()).prop_map(|(lba, sectors)| Step::Discard(lba, sectors)),
        1 => (lba, sectors).prop_map(|(lba, sectors)| Step::WriteZeroes(lba, sectors)),
        1 => Just(Step::Drain),
    ];
    vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn memory_matches_the_model_however_requests_are_shuffled(steps in steps(), seed: u64) {
        let disk = Reorder::new(Inline::new(MemDisk::new(128)), seed);
        prop_assert_eq!(run_against_model::<AlignedBuf>(&disk, &steps), 0);
        prop_assert_eq!(run_against_model::<Vec<u8>>(&Delay::for_reaps(disk, 2), &steps), 0);
    }

    #[test]
    fn files_match_the_model(steps in steps(), direct: bool, offset in 0_u64..9) {
        let directory = directory();
        let options = FileOptions { direct, offset, ..image(&directory, 512 * 140 + 77) };
        prop_assert_eq!(run_against_model::<AlignedBuf>(&Inline::new(FileDisk::open(&options).unwrap()), &steps), 0);
        let pooled = Pooled::new(FileDisk::open(&options).unwrap()).with_threads(3);
        prop_assert_eq!(run_against_model::<bdev::testing::Pieces>(&pooled, &steps), 0);
    }

    #[test]
    fn failed_requests_fail_alone(steps in steps(), seed: u64, nth in 1_u64..9) {
        let faults = Faults::default();
        faults.add(Fault::full().every(nth + 1));
        faults.add(Fault::status(Status::Media).only(Op::has_data).every(nth));
        let disk = Reorder::new(Faulty::new(Reorder::new(Pooled::new(MemDisk::new(128)), seed), &faults), !seed);
        let transfers = steps.iter().filter(|step| matches!(step, Step::Read(..) | Step::Write(..))).count();
        prop_assert_eq!(run_against_model::<AlignedBuf>(&disk, &steps), transfers / nth as usize);
    }
}
