//! `aoe copy`: an image onto a target, or a target into an image.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};

use aoe_initiator::{Address, RemoteId};
use aoe_link::Link;
use bdev::SECTOR_SIZE;
use rustix::fs::{Advice, fadvise};

use crate::cli::{CopyArgs, Global, LinkKind};
use crate::error::Error;
use crate::host::{Host, target};
use crate::output::note;
use crate::progress::Progress;
use crate::range::Sectors;
use crate::transfer::{
    self, Account, Compare, Deed, FileSink, FileSource, Local, LocalError, Mapping, Outcome, Stop, Work,
};

/// Which way.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Plan {
    ToTarget { file: PathBuf, address: Address },
    FromTarget { address: Address, file: PathBuf },
}

pub(crate) fn run(args: &CopyArgs, global: &Global) -> Result<(), Error> {
    match plan(&args.source, &args.destination)? {
        Plan::ToTarget { file, address } => to_target(args, global, &file, address),
        Plan::FromTarget { address, file } => from_target(args, global, address, &file),
    }
}

fn plan(source: &OsStr, destination: &OsStr) -> Result<Plan, Error> {
    match (named_target(source)?, named_target(destination)?) {
        (None, Some(address)) => Ok(Plan::ToTarget { file: source.into(), address }),
        (Some(address), None) => Ok(Plan::FromTarget { address, file: destination.into() }),
        (Some(_), Some(_)) => Err(Error::Usage(
            "source and destination are both targets; copy to a file first, or write ./ before a file of such a name".to_owned(),
        )),
        (None, None) => Err(Error::Usage("neither source nor destination is a target, such as e7.3".to_owned())),
    }
}

/// The address, if `name` looks like one.
fn named_target(name: &OsStr) -> Result<Option<Address>, Error> {
    let Some(text) = name.to_str().filter(|text| text.parse::<Address>().is_ok()) else { return Ok(None) };
    target(text).map(Some)
}

fn to_target(args: &CopyArgs, global: &Global, path: &Path, address: Address) -> Result<(), Error> {
    let local = seekable(Local::input(path)?)?;
    let size = local.place.map_or(0, |place| place.size);
    let rest = size % SECTOR_SIZE as u64;
    if rest > 0 {
        return Err(Error::Usage(format!(
            "{}: its last {rest} bytes fill no sector of 512 bytes; make it longer, or use aoe write --pad",
            local.name
        )));
    }
    let range = choose(args, &local.name, size / SECTOR_SIZE as u64)?;

    let mut host = Host::open(global, &[])?;
    let remote = host.attach(address, transfer::options(&host))?;
    let room = transfer::size_of(&host, remote);
    if range.end > room {
        return Err(Error::Usage(format!(
            "{}: reaches to sector {}, and {address} has only {room} sectors; choose fewer by --length",
            local.name,
            range.end - 1
        )));
    }
    let file = again(&local)?;
    let job = Job { args, global, address, remote, range, local: &local.name };
    job.copy(&mut host, Work::Write(&mut FileSource::new(local.file, Mapping::SAME)))?;
    job.verify(&mut host, file)
}

fn from_target(args: &CopyArgs, global: &Global, address: Address, path: &Path) -> Result<(), Error> {
    let mut host = Host::open(global, &[])?;
    let remote = host.attach(address, transfer::options(&host))?;
    let range = choose(args, &address.to_string(), transfer::size_of(&host, remote))?;

    let is_new = !path.exists();
    let local = seekable(Local::output(path)?)?;
    let end = range.end.saturating_mul(SECTOR_SIZE as u64);
    local.check_room(end)?;
    let size = local.place.map_or(0, |place| place.size);
    // A part of a disk goes into its place in an image that may have more.
    let is_whole = args.range.offset == 0 && args.range.length.is_none();
    local.resize(if is_whole { end } else { end.max(size) })?;
    if is_new {
        sync_directory(path);
    }

    let file = again(&local)?;
    let job = Job { args, global, address, remote, range, local: &local.name };
    job.copy(&mut host, Work::Read(&mut FileSink::new(local.file, Mapping::SAME)))?;
    let now = transfer::size_of(&host, remote);
    if now > range.end && args.range.length.is_none() {
        note(&format!(
            "{address}: has grown to {now} sectors meanwhile; copy the rest with: {}",
            command(args, global, range.end)
        ));
    }
    job.verify(&mut host, file)
}

fn choose(args: &CopyArgs, name: &str, sectors: u64) -> Result<Sectors, Error> {
    Sectors::choose(args.range.offset, args.range.length, sectors)
        .map_err(|error| Error::Usage(format!("{name}: {error}")))
}

fn seekable(local: Local) -> Result<Local, Error> {
    if local.place.is_some() {
        return Ok(local);
    }
    Err(Error::Usage(format!(
        "{}: is no file or block device; aoe read and aoe write take pipes",
        local.name
    )))
}

/// A second handle, for the comparison.
fn again(local: &Local) -> Result<File, Error> {
    local.file.try_clone().map_err(Error::system("open the file again"))
}

/// Makes the name of a new file durable. Where that cannot be, the file system does it in its own time.
fn sync_directory(path: &Path) {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let _ = File::open(directory).and_then(|directory| directory.sync_all());
}

struct Job<'a> {
    args: &'a CopyArgs,
    global: &'a Global,
    address: Address,
    remote: RemoteId,
    range: Sectors,
    local: &'a str,
}

