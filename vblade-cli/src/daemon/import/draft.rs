//! A configuration as it is being made, and its text.

use std::fmt::{self, Display};

use toml::{Table, Value};

/// What was read so far.
#[derive(Debug, Default)]
pub(in super::super) struct Draft {
    groups: Vec<(String, Vec<String>)>,
    disks: Vec<Disk>,
    /// Remarks on no disk that is in the result.
    remarks: Vec<String>,
    /// Whether something was left out because it is damaged.
    pub(in super::super) left_out: bool,
}

/// An export.
#[derive(Debug)]
pub(super) struct Disk {
    /// Where it was read.
    origin: String,
    remarks: Vec<String>,
    keys: Vec<(&'static str, Value)>,
}

impl Draft {
    pub(super) fn add(&mut self, disk: Disk) {
        self.disks.push(disk);
    }

    pub(super) fn add_group(&mut self, name: &str, members: Vec<String>) {
        match self.groups.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => known.extend(members),
            None => self.groups.push((name.to_owned(), members)),
        }
    }

    pub(super) fn remark(&mut self, origin: &dyn Display, what: &dyn Display) {
        self.remarks.push(one_line(&format!("{origin}: {what}")));
    }

    /// Says that something is damaged and therefore not in the result.
    pub(super) fn leave_out(&mut self, origin: &dyn Display, why: &dyn Display) {
        self.left_out = true;
        self.remark(origin, &format_args!("left out: {why}"));
    }

    /// How many exports there are.
    pub(in super::super) fn count(&self) -> usize {
        self.disks.len()
    }

    /// All remarks, in a line each.
    pub(in super::super) fn remarks(&self) -> impl Iterator<Item = String> {
        let of_disks = self
            .disks
            .iter()
            .flat_map(|disk| disk.remarks.iter().map(move |remark| format!("{}: {remark}", disk.origin)));
        self.remarks.iter().cloned().chain(of_disks)
    }
}

impl Disk {
    pub(super) fn new(origin: &dyn Display) -> Self {
        Self { origin: one_line(&origin.to_string()), remarks: Vec::new(), keys: Vec::new() }
    }

    pub(super) fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        self.keys.push((key, value.into()));
    }

    pub(super) fn remark(&mut self, what: impl Display) {
        self.remarks.push(one_line(&what.to_string()));
    }
}

/// Numbers that TOML may have are below 2^63, as all of ours are.
pub(super) fn number(number: u64) -> Value {
    Value::Integer(number.try_into().unwrap_or(i64::MAX))
}

pub(super) fn list<T: Into<String>>(texts: impl IntoIterator<Item = T>) -> Value {
    Value::Array(texts.into_iter().map(|text| Value::String(text.into())).collect())
}

/// A comment ends where its line does.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() })
        .collect()
}

impl Display for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# Made by vbladed import. All keys: docs/config.md; what is wrong: vbladed check.")?;
        writeln!(
            f,
            "# Without cache = writes are durable before they are answered; cache = \"writeback\" is faster and does not promise that."
        )?;
        self.remarks.iter().try_for_each(|remark| writeln!(f, "# {remark}"))?;
        if !self.groups.is_empty() {
            writeln!(f, "\n[groups]")?;
        }
        for (name, members) in &self.groups {
            // The table knows how a key is quoted, which is not as a value is.
            write!(f, "{}", Table::from_iter([(name.clone(), list(members.iter().cloned()))]))?;
        }
        for disk in &self.disks {
            writeln!(f, "\n# {}", disk.origin)?;
            disk.remarks.iter().try_for_each(|remark| writeln!(f, "# {remark}"))?;
            writeln!(f, "[[export]]")?;
            disk.keys.iter().try_for_each(|(key, value)| writeln!(f, "{key} = {value}"))?;
        }
        Ok(())
    }
}
