//! How a session is read from the fuzzer's bytes: eight bytes of setup, then one step after the other, each from the front, so that a
//! changed byte changes one step.

use arbitrary::{Arbitrary, Result, Unstructured};

use super::{Body, DiskSetup, Layer, Mac, Mangle, Place, Request, Session, Setup, Stamp, Step};

/// The most steps of a session: the server answers 2,000 wildcard requests a second, and a session takes less than one.
const MAX_STEPS: usize = 400;
/// The longest raw frame: MTU 9000.
const MAX_RAW: usize = 9014;

impl<'a> Arbitrary<'a> for Session {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let setup = Setup::arbitrary(u)?;
        let mut steps = Vec::new();
        while !u.is_empty() && steps.len() < MAX_STEPS {
            match Step::arbitrary(u) {
                Ok(step) => steps.push(step),
                Err(_) => break,
            }
        }
        Ok(Self { setup, steps })
    }
}

impl<'a> Arbitrary<'a> for Setup {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let (sizes, flags, bad, rare): (u8, u8, u8, u8) = u.arbitrary()?;
        let disk = DiskSetup {
            sectors: 40 + u64::from(sizes >> 4) * 9,
            read_only: flags & 0x0f == 0x0f,
            discard: flags & 0x10 == 0,
            discard_zeroes: flags & 0x20 == 0,
            big_blocks: flags & 0x40 != 0,
            bad_read: (bad & 3 == 3).then_some(u64::from(bad >> 4)),
            bad_write: (bad & 12 == 12).then_some(u64::from(bad >> 4) + 3),
            flush_fails: if rare & 3 == 3 { u64::from(rare >> 4) } else { 0 },
            full_every: if rare & 12 == 12 { u64::from(rare >> 4) } else { 0 },
            layers: [u.arbitrary::<u8>()?, u.arbitrary::<u8>()?].map(layer),
            depth: u.arbitrary::<u8>()?.into(),
        };
        let shape: u8 = u.arbitrary()?;
        Ok(Self {
            mtu: mtu(sizes),
            links: 1 + usize::from(shape & 1),
            timed: shape & 4 == 0,
            targets: 1 + usize::from(shape >> 1 & 1),
            write_cache: shape & 8 != 0,
            sector_align: shape & 16 != 0,
            allow: if shape >> 5 == 7 { 2 } else { 0 },
            disk,
        })
    }
}

fn mtu(byte: u8) -> u32 {
    // 1046: advertises one sector and carries two. 534: the least that carries one, and no more.
    [1500, 9000, 1500, 4118, 1046, 534, 1500, 600][usize::from(byte & 7)]
}

/// Around the margin of rule 5 (10 ms), and the second for which writes are remembered.
fn stamp(kind: u8) -> Stamp {
    [
        Stamp::After(0),
        Stamp::After(1),
        Stamp::After(10),
        Stamp::After(1_001),
        Stamp::Before(9),
        Stamp::Before(10),
        Stamp::Before(500),
        Stamp::Unknown,
    ][usize::from(kind >> 4 & 7)]
}

fn layer(byte: u8) -> Option<Layer> {
    match byte & 3 {
        0 => None,
        1 => Some(Layer::Reorder((byte >> 2).into())),
        2 => Some(Layer::Gate),
        _ => Some(Layer::Delay((byte >> 5).into())),
    }
}

impl<'a> Arbitrary<'a> for Step {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let kind: u8 = u.arbitrary()?;
        let link = usize::from(kind >> 7);
        Ok(match kind & 0x0f {
            0..8 => Self::Request(Request::arbitrary(u, link, stamp(kind))?),
            8 | 9 => Self::Turn(1 + usize::from(kind >> 4 & 3)),
            10 | 11 => Self::Repeat {
                link,
                stamp: stamp(kind),
                back: u.arbitrary::<u8>()?.into(),
                same_tag: kind & 1 != 0,
            },
            12 => Self::Release(1 + usize::from(kind >> 4 & 7)),
            13 => {
                // Mostly short, so that random bytes are more than one frame.
                let len = usize::from(u.arbitrary::<u16>()?);
                let len = if len > MAX_RAW { len & 0x3f } else { len };
                Self::Raw { link, stamp: stamp(kind), bytes: u.bytes(len.min(u.len()))?.to_vec() }
            }
            14 => Self::Jam { link, frames: usize::from(kind >> 4 & 7) },
            _ => Self::Change { link, mtu: mtu(kind >> 4) },
        })
    }
}

