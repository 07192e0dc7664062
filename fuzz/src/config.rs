//! Any bytes, as the configuration of `vbladed`, and as that of the targets whose configurations it imports.
//!
//! Zero bytes, which are in no such file, divide the input into a main file and a drop-in, if there is one. Checked are:
//!
//! * a mistake is a line that names a file, a line and a column that there are;
//! * what is accepted has its numbers in range, no two exports at one address on one interface, and no two that write to the same sectors;
//! * what an import writes is accepted with every export that is meant to be in it, or refused for what is in a value: it is always TOML.

use glob::Pattern;
use vblade_cli::daemon::fuzz::{self, Export};

/// The names of the files.
const NAMES: [&str; 2] = ["main", "drop-in"];

/// Reads `bytes` as files.
///
/// # Panics
///
/// When something is wrong.
pub fn run(bytes: &[u8]) {
    let files: Vec<_> = NAMES.into_iter().zip(bytes.splitn(2, |byte| *byte == 0)).collect();
    let _ = read(&files);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for format in ["debian", "openwrt", "ggaoed", "vblade-persist", ""] {
        let Some(imported) = fuzz::import(format, "old", text) else {
            assert_eq!(format, "vblade-persist", "a text is not read as another format");
            continue;
        };
        for remark in &imported.remarks {
            assert!(is_line(remark), "{remark:?}");
        }
        assert!(!imported.left_out || !imported.remarks.is_empty(), "left out in silence");
        match read(&[("result", imported.text.as_bytes())]) {
            Ok(exports) => assert_eq!(exports.len(), imported.exports, "{}", imported.text),
            Err(mistakes) => {
                let is_of_toml = |line: &str| line.ends_with("; see https://toml.io");
                assert!(!mistakes.lines().any(is_of_toml), "{mistakes}\n{}", imported.text);
            }
        }
    }
}

/// Reads files, and judges what is made of them.
fn read(files: &[(&str, &[u8])]) -> Result<Vec<Export>, String> {
    let result = fuzz::config(files);
    match &result {
        Ok(exports) => judge(exports),
        Err(mistakes) => {
            assert!(!mistakes.is_empty());
            for mistake in mistakes.split('\n') {
                assert!(is_line(mistake), "{mistakes:?}");
                let (name, text) =
                    files.iter().find(|(name, _)| mistake.starts_with(&format!("{name}:"))).expect("a file");
                assert!(has_place(text, &mistake[name.len() + 1..]), "{mistake:?}");
            }
        }
    }
    result
}

fn is_line(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(char::is_control)
}

/// Whether `mistake` begins with a line and a column of `text`, or with what comes just after one, and goes on with what is wrong.
fn has_place(text: &[u8], mistake: &str) -> bool {
    let mut parts = mistake.splitn(3, ':');
    let mut number = || parts.next().and_then(|part| part.parse::<usize>().ok()).filter(|number| *number > 0);
    let (Some(line), Some(column)) = (number(), number()) else { return false };
    let Some(line) = text.split(|byte| *byte == b'\n').nth(line - 1) else { return false };
    let characters = line.iter().filter(|byte| **byte & 0xc0 != 0x80).count();
    column <= characters + 1 && parts.next().is_some_and(|what| what.len() > 1)
}

fn judge(exports: &[Export]) {
    for export in exports {
        let (address, (offset, length)) = (export.target.address, export.part);
        assert!(address.major < 0xffff && address.minor < 0xff, "{address} means more than one");
        assert!(offset <= 1 << 48 && length.is_none_or(|length| (1..=1 << 48).contains(&length)));
        assert!(export.target.buffer_count >= 2 && (1..=4096).contains(&export.queue_depth));
        assert!(!export.interfaces.is_empty() && !export.origin.is_empty());
        assert!(export.path.as_ref().is_none_or(|path| path.is_absolute()));
        for mac in export.target.allow.iter().chain(&export.target.deny) {
            assert!(!mac.is_multicast() && !mac.is_zero(), "{mac} is nobody's own");
        }
    }
    for (number, one) in exports.iter().enumerate() {
        for other in &exports[number + 1..] {
            assert!(one.target.address <= other.target.address, "by address");
            assert!(one.target.address != other.target.address || !meet(one, other), "{one:?}, {other:?}");
            assert!(!share(one, other), "{one:?}, {other:?}");
        }
    }
}

/// Whether a name is known that both could have. Those are tried that one of them gives for itself.
fn meet(one: &Export, other: &Export) -> bool {
    let names = one
        .interfaces
        .iter()
        .chain(&other.interfaces)
        .flat_map(|text| ["", "0", "eth0"].map(|any| text.replace('*', any).replace('?', "0")));
    let has = |export: &Export, name: &str| {
        let means = |text: &String| {
            let is_glob = text.contains(['*', '?', '[']);
            let glob = || Pattern::new(text).is_ok_and(|glob| glob.matches(name));
            if is_glob { name != "lo" && glob() } else { text == name }
        };
        export.interfaces.iter().any(means)
    };
    names.into_iter().any(|name| has(one, &name) && has(other, &name))
}

/// Whether both write to a sector of a file of one name.
fn share(one: &Export, other: &Export) -> bool {
    let end = |(offset, length): (u64, Option<u64>)| length.map_or(u64::MAX, |length| offset + length);
    let writes = |export: &Export| !export.read_only && !export.force;
    let overlap = one.part.0 < end(other.part) && other.part.0 < end(one.part);
    writes(one) && writes(other) && overlap && one.path.is_some() && one.path == other.path
}
