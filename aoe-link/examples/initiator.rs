//! A small AoE initiator: what the codec and a link need to use a disk that another machine serves.
//!
//! ```text
//! initiator NETIF discover            every target on the segment
//! initiator NETIF identify e7.3       what the disk says of itself
//! initiator NETIF write    e7.3 FILE  the file to the disk's first sectors
//! initiator NETIF read     e7.3 FILE  as many sectors back into the file, which gives the length
//! ```
//!
//! A window of requests is outstanding; what is not answered in time is sent again, as AoE asks of its initiators.

use std::collections::{BTreeMap, VecDeque};
use std::error::Error;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use aoe_l2::{Frame, Link};
use aoe_link::{PnetLink, PnetOptions};
use aoe_wire::{
    AFlags, Address, Arg, AtaArg, AtaCommand, ConfigCommand, IdentifyDevice, Lba, MacAddr, Packet,
    RequestHeader, SECTOR, Tag, build_ata, build_config, show,
};
use bdev::IoBuf;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const WINDOW: usize = 16;
const PATIENCE: Duration = Duration::from_millis(200);
const TRIES: u32 = 25;

fn main() -> Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        [netif, "discover"] => discover(&mut Host::open(netif)?),
        [netif, "identify", target] => identify(&mut Host::open(netif)?, target.parse()?),
        [netif, "write", target, file] => write(&mut Host::open(netif)?, target.parse()?, &fs::read(file)?),
        [netif, "read", target, file] => {
            let len = usize::try_from(fs::metadata(file)?.len())?;
            fs::write(file, read(&mut Host::open(netif)?, target.parse()?, len)?)?;
            Ok(())
        }
        _ => Err("usage: initiator NETIF discover | identify e7.3 | write e7.3 FILE | read e7.3 FILE".into()),
    }
}

fn discover(host: &mut Host) -> Result<()> {
    let query = host.request(Request::Config, MacAddr::BROADCAST, Address::WILDCARD, 0)?;
    host.link.send(&mut VecDeque::from([query]))?;
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        host.receive(|reply| {
            println!("{}", show(reply));
            Ok(())
        })?;
    }
    Ok(())
}

fn identify(host: &mut Host, target: Address) -> Result<()> {
    let arg = AtaArg::request(AtaCommand::IDENTIFY_DEVICE, AFlags(0), Lba::ZERO, 1);
    let mac = host.find(target)?.mac;
    host.run(mac, target, &[Request::Ata(arg, &[])], |_, data| {
        let page = IdentifyDevice::parse(data)?;
        println!("model {}, serial {}, firmware {}", page.model(), page.serial(), page.firmware());
        println!("{} sectors of 512 bytes, checksum valid: {}", page.capacity(), page.is_checksum_valid());
        Ok(())
    })
}

fn write(host: &mut Host, target: Address, data: &[u8]) -> Result<()> {
    let found = host.find(target)?;
    let per_request = usize::from(found.sectors) * SECTOR;
    let requests: Vec<_> = (0..)
        .zip(data.chunks(per_request))
        .map(|(n, chunk)| {
            Ok(Request::Ata(
                transfer(AtaCommand::WRITE_SECTORS_EXT, AFlags::WRITE, n, found.sectors, chunk.len())?,
                chunk,
            ))
        })
        .collect::<Result<_>>()?;
    host.run(found.mac, target, &requests, |_, _| Ok(()))
}

fn read(host: &mut Host, target: Address, len: usize) -> Result<Vec<u8>> {
    let found = host.find(target)?;
    let per_request = usize::from(found.sectors) * SECTOR;
    let mut data = vec![0; len];
    let requests: Vec<_> = (0..)
        .zip(data.chunks(per_request))
        .map(|(n, chunk)| {
            Ok(Request::Ata(
                transfer(AtaCommand::READ_SECTORS_EXT, AFlags(0), n, found.sectors, chunk.len())?,
                &[],
            ))
        })
        .collect::<Result<_>>()?;
    host.run(found.mac, target, &requests, |number, bytes| {
        let chunk = data.chunks_mut(per_request).nth(number).ok_or("a reply to no request")?;
        chunk.copy_from_slice(bytes.get(..chunk.len()).ok_or("a short reply")?);
        Ok(())
    })?;
    Ok(data)
}

/// The registers for transfer number `n` of `len` bytes, when each takes `sectors`.
fn transfer(command: AtaCommand, direction: AFlags, n: u64, sectors: u8, len: usize) -> Result<AtaArg> {
    let lba = Lba::from_lba48(n * u64::from(sectors)).ok_or("beyond 48 bits")?;
    if !len.is_multiple_of(SECTOR) {
        return Err("the file is not made of whole sectors of 512 bytes".into());
    }
    Ok(AtaArg::request(command, AFlags(AFlags::EXTENDED.0 | direction.0), lba, u8::try_from(len / SECTOR)?))
}

