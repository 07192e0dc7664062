//! `aoe read` and `aoe write`: sectors of a target to or from any file, as dd does.

use aoe_initiator::{Address, RemoteId};
use aoe_link::Link;
use bdev::SECTOR_SIZE;

use crate::cli::{Global, RangeArgs, ReadArgs, WriteArgs};
use crate::error::Error;
use crate::host::{Host, target};
use crate::progress::Progress;
use crate::range::Sectors;
use crate::transfer::{
    self, Account, Deed, FileSink, FileSource, Local, Mapping, Outcome, PipeEnd, PipeSink, PipeSource, Place,
    Sink, Source, Work,
};

pub(crate) fn read(args: &ReadArgs, global: &Global) -> Result<(), Error> {
    let address = target(&args.target)?;
    if args.file.as_os_str() == "-" && std::io::IsTerminal::is_terminal(&std::io::stdout()) {
        return Err(Error::Usage("standard output is a terminal; name a file, or give it a pipe".to_owned()));
    }
    let mut host = Host::open(global, &[])?;
    let remote = host.attach(address, transfer::options(&host))?;
    let range = choose(&args.range, transfer::size_of(&host, remote))?;

    let local = Local::output(&args.file)?;
    local.check_room(range.bytes())?;
    local.resize(range.bytes())?;
    let deed = if local.place.is_some() { Deed::Read } else { Deed::ReadToPipe };
    let mut sink: Box<dyn Sink> = match local.place {
        Some(_) => Box::new(FileSink::new(local.file, Mapping { lba: range.start, byte: 0 })),
        None => Box::new(PipeSink::new(local.file, range.start).map_err(Error::system("start a thread"))?),
    };
    let session = Session { address, remote, range, deed, local: &local.name, quiet: args.quiet };
    session.run(&mut host, Work::Read(&mut *sink)).map(|_| ())
}

pub(crate) fn write(args: &WriteArgs, global: &Global) -> Result<(), Error> {
    let address = target(&args.target)?;
    let local = Local::input(&args.file)?;
    let sectors = local.place.map(|place| whole_sectors(&local.name, place, args.pad)).transpose()?;

    let mut host = Host::open(global, &[])?;
    let remote = host.attach(address, transfer::options(&host))?;
    let range = match sectors {
        Some(sectors) => fit(&local.name, sectors, &args.range, address, transfer::size_of(&host, remote))?,
        None => choose(&args.range, transfer::size_of(&host, remote))?,
    };
    let mut source: Box<dyn Source> = match local.place {
        Some(place) => {
            let mapping = Mapping { lba: range.start, byte: place.position };
            Box::new(FileSource::new(local.file, mapping).padded_at(place.size))
        }
        None => {
            let end = PipeEnd { pad: args.pad, ignore_rest: args.range.length.is_some() };
            Box::new(PipeSource::new(local.file, range, end).map_err(Error::system("start a thread"))?)
        }
    };
    let session =
        Session { address, remote, range, deed: Deed::Write, local: &local.name, quiet: args.quiet };
    let outcome = session.run(&mut host, Work::Write(&mut *source))?;
    if args.range.length.is_some() && outcome.done < range.end {
        return Err(Error::Failed(format!(
            "{}: ended after {} of the {} sectors that --length asks for",
            local.name,
            outcome.done - range.start,
            range.count()
        )));
    }
    Ok(())
}

fn choose(args: &RangeArgs, size: u64) -> Result<Sectors, Error> {
    Sectors::choose(args.offset, args.length, size).map_err(|error| Error::Usage(error.to_string()))
}

/// Sectors from the position of a file on.
fn whole_sectors(name: &str, place: Place, pad: bool) -> Result<u64, Error> {
    let (whole, rest) = (place.left() / SECTOR_SIZE as u64, place.left() % SECTOR_SIZE as u64);
    match (whole, rest) {
        (0, 0) => Err(Error::Usage(format!("{name}: is empty; there is nothing to write"))),
        (_, 0) => Ok(whole),
        _ if pad => Ok(whole + 1),
        _ => Err(Error::Usage(format!(
            "{name}: its last {rest} bytes fill no sector of 512 bytes; --pad fills up with zeros"
        ))),
    }
}