impl Request {
    fn arbitrary(u: &mut Unstructured<'_>, link: usize, stamp: Stamp) -> Result<Self> {
        let (who, odd): (u8, u8) = u.arbitrary()?;
        let mut request = Self {
            link,
            stamp,
            from: host(who),
            to: if who & 8 == 0 { Mac::Own } else { Mac::Broadcast },
            address: [(7, 3), (7, 3), (7, 4), (7, 3)][usize::from(who >> 4 & 3)],
            ver_flags: 0x10,
            error: 0,
            body: Body::arbitrary(u)?,
            mangle: Mangle::None,
        };
        if who & 0xc0 != 0 {
            return Ok(request);
        }
        match odd {
            0..0x20 => {
                request.address = [(0xffff, 0xff), (7, 0xff), (0xffff, 3), (8, 3)][usize::from(odd & 3)];
            }
            0x20..0x28 => {
                request.ver_flags = [0x20, 0x00, 0x18, 0x13, 0x1c, 0xf0, 0x11, 0x14][usize::from(odd & 7)];
            }
            0x28..0x2c => request.error = odd,
            0x2c..0x30 => {
                request.from = [Mac::Group, Mac::Zero, Mac::Broadcast, Mac::Own][usize::from(odd & 3)];
            }
            0x30..0x32 => request.to = Mac::Host(odd & 7),
            0x32..0x38 => request.mangle = Mangle::Cut(u.arbitrary()?),
            0x38..0x40 => request.mangle = Mangle::Extend(u.arbitrary()?),
            0x40..0x50 => request.mangle = Mangle::Flip(u.arbitrary()?, u.arbitrary()?),
            _ => {}
        }
        Ok(request)
    }
}

impl<'a> Arbitrary<'a> for Body {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let kind: u8 = u.arbitrary()?;
        Ok(match kind {
            // Reads and writes are what a session is about.
            0..0x40 => transfer(u, [0x24, 0x24, 0x20, 0x25, 0xc8, 0x42, 0x40, 0x24][usize::from(kind & 7)])?,
            0x40..0x90 => {
                transfer(u, [0x34, 0x34, 0x30, 0x35, 0xca, 0x3d, 0xce, 0x34][usize::from(kind & 7)])?
            }
            0x90..0xa0 => Self::Ata { registers: [0, 0, kind & 3, 0xec], lba: Place::At(0), sectors: 0 },
            0xa0..0xa8 => Self::Ata {
                registers: [0, 0, kind & 1, 0xe7 + (kind & 2) / 2 * 3],
                lba: Place::At(0),
                sectors: 0,
            },
            0xa8..0xb0 => {
                let feature = [0x02, 0x82, 0x82, 0x02, 0xaa, 0x99, 0x03, 0x82][usize::from(kind & 7)];
                Self::Ata { registers: [0, feature, 7, 0xef], lba: Place::At(0), sectors: 0 }
            }
            0xb0..0xb4 => {
                let (registers, lba, sectors): ([u8; 4], u64, u8) = u.arbitrary()?;
                Self::Ata { registers, lba: Place::At(lba), sectors: sectors & 3 }
            }
            0xb4..0xc8 => {
                let count = usize::from(kind & 3) + 1;
                let ranges = (0..count).map(|_| Ok((place(u)?, u16::from(u.arbitrary::<u8>()? & 0x07))));
                let ranges = ranges.collect::<Result<_>>()?;
                let odd = u.arbitrary::<u8>()?;
                Self::Trim {
                    feature: u8::from(odd & 0x1f != 0),
                    count: 1 + u8::from(odd & 0xe0 == 0),
                    ranges,
                }
            }
            0xc8..0xd8 => {
                let len = usize::from(u.arbitrary::<u8>()? & 0x1f);
                let len = if len == 31 { 1024 } else { len / 4 };
                Self::Config {
                    command: kind & 7,
                    longer: u.arbitrary::<u8>()?.saturating_sub(240),
                    string: u.bytes(len.min(u.len()))?.to_vec(),
                }
            }
            0xd8..0xe0 => {
                let count = usize::from(u.arbitrary::<u8>()? & 7);
                let directives = (0..count).map(|_| directive(u.arbitrary()?)).collect::<Result<_>>()?;
                let more = u.arbitrary::<u8>()?.saturating_sub(250);
                Self::Mask { command: [0, 1, 1, 1, 1, 1, 1, 2][usize::from(kind & 7)], more, directives }
            }
            0xe0..0xe8 => {
                let count = usize::from(u.arbitrary::<u8>()? & 3);
                let macs = (0..count).map(|_| Ok(mac(u.arbitrary()?))).collect::<Result<_>>()?;
                let more = u.arbitrary::<u8>()?.saturating_sub(250);
                Self::Reserve { command: [0, 1, 1, 1, 1, 2, 2, 3][usize::from(kind & 7)], more, macs }
            }
            0xe8..0xec => Self::Unknown { command: u.arbitrary()?, len: u.arbitrary()? },
            _ => transfer(u, [0x24, 0x34][usize::from(kind & 1)])?,
        })
    }
}

