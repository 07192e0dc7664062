//! The directories of vblade-persist: one for each disk, with `env/SHELF`, `env/SLOT`, `env/NETIF` and `env/SOURCE`, a file for each
//! initiator in `macs`, and `down` where the disk is not served at boot.

use std::path::{Path, PathBuf};
use std::{fs, io};

use super::classic::Classic;
use super::draft::{Disk, Draft};
use super::text;

/// The files in `env` that say what is served.
const REQUIRED: [&str; 4] = ["SHELF", "SLOT", "NETIF", "SOURCE"];

/// Adds the disk of the directory, or those of the directories in it.
pub(super) fn read(dir: &Path, draft: &mut Draft) -> io::Result<()> {
    if dir.join("env").is_dir() {
        add(dir, draft);
        return Ok(());
    }
    let disks: Vec<_> = sorted(dir)?.into_iter().filter(|path| path.is_dir()).collect();
    if disks.is_empty() {
        return Err(io::Error::other("no directory of vblade-persist, and no file of Debian's vblade in it"));
    }
    disks.iter().for_each(|disk| add(disk, draft));
    Ok(())
}

fn add(dir: &Path, draft: &mut Draft) {
    let origin = dir.display();
    match disk(dir) {
        Ok(_) if dir.join("down").exists() => draft.remark(
            &origin,
            &"not served at boot (noauto) and therefore left out; to take it over: vblade-persist auto",
        ),
        Ok(disk) => draft.add(disk),
        Err(why) => draft.leave_out(&origin, &why),
    }
}

fn disk(dir: &Path) -> Result<Disk, String> {
    let env = dir.join("env");
    let value = |name: &str| {
        let text = text(&env.join(name)).map_err(|error| format!("env/{name}: {error}"))?;
        Ok::<_, String>(text.lines().next().unwrap_or_default().trim().to_owned())
    };
    let macs = names(&dir.join("macs"));
    let classic = Classic {
        shelf: value("SHELF")?,
        slot: value("SLOT")?,
        netif: value("NETIF")?,
        filename: value("SOURCE")?,
        options: if macs.is_empty() { String::new() } else { format!("-m {}", macs.join(",")) },
    };
    let mut disk = classic.disk(&dir.display())?;
    for name in names(&env).iter().filter(|name| !REQUIRED.contains(&name.as_str())) {
        disk.remark(format_args!("env/{name} was left out: it has no counterpart"));
    }
    Ok(disk)
}

/// The names of the files in a directory that are not hidden; none where it is missing.
fn names(dir: &Path) -> Vec<String> {
    let files = sorted(dir).unwrap_or_default();
    let names = files.iter().filter_map(|file| Some(file.file_name()?.to_string_lossy().into_owned()));
    names.filter(|name| !name.starts_with('.')).collect()
}

fn sorted(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}
