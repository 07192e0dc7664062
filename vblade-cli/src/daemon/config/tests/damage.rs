//! Any bytes and any lines, of which nothing is asked but that reading ends well.

use std::path::Path;

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        let _ = Config::parse(Path::new("f"), bytes, &surroundings(Path::new("/nonexistent")));
    }

    /// The example with bytes replaced, inserted and cut.
    #[test]
    fn no_damage_to_a_file_makes_the_reader_panic(
        damage in prop::collection::vec((any::<prop::sample::Index>(), 0..4_usize, any::<u8>()), 1..6)
    ) {
        let mut bytes = include_bytes!("../../../../../contrib/vblade.toml").to_vec();
        for (at, cut, byte) in damage {
            let at = at.index(bytes.len());
            bytes.splice(at..bytes.len().min(at + cut), [byte]);
        }
        let _ = Config::parse(Path::new("f"), bytes, &surroundings(Path::new("/nonexistent")));
    }

    /// Keys and values of the right kind and of the wrong one, in any order and number.
    #[test]
    fn no_lines_make_the_reader_panic_and_each_mistake_has_a_place(
        lines in prop::collection::vec(prop::sample::select(&LINES[..]), 0..40)
    ) {
        let text = lines.join("\n");
        if let Err(mistakes) = parse(&text) {
            for mistake in mistakes.lines() {
                prop_assert!(mistake.starts_with("f:"), "{}", mistake);
            }
        }
    }
}

const LINES: [&str; 34] = [
    "[daemon]",
    "[defaults]",
    "[groups]",
    "[[export]]",
    "[export]",
    "export = 1",
    "a = '@b'",
    "b = ['@a', 'x', 1]",
    "b = '@b'",
    "address = '7.3'",
    "address = 7.3",
    "address = 'x'",
    "path = '/a'",
    "path = 'UUID=\u{e9}'",
    "path = 'aoe:e7.3@a'",
    "path = []",
    "interfaces = 'eth*'",
    "interfaces = ['eth[', '']",
    "interfaces = {}",
    "offset = 281474976710656",
    "offset = -1",
    "length = 0x10",
    "length = 1e3",
    "cache = 'none'",
    "cache = 'nnoe'",
    "read_only = true",
    "iops = 0",
    "bytes_per_second = '9G'",
    "serial = ''",
    "allow = ['@a', '@c']",
    "model = '\\u0000'",
    "deny = 1979-05-27",
    "x.y.z = 1",
    "\"\u{e9}\" = [[",
];