/// A command that names sectors, with as much payload as it says, if it writes.
fn transfer(u: &mut Unstructured<'_>, opcode: u8) -> Result<Body> {
    let (lba, shape): (Place, u8) = (place(u)?, u.arbitrary()?);
    let count = match shape & 0x1f {
        0..20 => 1 + (shape & 1),
        20..30 => shape & 0x1f,
        30 => 0,
        _ => 0xff,
    };
    let aflags = if shape & 0xe0 == 0 { 0 } else { 0x41 };
    let writes = [0x34, 0x30, 0x35, 0xca, 0x3d, 0xce].contains(&opcode);
    Ok(Body::Ata { registers: [aflags, 0, count, opcode], lba, sectors: if writes { count } else { 0 } })
}

/// A sector: near the beginning, where requests meet, near the end, or anywhere.
fn place(u: &mut Unstructured<'_>) -> Result<Place> {
    let byte: u8 = u.arbitrary()?;
    Ok(match byte {
        0..0xd0 => Place::At(u64::from(byte & 0x0f)),
        0xd0..0xf0 => Place::At(16 + u64::from(byte & 0x1f)),
        0xf0..0xfe => Place::BeforeEnd((byte & 0x0f).into()),
        _ => Place::At(u.arbitrary::<u64>()? & 0xffff_ffff_ffff),
    })
}

fn directive(byte: u8) -> Result<(u8, Mac)> {
    let command = [1, 1, 2, 2, 0, 2, 1, 7][usize::from(byte >> 5)];
    Ok((command, mac(byte)))
}

/// A station for a list.
fn mac(byte: u8) -> Mac {
    match byte & 0x1f {
        0x1f => Mac::Group,
        0x1e => Mac::Zero,
        0x1d => Mac::Host(7),
        other => host(other),
    }
}

/// One of the hosts, and mostly the same: a session in which everybody is locked out soon ends nowhere.
fn host(byte: u8) -> Mac {
    Mac::Host([0, 0, 0, 0, 0, 1, 1, 2][usize::from(byte & 7)])
}

/// A session in which `frames` arrive one after the other on the first link, on a plain disk at an MTU of 9000: what the seeds are.
#[must_use]
pub fn script(frames: &[Vec<u8>]) -> Vec<u8> {
    const TURN: u8 = 8;
    const RAW: u8 = 13;
    let mut script = vec![0xf1, 0, 0, 0, 0, 0, 16, 0];
    for frame in frames {
        let len = u16::try_from(frame.len().min(MAX_RAW)).unwrap_or(0);
        script.push(RAW);
        script.extend(len.to_le_bytes());
        script.extend(&frame[..len.into()]);
        script.push(TURN);
    }
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_read_as_its_frames_each_followed_by_a_turn() {
        let frames = [vec![1; 60], vec![2; 1060]];
        let session = Session::arbitrary(&mut Unstructured::new(&script(&frames))).unwrap();
        assert_eq!((session.setup.mtu, session.setup.links, session.setup.targets), (9000, 1, 1));
        let [
            Step::Raw { link: 0, stamp: Stamp::After(0), bytes: first },
            Step::Turn(1),
            Step::Raw { link: 0, stamp: Stamp::After(0), bytes: second },
            Step::Turn(1),
        ] = &session.steps[..]
        else {
            panic!("{:?}", session.steps);
        };
        assert_eq!([first, second], [&frames[0], &frames[1]]);
    }
}
