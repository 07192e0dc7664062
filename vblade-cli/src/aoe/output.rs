//! Standard output: what scripts read.

use std::io::{self, Write};

use serde::Serialize;

use crate::error::Error;

/// Writes `bytes` now. A reader that went away is [`Error::Output`], which ends the program quietly.
pub(crate) fn write(bytes: &[u8]) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(Error::Output)
}

/// Writes `text` now.
pub(crate) fn print(text: &str) -> Result<(), Error> {
    write(text.as_bytes())
}

/// Writes `value` as JSON, over several lines.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Error> {
    emit(serde_json::to_string_pretty(value))
}

/// Writes `value` as JSON in one line.
pub(crate) fn json_line(value: &impl Serialize) -> Result<(), Error> {
    emit(serde_json::to_string(value))
}

fn emit(text: serde_json::Result<String>) -> Result<(), Error> {
    let text = text.map_err(|error| Error::Output(error.into()))?;
    print(&(text + "\n"))
}

/// Tells the person at the terminal something that is no data and no failure.
pub(crate) fn note(text: &str) {
    // Standard error may be closed; the command matters more.
    let _ = writeln!(io::stderr(), "aoe: {}", crate::text::one_line(text));
}
