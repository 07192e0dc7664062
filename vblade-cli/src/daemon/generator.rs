//! A generator, see systemd.generator(7): serves what is in Debian's `/etc/vblade.conf.d` by our `vblade`, with no file changed.
//!
//! For each disk it has the template unit `vblade@.service` started under the name of the file, as Debian's generator does, and adds to
//! it the command and what the sandbox of the unit must let through. What is damaged is told to the kernel's log, since no other is there
//! so early, and left out.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::import::{Classic, Variables, files, text};

/// What is read, and what is named in the units.
struct Paths<'a> {
    configuration: &'a Path,
    template: &'a Path,
    vblade: &'a Path,
}

/// Writes to the first of the three directories that systemd gives: the others are for units before and after those of the
/// administrator.
pub(crate) fn generate(dirs: &[PathBuf]) -> ExitCode {
    let paths = Paths {
        configuration: Path::new("/etc/vblade.conf.d"),
        template: Path::new("/usr/lib/systemd/system/vblade@.service"),
        vblade: Path::new("/usr/sbin/vblade"),
    };
    let mut log = log();
    let Some(dir) = dirs.first() else {
        tell(&mut *log, "no directory to write units to; see systemd.generator(7)");
        return ExitCode::from(2);
    };
    match paths.generate(dir, &mut *log) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&mut *log, &format!("{}: units cannot be written: {error}", dir.display()));
            ExitCode::FAILURE
        }
    }
}

/// The kernel's log for whom that is, else standard error.
fn log() -> Box<dyn Write> {
    // Only systemd sets this for generators; whoever tries one out wants to see what it says.
    let kernel =
        std::env::var_os("SYSTEMD_SCOPE").and_then(|_| OpenOptions::new().write(true).open("/dev/kmsg").ok());
    match kernel {
        Some(kernel) => Box::new(kernel),
        None => Box::new(io::stderr()),
    }
}

/// A line as of a program, and as a warning to the kernel.
fn tell(log: &mut dyn Write, what: &str) {
    let what: String = what.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    // Nobody is left to tell when this fails. The kernel takes a record in one write.
    let _ = log.write_all(format!("<4>vblade-generator: {what}\n").as_bytes());
}

impl Paths<'_> {
    /// Writes the units. What one file says does not hinder the others.
    fn generate(&self, dir: &Path, log: &mut dyn Write) -> io::Result<()> {
        let files = match files(self.configuration) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            files => files?,
        };
        for file in files {
            match self.unit(&file) {
                Ok(Some(unit)) => self.write(dir, &instance(&file), &unit)?,
                Ok(None) => {}
                Err(why) => tell(log, &format!("{}: left out: {why}", file.display())),
            }
        }
        Ok(())
    }

    /// What is added to the template for the disk of a file; `None` if it is of none.
    fn unit(&self, file: &Path) -> Result<Option<String>, String> {
        let variables = Variables::parse(&text(file).map_err(|error| error.to_string())?)?;
        let Some(classic) = variables.classic()? else { return Ok(None) };
        // What vblade refuses would be started again and again.
        classic.parse()?;
        let mut unit = format!(
            "# Made by vblade-generator.\n[Unit]\nSourcePath={}\n\n[Service]\nEnvironmentFile=\nExecStart=\nExecStart={}",
            specifiers(&file.to_string_lossy()),
            self.vblade.display()
        );
        for argument in classic.arguments() {
            // Writing to a String cannot fail.
            let _ = write!(unit, " {}", argument_of_unit(&argument));
        }
        unit.push('\n');
        unit.push_str(&reachable(&classic));
        unit.push_str(&io_class(variables.value("ionice"))?);
        Ok(Some(unit))
    }

    fn write(&self, dir: &Path, instance: &str, unit: &str) -> io::Result<()> {
        let name = format!("vblade@{instance}.service");
        // As of Debian's generator: to start or stop vblade.service is to start or stop them all.
        let (wants, own) = (dir.join("vblade.service.wants"), dir.join(format!("{name}.d")));
        fs::create_dir_all(&wants)?;
        fs::create_dir_all(&own)?;
        fs::write(own.join("50-vblade.conf.d.conf"), unit)?;
        match symlink(self.template, wants.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        }
    }
}