#[derive(Clone, Copy)]
enum Request<'a> {
    Config,
    Ata(AtaArg, &'a [u8]),
}

struct Found {
    mac: MacAddr,
    sectors: u8,
}

struct Host {
    link: PnetLink,
    rx: Vec<<PnetLink as Link>::Frame>,
}

impl Host {
    fn open(netif: &str) -> Result<Self> {
        Ok(Self { link: PnetLink::open(netif, PnetOptions::default())?, rx: Vec::new() })
    }

    /// Where a target is, and how much it takes at once.
    fn find(&mut self, target: Address) -> Result<Found> {
        for _ in 0..TRIES {
            let query = self.request(Request::Config, MacAddr::BROADCAST, target, 0)?;
            self.link.send(&mut VecDeque::from([query]))?;
            let until = Instant::now() + PATIENCE;
            while Instant::now() < until {
                let mut found = None;
                self.receive(|reply| {
                    if let Ok(Packet { eth, aoe, arg: Arg::Config(config, _) }) = Packet::parse(reply)
                        && aoe.address() == target
                    {
                        found = Some(Found { mac: eth.src, sectors: config.info().sector_count.max(1) });
                    }
                    Ok(())
                })?;
                if let Some(found) = found {
                    return Ok(found);
                }
            }
        }
        Err(format!("{target} does not answer").into())
    }

    /// Runs every request, with a window outstanding; `done` gets the number and the data of each, in any order.
    fn run(
        &mut self,
        mac: MacAddr,
        target: Address,
        requests: &[Request<'_>],
        mut done: impl FnMut(usize, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut waiting = BTreeMap::<u32, (Instant, u32)>::new();
        let mut next = 0;
        let mut tx = VecDeque::new();
        while next < requests.len() || !waiting.is_empty() {
            while waiting.len() < WINDOW && next < requests.len() {
                let tag = u32::try_from(next)?;
                tx.push_back(self.request(requests[next], mac, target, tag)?);
                waiting.insert(tag, (Instant::now(), 1));
                next += 1;
            }
            for (tag, (sent, tries)) in &mut waiting {
                if sent.elapsed() < PATIENCE * *tries {
                    continue;
                }
                if *tries == TRIES {
                    return Err(format!("{target} does not answer any more").into());
                }
                (*sent, *tries) = (Instant::now(), *tries + 1);
                tx.push_back(self.request(requests[*tag as usize], mac, target, *tag)?);
            }
            self.link.send(&mut tx)?;
            self.receive(|reply| {
                let Ok(Packet { aoe, arg: Arg::Ata(arg, data), .. }) = Packet::parse(reply) else {
                    return Ok(());
                };
                let tag = aoe.tag.to_u32();
                if aoe.address() != target || waiting.remove(&tag).is_none() {
                    return Ok(());
                }
                if aoe.ver_flags.is_error() || arg.status().is_failure() {
                    return Err(show(reply).to_string().into());
                }
                done(tag as usize, data)
            })?;
        }
        Ok(())
    }

    fn request(
        &mut self,
        what: Request<'_>,
        dst: MacAddr,
        address: Address,
        tag: u32,
    ) -> Result<<PnetLink as Link>::Frame> {
        let src = self.link.info().mac;
        let mut frame = self.link.alloc().ok_or("no free frame")?;
        frame.set_len(Frame::capacity(&frame));
        let header = RequestHeader { dst, src, address, tag: Tag::from_u32(tag) };
        let len = match what {
            Request::Config => build_config(frame.bytes_mut(), header, ConfigCommand::READ, &[])?,
            Request::Ata(arg, data) => build_ata(frame.bytes_mut(), header, arg, data)?,
        };
        frame.set_len(len);
        Ok(frame)
    }

    /// Hands every reply that has arrived to `each`, or waits a moment when there is none.
    fn receive(&mut self, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut rx = std::mem::take(&mut self.rx);
        self.link.recv(&mut rx)?;
        if rx.is_empty() {
            thread::sleep(Duration::from_micros(200));
        }
        let is_reply = |bytes: &[u8]| {
            Packet::parse_headers(bytes).is_ok_and(|packet| packet.aoe.ver_flags.is_response())
        };
        let result =
            rx.iter().filter(|frame| is_reply(frame.bytes())).try_for_each(|frame| each(frame.bytes()));
        rx.drain(..).for_each(|frame| self.link.recycle(frame));
        self.rx = rx;
        result
    }
}
