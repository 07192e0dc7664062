//! The IDENTIFY page once more, word by word (ATA8-ACS §7.16).

use aoe_target::Identity;

use super::model::Rules;

/// The 512 bytes for a disk of the default names.
pub(super) fn identify(rules: &Rules, write_cache: bool) -> Vec<u8> {
    let mut words = [0_u16; 256];
    let trim = rules.discard && !rules.read_only;
    let lba28 = rules.sectors.min(0x0fff_ffff);
    let numbers = [
        (0, 0x0040),
        (1, (rules.sectors / 1008).clamp(1, 16383) as u16),
        (2, 0xc837),
        (3, 16),
        (6, 63),
        (47, 0x8000),
        (49, 0x0f00),
        (50, 0x4000),
        (53, 6),
        (60, lba28 as u16),
        (61, (lba28 >> 16) as u16),
        (63, 7),
        (64, 3),
        (65, 0x78),
        (66, 0x78),
        (67, 0x78),
        (68, 0x78),
        (69, if trim && rules.discard_zeroes { 0x4020 } else { 0 }),
        (80, 0x03f0),
        (82, 0x4028),
        (83, 0x7400),
        (84, 0x4040),
        (85, if write_cache { 0x4028 } else { 0x4008 }),
        (86, 0x3400),
        (87, 0x4040),
        (88, 0x3f),
        (100, rules.sectors as u16),
        (101, (rules.sectors >> 16) as u16),
        (102, (rules.sectors >> 32) as u16),
        (105, u16::from(trim)),
        (106, if rules.big_blocks { 0x6003 } else { 0x4000 }),
        (169, u16::from(trim)),
        (209, if rules.big_blocks { 0x4000 } else { 0 }),
        (217, 1),
    ];
    for (number, word) in numbers {
        words[number] = word;
    }
    let serial = format!("e{}.{}", rules.shelf, rules.slot);
    for (first, last, text) in
        [(10, 20, &serial[..]), (23, 27, Identity::FIRMWARE), (27, 47, Identity::MODEL)]
    {
        let padded = format!("{text:<40}");
        for (word, pair) in words[first..last].iter_mut().zip(padded.as_bytes().chunks(2)) {
            *word = u16::from_be_bytes([pair[0], pair[1]]);
        }
    }
    let mut page: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    page[510] = 0xa5;
    page[511] = page.iter().fold(0_u8, |sum, byte| sum.wrapping_sub(*byte));
    page
}
