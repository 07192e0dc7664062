//! From files to a configuration: the main file, and those of the drop-in directory `conf.d` beside it, in order of their names.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::DeTable;

use super::conflict::{self, Written};
use super::export::check_defaults;
use super::files::{self, Disk};
use super::groups::Groups;
use super::mistake::{Lines, Mistake, Mistakes, Place};
use super::section::{Section, Text};
use super::{Config, Daemon, Export};

/// The most bytes that a file may have: some 100,000 exports.
const LARGEST: u64 = 16 << 20;

/// What the meaning of a configuration depends on besides its files.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    /// This host's name, for serial numbers.
    pub(crate) host: String,
    /// The file ethers(5).
    pub(crate) ethers: PathBuf,
    /// What is at a path.
    pub(crate) look: fn(&Path) -> Option<Disk>,
}

impl Surroundings {
    /// Those of this host.
    pub(crate) fn ours() -> Self {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Self { host, ethers: "/etc/ethers".into(), look: files::look }
    }
}

impl Config {
    /// Reads `file` and the directory `conf.d` beside it. Interfaces and disks are not looked for, but that two names are of one file
    /// is seen where it is there.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, at once.
    pub(crate) fn load(file: &Path) -> Result<Self, Mistakes> {
        Self::load_with(file, None)
    }

    /// The same with one more text, as if it were a file called so in `conf.d`.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, at once.
    pub(crate) fn load_with(file: &Path, more: Option<(&Path, Vec<u8>)>) -> Result<Self, Mistakes> {
        let mut mistakes = Vec::new();
        let mut texts = Vec::new();
        let mut files = vec![file.to_owned()];
        match drop_ins(&file.with_file_name("conf.d")) {
            Ok(more) => files.extend(more),
            Err((dir, error)) => mistakes.push(unreadable(&Place::of_file(1, &dir), &error)),
        }
        for (number, file) in files.iter().enumerate() {
            let place = Place::of_file(number, file);
            match read(file) {
                Ok(bytes) => texts.extend(decode(place, bytes, &mut mistakes)),
                Err(error) => mistakes.push(unreadable(&place, &error)),
            }
        }
        if let Some((name, bytes)) = more {
            texts.extend(decode(Place::of_file(files.len(), name), bytes, &mut mistakes));
        }
        Self::of(&texts, &Surroundings::ours(), mistakes)
    }

    /// Reads one text as a main file that is called `name`.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, at once.
    pub(crate) fn parse(name: &Path, text: Vec<u8>, surroundings: &Surroundings) -> Result<Self, Mistakes> {
        Self::parse_all([(name, text)], surroundings)
    }

    /// Reads texts with the names of their files, of which the first is the main file.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, at once.
    pub(in crate::daemon) fn parse_all<'n>(
        files: impl IntoIterator<Item = (&'n Path, Vec<u8>)>,
        surroundings: &Surroundings,
    ) -> Result<Self, Mistakes> {
        let mut mistakes = Vec::new();
        let mut texts = Vec::new();
        for (number, (name, text)) in files.into_iter().enumerate() {
            texts.extend(decode(Place::of_file(number, name), text, &mut mistakes));
        }
        Self::of(&texts, surroundings, mistakes)
    }

    /// Reads the texts, of which the first is that of the main file.
    fn of(texts: &[Text], surroundings: &Surroundings, mut mistakes: Vec<Mistake>) -> Result<Self, Mistakes> {
        let tables: Vec<_> = texts.iter().map(parse_toml).collect();
        let files: Vec<_> = texts.iter().zip(&tables).map(|(text, table)| File::read(text, table)).collect();
        let daemon =
            files.first().and_then(|file| file.daemon.as_ref()).map(Daemon::read).unwrap_or_default();
        let groups: Vec<_> = files.iter().filter_map(|file| file.groups.as_ref()).cloned().collect();
        let groups = Groups::read(&groups, &surroundings.ethers);
        let defaults = files.first().and_then(|file| file.defaults.as_ref());
        if let Some(defaults) = defaults {
            check_defaults(defaults, &groups);
        }
        let mut written = Vec::new();
        for section in files.iter().flat_map(|file| &file.exports) {
            let section = section.clone().with_defaults(defaults);
            let read = Export::read(&section, &groups, &surroundings.host);
            written.extend(read.map(|(export, address, path)| Written { export, address, path }));
        }
        conflict::find(&written, surroundings.look, &mut mistakes);
        for text in texts {
            mistakes.append(&mut text.mistakes.borrow_mut());
        }
        if let Some(mistakes) = Mistakes::sorted(mistakes) {
            return Err(mistakes);
        }
        let mut exports: Vec<_> = written.into_iter().map(|written| written.export).collect();
        exports.sort_by_key(|export| export.target.address);
        Ok(Self { daemon, exports })
    }
}

/// The sections of a file.
struct File<'t> {
    daemon: Option<Section<'t>>,
    defaults: Option<Section<'t>>,
    groups: Option<Section<'t>>,
    exports: Vec<Section<'t>>,
}

impl<'t> File<'t> {
    fn read(text: &'t Text, table: &'t Spanned<DeTable<'t>>) -> Self {
        let top = Section::new(text, table);
        let section = |name| top.entry(name).and_then(|entry| Section::of(&entry));
        let groups = section("groups");
        let exports = top.entry("export").map(|entry| entry.tables()).unwrap_or_default();
        let (daemon, defaults) = if text.file.is_main() {
            (section("daemon"), section("defaults"))
        } else {
            for name in ["daemon", "defaults"] {
                if let Some(entry) = top.entry(name) {
                    text.wrong(
                        &entry.key_span,
                        format!("[{name}] holds for all files; move it to the main file"),
                    );
                }
            }
            (None, None)
        };
        top.refuse_others();
        Self { daemon, defaults, groups, exports }
    }
}

/// The table of a text, as far as it is one.
fn parse_toml(text: &Text) -> Spanned<DeTable<'_>> {
    let (table, errors) = DeTable::parse_recoverable(&text.text);
    for error in errors {
        let what = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
        text.not_toml(&error.span().unwrap_or(0..0), &what);
    }
    table
}

/// The files of the drop-in directory by name. There need not be one.
fn drop_ins(dir: &Path) -> Result<Vec<PathBuf>, (PathBuf, std::io::Error)> {
    let failed = |error| (dir.to_owned(), error);
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        // What editors leave behind begins with a dot, or has another ending.
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if path.extension().is_some_and(|extension| extension == "toml") && !hidden {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read(file: &Path) -> std::io::Result<Vec<u8>> {
    // A pipe would make us wait.
    if !fs::metadata(file)?.is_file() {
        return Err(std::io::Error::other("not a regular file"));
    }
    let mut bytes = Vec::new();
    fs::File::open(file)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(std::io::Error::other("larger than 16 MiB"));
    }
    Ok(bytes)
}

fn unreadable(place: &Place, error: &std::io::Error) -> Mistake {
    Mistake::new(place.clone(), format!("cannot be read: {error}; name a file that can, or remove it"))
}

/// The text of a file; `None`, with a mistake, where it is none.
fn decode(place: Place, bytes: Vec<u8>, mistakes: &mut Vec<Mistake>) -> Option<Text> {
    match String::from_utf8(bytes) {
        Ok(text) => Some(Text::new(place, text)),
        Err(error) => {
            let end = error.utf8_error().valid_up_to();
            let place = place.at(Lines::of(error.as_bytes()).position(error.as_bytes(), end));
            mistakes.push(Mistake::new(place, "not UTF-8; save the file in that encoding"));
            None
        }
    }
}
