//! Debian's `/etc/vblade.conf.d/*.conf`, see vblade-persistence(5): variables as a shell would assign them, one disk to a file.
//!
//! With systemd the variables are read and nothing is executed; so it is here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use shlex::Shlex;

use super::classic::Classic;
use super::draft::{Disk, Draft};

/// The variables that a disk cannot be without.
const REQUIRED: [&str; 4] = ["shelf", "slot", "netif", "filename"];

/// The variables of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Variables(BTreeMap<String, String>);

impl Variables {
    /// Reads assignments and comments. A value may be in quotes, which are taken off.
    ///
    /// # Errors
    ///
    /// What would take a shell, with its line.
    pub(in super::super) fn parse(text: &str) -> Result<Self, String> {
        let mut variables = BTreeMap::new();
        let mut words = Shlex::new(text);
        while let Some(word) = words.next() {
            let line = words.line_no;
            let Some((name, value)) = word.split_once('=').filter(|(name, _)| is_name(name)) else {
                return Err(format!("line {line}: {word:?} is not NAME=value, and no shell is run"));
            };
            if value.contains(['$', '`']) {
                return Err(format!("line {line}: {name} takes a shell to evaluate; give its value"));
            }
            variables.insert(name.to_owned(), value.to_owned());
        }
        if words.had_error {
            return Err("a quote is not closed".to_owned());
        }
        Ok(Self(variables))
    }

    /// The disk; `None` when no variable of one is set, as in a template.
    ///
    /// # Errors
    ///
    /// Which variables are missing.
    pub(in super::super) fn classic(&self) -> Result<Option<Classic>, String> {
        let value = |name| self.value(name).to_owned();
        let missing: Vec<_> = REQUIRED.into_iter().filter(|name| self.value(name).is_empty()).collect();
        match missing.len() {
            0 => Ok(Some(Classic {
                shelf: value("shelf"),
                slot: value("slot"),
                netif: value("netif"),
                filename: value("filename"),
                options: value("options"),
            })),
            4 => Ok(None),
            _ => Err(format!("not set: {}", missing.join(", "))),
        }
    }

    /// The value of a variable, empty where it is not set.
    pub(in super::super) fn value(&self, name: &str) -> &str {
        self.0.get(name).map(String::as_str).unwrap_or_default()
    }

    /// With names in lower case where none of ours is, and whether that changed any.
    fn in_lower_case(self) -> (Self, bool) {
        let has_capitals = |name: &String| name.chars().any(|c| c.is_ascii_uppercase());
        if REQUIRED.iter().any(|name| self.0.contains_key(*name)) || !self.0.keys().any(has_capitals) {
            return (self, false);
        }
        (Self(self.0.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect()), true)
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The files of Debian's directory by name.
pub(in super::super) fn files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let paths = fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    let hidden = |path: &Path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    let is_conf = |path: &PathBuf| path.extension().is_some_and(|end| end == "conf") && !hidden(path);
    let mut files: Vec<_> = paths.into_iter().filter(is_conf).collect();
    files.sort();
    Ok(files)
}

/// Adds the disk of a file.
pub(super) fn read(file: &str, text: &str, draft: &mut Draft) {
    match Variables::parse(text).and_then(|variables| disk(file, variables)) {
        Ok(Some(disk)) => draft.add(disk),
        Ok(None) => draft.remark(&file, &"no disk: shelf, slot, netif and filename are not set"),
        Err(why) => draft.leave_out(&file, &why),
    }
}

fn disk(file: &str, variables: Variables) -> Result<Option<Disk>, String> {
    let (variables, had_capitals) = variables.in_lower_case();
    let Some(classic) = variables.classic()? else { return Ok(None) };
    let mut disk = classic.disk(&file)?;
    if had_capitals {
        disk.remark(
            "variables in capitals, as vblade-persist-convert writes them; Debian's vblade does not serve this",
        );
    }
    for name in variables.0.keys().map(String::as_str) {
        match name {
            "options" => {}
            "ionice" => disk.remark(
                "ionice was left out, since one process serves all disks: see IOSchedulingClass= of systemd.exec(5)",
            ),
            name if REQUIRED.contains(&name) => {}
            name => disk.remark(format_args!("{name} was left out: vblade has no such variable")),
        }
    }
    Ok(Some(disk))
}
