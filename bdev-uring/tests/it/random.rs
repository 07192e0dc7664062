//! Random sequences of requests, many in flight, against a model; a failure is shrunk to the shortest sequence.

use bdev::testing::{Pieces, Step, run_against_model};
use bdev::{AlignedBuf, FileOptions};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::{directory, image, open};

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
    fn files_match_the_model(steps in steps(), direct: bool, offset in 0_u64..9) {
        let directory = directory();
        let disk = open(&FileOptions { direct, offset, ..image(&directory, 512 * 140 + 77) });
        prop_assert_eq!(run_against_model::<AlignedBuf>(&disk, &steps), 0);
        prop_assert_eq!(run_against_model::<Vec<u8>>(&disk, &steps), 0, "memory of any alignment");
        prop_assert_eq!(run_against_model::<Pieces>(&disk, &steps), 0, "memory in pieces");
    }
}
