//! OpenWrt's `/etc/config/vblade`: a section `config vblade` for each disk, with the options shelf, slot, netif and device.

use super::classic::Classic;
use super::draft::{Disk, Draft};

/// The options that a disk cannot be without, and all that there are.
const REQUIRED: [&str; 4] = ["shelf", "slot", "netif", "device"];

/// A section that is being read.
struct Section {
    line: usize,
    options: Vec<(String, String)>,
}

/// Adds the disks of a file.
pub(super) fn read(file: &str, text: &str, draft: &mut Draft) {
    let mut section: Option<Section> = None;
    for (line, number) in text.lines().zip(1..) {
        let origin = format!("{file}:{number}");
        let Some(words) = shlex::split(line) else {
            draft.leave_out(&origin, &"a quote is not closed");
            continue;
        };
        match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [] | ["package", _] => {}
            ["config", "vblade"] | ["config", "vblade", _] => {
                add(file, section.replace(Section { line: number, options: Vec::new() }), draft);
            }
            ["config", kind, ..] => {
                add(file, section.take(), draft);
                draft.remark(&origin, &format_args!("section {kind:?} was left out: it is none of vblade's"));
            }
            ["option" | "list", name, value] => match &mut section {
                Some(section) => section.options.push((name.to_owned(), value.to_owned())),
                None => draft.remark(&origin, &format_args!("{name} was left out with its section")),
            },
            _ => draft.leave_out(&origin, &"no line of UCI"),
        }
    }
    add(file, section, draft);
}

fn add(file: &str, section: Option<Section>, draft: &mut Draft) {
    let Some(section) = section else { return };
    let origin = format!("{file}:{}", section.line);
    match disk(&origin, &section) {
        Ok(disk) => draft.add(disk),
        Err(why) => draft.leave_out(&origin, &why),
    }
}

fn disk(origin: &str, section: &Section) -> Result<Disk, String> {
    // Of an option that is given twice, the last counts.
    let value = |name: &str| {
        let option = section.options.iter().rfind(|(known, _)| known == name);
        option.map(|(_, value)| value.clone()).ok_or_else(|| format!("without {name}"))
    };
    let classic = Classic {
        shelf: value("shelf")?,
        slot: value("slot")?,
        netif: value("netif")?,
        filename: value("device")?,
        options: String::new(),
    };
    let mut disk = classic.disk(&origin)?;
    for (name, _) in section.options.iter().filter(|(name, _)| !REQUIRED.contains(&name.as_str())) {
        disk.remark(format_args!("{name} was left out: it has no counterpart"));
    }
    Ok(disk)
}
