//! Writes the seeds of `seeds/` from the captured frames of `aoe-wire/tests/data`: `cargo run --example seeds`.
//!
//! * `seeds/parse`: each frame as it is.
//! * `seeds/identify`: the page of each IDENTIFY reply.
//! * `seeds/engine`: for each file a session in which its requests arrive, readdressed to the target of the sessions, e7.3, and with
//!   sectors folded into its small disk.
//!
//! The other files there, named by their hashes, are what fuzzing found to reach most: the corpora, minimised (`-set_cover_merge=1`;
//! of `engine` those of 512 bytes at most). A change of how a session is read makes them others, and they are found anew.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// Where the target of the sessions is, and how large its disk.
const TARGET: [u8; 6] = [2, 0, 0, 0, 7, 3];
const SECTORS: u64 = 160;

fn main() -> io::Result<()> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<PathBuf> = fs::read_dir(here.join("../aoe-wire/tests/data"))?
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<_>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "hex"));
    files.sort();
    let seeds = here.join("seeds");
    for folder in ["parse", "identify", "engine"] {
        fs::create_dir_all(seeds.join(folder))?;
    }
    for file in files {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let frames = frames(&fs::read_to_string(&file)?);
        let mut session = Vec::new();
        for (number, frame) in frames.iter().enumerate() {
            fs::write(seeds.join(format!("parse/{name}-{number}")), frame)?;
            let is_reply = frame[14] & 8 != 0;
            if is_reply && is_identify(frame) {
                fs::write(seeds.join(format!("identify/{name}-{number}")), &frame[36..548])?;
            }
            if !is_reply {
                session.push(readdressed(frame));
            }
        }
        fs::write(seeds.join(format!("engine/{name}")), fuzz::engine::script(&session))?;
    }
    Ok(())
}

/// The frames of a file: blocks of hexadecimal digits after a line with `=`, in which `ed*1024` is 1024 times ed.
fn frames(text: &str) -> Vec<Vec<u8>> {
    let blocks = text.split("\n\n").filter(|block| block.contains("\n= "));
    let lines =
        |block: &str| block.lines().filter(|line| !line.starts_with(['#', '='])).flat_map(bytes).collect();
    blocks.map(lines).collect()
}

fn bytes(line: &str) -> Vec<u8> {
    let token = |token: &str| {
        let (digits, times) = token.split_once('*').unwrap_or((token, "1"));
        let pairs = digits.as_bytes().chunks(2).filter_map(|pair| std::str::from_utf8(pair).ok());
        let unit: Vec<u8> = pairs.filter_map(|pair| u8::from_str_radix(pair, 16).ok()).collect();
        unit.repeat(times.parse().unwrap_or(1))
    };
    line.split_whitespace().flat_map(token).collect()
}

/// A good reply of 548 bytes that begins as such pages do.
fn is_identify(frame: &[u8]) -> bool {
    frame.len() >= 548
        && frame[19] == 0
        && frame[27] & 1 == 0
        && frame[28..31] == [0; 3]
        && frame[130..132] == [0, 0x80]
}

fn readdressed(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    if frame[..6] != [0xff; 6] {
        frame[..6].copy_from_slice(&TARGET);
    }
    if frame[16..19] != [0xff; 3] {
        frame[16..19].copy_from_slice(&[0, 7, 3]);
    }
    if frame[19] == 0 && frame.len() >= 36 && frame[27] != 0xb0 {
        let lba = frame[28..31].iter().rev().fold(0, |lba, byte| lba << 8 | u64::from(*byte));
        frame[28] = (lba % SECTORS) as u8;
        frame[29..31].fill(0);
    }
    frame
}