impl Job<'_> {
    fn copy<L: Link>(&self, host: &mut Host<L>, work: Work<'_>) -> Result<(), Error> {
        let deed = if matches!(work, Work::Write(_)) { Deed::CopyToTarget } else { Deed::CopyFromTarget };
        let resume = |lba| command(self.args, self.global, lba);
        let (outcome, elapsed) = self.transfer(host, "copy", work);
        let down = host.down();
        let account = Account { resume: Some(&resume), ..self.account(deed, &down) };
        transfer::conclude(&account, &outcome, elapsed)
    }

    fn verify<L: Link>(&self, host: &mut Host<L>, file: File) -> Result<(), Error> {
        if !self.args.verify {
            return Ok(());
        }
        // What was written is to be read from where it is kept. The system may refuse, which is no harm.
        let _ = fadvise(&file, 0, None, Advice::DontNeed);
        let mut compare = Compare::new(file, Mapping::SAME);
        let (mut outcome, elapsed) = self.transfer(host, "verify", Work::Read(&mut compare));
        if let Some(lba) = compare.first_difference() {
            outcome.stop = Some(Stop::Local(LocalError::Differs { lba }));
        }
        if let Some(stop @ Stop::Local(LocalError::Differs { .. })) = &outcome.stop {
            return Err(Error::Failed(format!("{} and {}: {stop}", self.address, self.local)));
        }
        transfer::conclude(&self.account(Deed::Verify, &host.down()), &outcome, elapsed)
    }

    fn account<'a>(&'a self, deed: Deed, down: &'a [&'a str]) -> Account<'a> {
        let quiet = self.args.quiet;
        Account {
            deed,
            address: self.address,
            local: self.local,
            range: self.range,
            quiet,
            down,
            resume: None,
        }
    }

    fn transfer<L: Link>(
        &self,
        host: &mut Host<L>,
        what: &str,
        work: Work<'_>,
    ) -> (Outcome, std::time::Duration) {
        let mut progress = Progress::new(what, Some(self.range.bytes()), self.args.quiet);
        let (driver, stop) = host.parts();
        let outcome = transfer::run(driver, self.remote, self.range, work, &mut progress, &stop);
        (outcome, progress.elapsed())
    }
}

/// The command line that goes on from sector `lba`.
fn command(args: &CopyArgs, global: &Global, lba: u64) -> String {
    let mut words = vec!["aoe".to_owned()];
    for netif in &global.interfaces {
        words.extend(["-i".to_owned(), quoted(netif)]);
    }
    if let Some(timeout) = global.timeout {
        words.extend(["--timeout".to_owned(), timeout.as_secs_f64().to_string()]);
    }
    if global.link != LinkKind::Auto {
        words.extend(["--link".to_owned(), aoe_link::LinkKind::from(global.link).to_string()]);
    }
    words.push("copy".to_owned());
    words.extend(
        [(args.verify, "--verify"), (args.quiet, "--quiet")]
            .into_iter()
            .filter(|(is_set, _)| *is_set)
            .map(|(_, word)| word.to_owned()),
    );
    words.extend([&args.source, &args.destination].map(|name| quoted(&name.to_string_lossy())));
    words.extend(["--offset".to_owned(), lba.to_string()]);
    if let Some(length) = args.range.length {
        let end = args.range.offset.saturating_add(length);
        words.extend(["--length".to_owned(), end.saturating_sub(lba).to_string()]);
    }
    words.join(" ")
}

/// A word as a shell takes it for one.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,+@%=".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cli::RangeArgs;

    fn args(source: &str, destination: &str) -> CopyArgs {
        CopyArgs {
            source: source.into(),
            destination: destination.into(),
            range: RangeArgs { offset: 8, length: None },
            verify: false,
            quiet: false,
        }
    }

    const PLAIN: Global = Global { interfaces: Vec::new(), timeout: None, link: LinkKind::Auto };

    #[test]
    fn one_of_both_is_a_target() {
        let plan = |source: &str, destination: &str| plan(source.as_ref(), destination.as_ref());
        let address = Address::new(7, 3);
        assert_eq!(plan("disk.img", "e7.3").ok(), Some(Plan::ToTarget { file: "disk.img".into(), address }));
        assert_eq!(plan("e7.3", "./e7.3").ok(), Some(Plan::FromTarget { address, file: "./e7.3".into() }));
        for (source, destination) in [("e7.3", "e7.4"), ("a", "b"), ("e7.255", "disk.img")] {
            assert_eq!(
                plan(source, destination).expect_err("no plan").exit_status(),
                2,
                "{source} {destination}"
            );
        }
    }

    #[test]
    fn the_command_that_goes_on_is_the_one_that_was_typed_from_another_sector() {
        assert_eq!(command(&args("disk.img", "e7.3"), &PLAIN, 99), "aoe copy disk.img e7.3 --offset 99");
        let args = CopyArgs {
            range: RangeArgs { offset: 8, length: Some(100) },
            verify: true,
            quiet: true,
            ..args("e7.3", "it's here.img")
        };
        let global = Global {
            interfaces: vec!["eth0".into(), "eth1".into()],
            timeout: Some(Duration::from_millis(2500)),
            link: LinkKind::Packet,
        };
        assert_eq!(
            command(&args, &global, 58),
            r"aoe -i eth0 -i eth1 --timeout 2.5 --link packet copy --verify --quiet e7.3 'it'\''s here.img' --offset 58 --length 50"
        );
    }

    #[test]
    fn a_pipe_is_not_copied() {
        let null = Local::output(Path::new("/dev/null")).expect("a device");
        let error = seekable(null).expect_err("no position");
        assert!(error.exit_status() == 2 && error.to_string().contains("aoe read"), "{error}");
    }
}
