//! What several tests need: files to try, and the log lines that a piece of code writes.

use std::fmt::{Debug, Write};
use std::fs::File;
use std::sync::{Arc, Mutex};

use bdev::FileOptions;
use tempfile::{Builder, TempDir};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// A directory on a file system with a disk below it, where direct I/O is the real thing.
pub(crate) fn directory() -> TempDir {
    Builder::new().prefix("bdev-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// A new file of `bytes` bytes, all of them a hole.
pub(crate) fn image(directory: &TempDir, bytes: u64) -> FileOptions {
    let path = directory.path().join("disk.img");
    File::create(&path).unwrap().set_len(bytes).unwrap();
    FileOptions::new(path)
}

/// The lines that `code` writes at the level of a warning or worse, in this thread: message, then fields as `name=value`.
pub(crate) fn logged(code: impl FnOnce()) -> Vec<String> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    tracing::subscriber::with_default(Lines(Arc::clone(&lines)), code);
    std::mem::take(&mut lines.lock().unwrap())
}

struct Lines(Arc<Mutex<Vec<String>>>);

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN
    }
    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        self.0.lock().unwrap().push(line.message + &line.fields);
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => write!(self.message, "{value:?}").unwrap(),
            name => write!(self.fields, " {name}={value:?}").unwrap(),
        }
    }
}