/// The sandbox of the template hides homes and temporary files, and protects the rest.
fn reachable(classic: &Classic) -> String {
    let path = classic.path();
    let below = |dirs: &[&str]| dirs.iter().any(|dir| Path::new(&path).starts_with(dir));
    if !path.starts_with('/') || below(&["/dev"]) {
        return String::new();
    }
    let mut lines = String::new();
    if below(&["/home", "/root", "/run/user"]) {
        lines.push_str("ProtectHome=read-only\n");
    }
    if below(&["/tmp", "/var/tmp"]) {
        lines.push_str("PrivateTmp=no\n");
    }
    let _ = writeln!(lines, "ReadWritePaths={}", quoted(&format!("-{path}")));
    lines
}

/// The options of ionice(1) as settings of systemd.exec(5).
fn io_class(ionice: &str) -> Result<String, String> {
    let not_known =
        |word: &str| format!("ionice: {word:?} is not known; give -c and a class, -n and a level");
    let mut lines = String::new();
    let mut words = ionice.split_whitespace();
    while let Some(word) = words.next() {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name, Some(value)),
            _ if word.len() > 2 && !word.starts_with("--") && word.is_ascii() => {
                (&word[..2], Some(&word[2..]))
            }
            _ => (word, None),
        };
        if matches!(name, "-t" | "--ignore") {
            continue;
        }
        let value = value.or_else(|| words.next()).ok_or_else(|| not_known(word))?;
        let setting = match name {
            "-c" | "--class"
                if ["0", "1", "2", "3", "none", "best-effort", "realtime", "idle"].contains(&value) =>
            {
                "IOSchedulingClass"
            }
            "-n" | "--classdata" if value.len() == 1 && ("0"..="7").contains(&value) => {
                "IOSchedulingPriority"
            }
            _ => return Err(not_known(word)),
        };
        let _ = writeln!(lines, "{setting}={value}");
    }
    Ok(lines)
}

/// The name of the instance: that of the file, as systemd-escape(1) has it.
fn instance(file: &Path) -> String {
    let name = file.file_stem().unwrap_or_default().as_encoded_bytes();
    let mut escaped = String::with_capacity(name.len());
    for (at, byte) in name.iter().enumerate() {
        match byte {
            b'.' if at == 0 => escaped.push_str("\\x2e"),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b':' | b'_' | b'.' => escaped.push(char::from(*byte)),
            byte => {
                let _ = write!(escaped, "\\x{byte:02x}");
            }
        }
    }
    escaped
}

fn specifiers(text: &str) -> String {
    text.replace('%', "%%")
}

