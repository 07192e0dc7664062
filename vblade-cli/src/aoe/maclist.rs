//! Lists of stations: as typed, and as shown.

use aoe_initiator::{Address, MacAddr};
use serde::Serialize;

use crate::error::Error;
use crate::{host, output};

/// The most that one request lists.
const MAX: usize = 255;

/// The stations that were typed, each once.
pub(crate) fn parse(texts: &[String]) -> Result<Vec<MacAddr>, Error> {
    let mut macs = Vec::new();
    for text in texts {
        let mac = host::station(text)?;
        if !macs.contains(&mac) {
            macs.push(mac);
        }
    }
    if macs.len() > MAX {
        return Err(Error::Usage(format!("{} MAC addresses: a list has {MAX} at most", macs.len())));
    }
    Ok(macs)
}

/// In a sentence.
pub(crate) fn text(macs: &[MacAddr]) -> String {
    macs.iter().map(MacAddr::to_string).collect::<Vec<_>>().join(", ")
}

/// One on each line.
pub(crate) fn show(macs: &[MacAddr]) -> Result<(), Error> {
    output::print(&macs.iter().map(|mac| format!("{mac}\n")).collect::<String>())
}

#[derive(Serialize)]
struct Shown {
    address: String,
    macs: Vec<String>,
}

/// As an object.
pub(crate) fn json(address: Address, macs: &[MacAddr]) -> Result<(), Error> {
    output::json(&Shown { address: address.to_string(), macs: macs.iter().map(MacAddr::to_string).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(macs: &[&str]) -> Vec<String> {
        macs.iter().map(|mac| (*mac).to_owned()).collect()
    }

    #[test]
    fn a_station_that_is_named_twice_is_listed_once() {
        let macs =
            parse(&texts(&["02:00:00:00:00:a1", "0200000000A1", "02-00-00-00-00-a2"])).expect("stations");
        assert_eq!(text(&macs), "02:00:00:00:00:a1, 02:00:00:00:00:a2");
    }

    #[test]
    fn what_no_station_has_is_refused() {
        for bad in
            ["ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01", "00:00:00:00:00:00", "02:00", "zz:00:00:00:00:01", ""]
        {
            let error = parse(&texts(&[bad])).expect_err(bad);
            assert_eq!(error.exit_status(), 2, "{bad}");
            assert!(error.line().is_some_and(|line| line.contains(&format!("{bad:?}"))), "{error}");
        }
    }

    #[test]
    fn more_than_a_request_lists_is_refused() {
        let many: Vec<String> = (0..256).map(|n| format!("0200000000{n:02x}")).collect();
        assert_eq!(parse(&many[1..]).expect("255").len(), 255);
        assert_eq!(parse(&many).expect_err("256").exit_status(), 2);
    }
}