/// Where on a target of `size` sectors the `sectors` of a file go.
fn fit(name: &str, sectors: u64, args: &RangeArgs, address: Address, size: u64) -> Result<Sectors, Error> {
    let room = choose(&RangeArgs { offset: args.offset, length: None }, size)?;
    let count = args.length.unwrap_or(sectors);
    if count > sectors {
        return Err(Error::Usage(format!(
            "--length {count}: {name} has {sectors} sectors; give no more than that"
        )));
    }
    if count > room.count() {
        return Err(Error::Usage(format!(
            "{name}: its {count} sectors do not fit: {address} has {size} sectors, {} of them from {} on; choose fewer by --length",
            room.count(),
            room.start
        )));
    }
    Ok(Sectors { end: room.start + count, ..room })
}

struct Session<'a> {
    address: Address,
    remote: RemoteId,
    range: Sectors,
    deed: Deed,
    local: &'a str,
    quiet: bool,
}

impl Session<'_> {
    fn run<L: Link>(&self, host: &mut Host<L>, work: Work<'_>) -> Result<Outcome, Error> {
        let is_write = matches!(work, Work::Write(_));
        let mut progress =
            Progress::new(if is_write { "write" } else { "read" }, Some(self.range.bytes()), self.quiet);
        let (driver, stop) = host.parts();
        let outcome = transfer::run(driver, self.remote, self.range, work, &mut progress, &stop);
        let elapsed = progress.elapsed();
        drop((progress, stop));
        let account = Account {
            deed: self.deed,
            address: self.address,
            local: self.local,
            range: self.range,
            quiet: self.quiet,
            down: &host.down(),
            resume: None,
        };
        transfer::conclude(&account, &outcome, elapsed)?;
        Ok(outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: Address = Address::new(7, 3);

    fn range(offset: u64, length: Option<u64>) -> RangeArgs {
        RangeArgs { offset, length }
    }

    fn place(size: u64) -> Place {
        Place { position: 0, size }
    }

    #[test]
    fn a_file_goes_where_the_offset_says() {
        assert_eq!(fit("f", 10, &range(4, None), ADDRESS, 20).ok(), Some(Sectors { start: 4, end: 14 }));
        assert_eq!(fit("f", 10, &range(4, Some(3)), ADDRESS, 20).ok(), Some(Sectors { start: 4, end: 7 }));
        assert_eq!(fit("f", 20, &range(0, None), ADDRESS, 20).ok(), Some(Sectors { start: 0, end: 20 }));
    }

    #[test]
    fn a_file_larger_than_the_room_at_the_target_is_refused() {
        let error = fit("disk.img", 17, &range(4, None), ADDRESS, 20).expect_err("too large");
        assert_eq!(error.exit_status(), 2);
        assert_eq!(
            error.to_string(),
            "disk.img: its 17 sectors do not fit: e7.3 has 20 sectors, 16 of them from 4 on; choose fewer by --length"
        );
        assert!(fit("f", 10, &range(0, Some(11)), ADDRESS, 20).is_err(), "more than the file has");
        assert!(fit("f", 10, &range(20, None), ADDRESS, 20).is_err(), "begins at the end");
    }

    #[test]
    fn a_last_sector_that_is_not_whole_needs_padding() {
        assert_eq!(whole_sectors("f", place(1024), false).ok(), Some(2));
        assert_eq!(whole_sectors("f", place(1025), true).ok(), Some(3));
        assert_eq!(whole_sectors("f", Place { position: 512, size: 1024 }, false).ok(), Some(1));
        let error = whole_sectors("f", place(1025), false).expect_err("not whole");
        assert!(error.exit_status() == 2 && error.to_string().contains("--pad"), "{error}");
        assert!(whole_sectors("f", place(0), true).is_err(), "nothing to write");
    }
}