/// One word, whatever is in it: quotes and escapes of systemd.syntax(7).
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in specifiers(text).chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_ascii_control() => {
                let _ = write!(quoted, "\\x{:02x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// In a command, a dollar sign is doubled besides.
fn argument_of_unit(text: &str) -> String {
    quoted(text).replace('$', "$$")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// What is generated of `files`: paths and contents, and what is told.
    fn generate(files: &[(&str, &str)]) -> (BTreeMap<String, String>, String) {
        let (conf, units) =
            (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
        for (name, text) in files {
            fs::write(conf.path().join(name), text).expect("a file");
        }
        let paths = Paths {
            configuration: conf.path(),
            template: Path::new("/lib/vblade@.service"),
            vblade: Path::new("/sbin/vblade"),
        };
        let mut log = Vec::new();
        for _ in 0..2 {
            log.clear();
            paths.generate(units.path(), &mut log).expect("units, the second time, too");
        }
        let mut found = BTreeMap::new();
        for dir in fs::read_dir(units.path()).expect("a directory").flatten() {
            for file in fs::read_dir(dir.path()).expect("a directory").flatten() {
                let path = file.path();
                let content = match fs::read_link(&path) {
                    Ok(target) => target.to_string_lossy().into_owned(),
                    Err(_) => fs::read_to_string(&path)
                        .expect("a text")
                        .replace(&conf.path().display().to_string(), "/conf"),
                };
                let name = path.strip_prefix(units.path()).expect("below").to_string_lossy().into_owned();
                found.insert(name, content);
            }
        }
        (found, String::from_utf8(log).expect("UTF-8"))
    }

    #[test]
    fn a_disk_is_an_instance_of_the_template_with_its_command() {
        let (units, log) = generate(&[(
            "web-1.conf",
            "shelf=7\nslot=3\nnetif=eth0\nfilename='/srv/50% \"a\"$x'\noptions='-r -b 32'\nionice='-c2 -n7'\n",
        )]);
        // A dollar sign takes a shell to be sure of.
        assert!(
            units.is_empty() && log.starts_with("<4>vblade-generator: ") && log.contains("takes a shell"),
            "{log}"
        );

        let (units, log) = generate(&[(
            "web-1.conf",
            "shelf=7\nslot=3\nnetif=eth0\nfilename='/srv/50% \"a\"'\noptions='-r -b 32'\nionice='-c2 --classdata 7'\n",
        )]);
        assert_eq!(log, "");
        assert_eq!(units.len(), 2);
        assert_eq!(units["vblade.service.wants/vblade@web\\x2d1.service"], "/lib/vblade@.service");
        assert_eq!(
            units["vblade@web\\x2d1.service.d/50-vblade.conf.d.conf"],
            "# Made by vblade-generator.\n[Unit]\nSourcePath=/conf/web-1.conf\n\n[Service]\nEnvironmentFile=\nExecStart=\n\
             ExecStart=/sbin/vblade \"-r\" \"-b\" \"32\" \"--\" \"7\" \"3\" \"eth0\" \"/srv/50%% \\\"a\\\"\"\n\
             ReadWritePaths=\"-/srv/50%% \\\"a\\\"\"\nIOSchedulingClass=2\nIOSchedulingPriority=7\n"
        );
    }

    #[test]
    fn what_is_damaged_is_told_and_does_not_hinder_the_others() {
        let disk = |slot: u8| format!("shelf=7\nslot={slot}\nnetif=eth0\nfilename=/dev/sdb\n");
        let (units, log) = generate(&[
            ("a.conf", "shelf=7\n"),
            ("b.conf", "# nothing\n"),
            ("c.conf", "shelf=7\nslot=300\nnetif=eth0\nfilename=/dev/sdb\n"),
            ("d.conf", "if true\n"),
            ("e.conf", &format!("{}ionice=fast\n", disk(1))),
            ("f.conf", &disk(2)),
            ("g", &disk(3)),
        ]);
        assert_eq!(units.keys().filter(|name| name.starts_with("vblade.service.wants/")).count(), 1);
        assert!(!units["vblade@f.service.d/50-vblade.conf.d.conf"].contains("ReadWritePaths"), "a device");
        assert_eq!(log.lines().count(), 4, "{log}");
        for said in [
            "a.conf: left out: not set: slot",
            "c.conf: left out: slot \"300\"",
            "d.conf: left out: line 1",
            "e.conf: left out: ionice",
        ] {
            assert!(log.contains(said), "{said}: {log}");
        }
    }

    #[test]
    fn files_that_the_template_would_hide_are_let_through() {
        let unit = |path: &str| {
            let (units, _) =
                generate(&[("a.conf", &format!("shelf=7\nslot=3\nnetif=eth0\nfilename={path}\n"))]);
            units["vblade@a.service.d/50-vblade.conf.d.conf"].clone()
        };
        assert!(
            unit("/home/me/disk").ends_with("\nProtectHome=read-only\nReadWritePaths=\"-/home/me/disk\"\n")
        );
        assert!(unit("/var/tmp/disk").ends_with("\nPrivateTmp=no\nReadWritePaths=\"-/var/tmp/disk\"\n"));
        assert!(unit("disk").ends_with(" \"/disk\"\nReadWritePaths=\"-/disk\"\n"));
    }

    #[test]
    fn a_host_without_debians_directory_has_nothing_to_serve() {
        let dir = tempfile::tempdir().expect("a directory");
        let missing = dir.path().join("missing");
        let paths = Paths { configuration: &missing, template: &missing, vblade: &missing };
        let mut log = Vec::new();
        paths.generate(dir.path(), &mut log).expect("nothing to do");
        assert!(log.is_empty() && fs::read_dir(dir.path()).expect("a directory").next().is_none());
    }
}
