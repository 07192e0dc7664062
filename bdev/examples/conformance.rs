//! Runs the conformance suite on a file or block device, whose content it destroys:
//! `cargo run -p bdev --example conformance -- [--direct] [--read-only] FILE`.

use std::process::ExitCode;

use bdev::testing::{conformance, conformance_segmented};
use bdev::{BlockingBackend, FileDisk, FileOptions, Inline, Pooled};

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let (flags, files): (Vec<_>, Vec<_>) = arguments.iter().partition(|argument| argument.starts_with("--"));
    let [file] = files[..] else {
        eprintln!("one file is needed; its content is lost");
        return ExitCode::from(2);
    };
    let has = |name| flags.iter().any(|flag| *flag == name);
    let options =
        FileOptions { direct: has("--direct"), read_only: has("--read-only"), ..FileOptions::new(file) };
    let open = || FileDisk::open(&options);
    let (inline, pooled) = match (open(), open()) {
        (Ok(inline), Ok(pooled)) => (Inline::new(inline), Pooled::new(pooled)),
        (Err(error), _) | (_, Err(error)) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    println!("{file}: {:?}", inline.disk().info());
    conformance(&inline);
    conformance_segmented(&inline);
    conformance(&pooled);
    conformance_segmented(&pooled);
    println!("{file}: conforms");
    ExitCode::SUCCESS
}
