//! What a path carries, and what to change: [`PathReport`].

use aoe_wire::{ATA_HEADER_LEN, SECTOR};
use serde::Serialize;

use super::probe::PATIENCE;

/// One path, and what passed on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct PathReport {
    pub(crate) netif: String,
    /// Station of the target.
    pub(crate) mac: String,
    /// MTU of the interface here, in bytes.
    pub(crate) mtu: u32,
    /// Sectors in the largest frame that the interface here carries.
    pub(crate) carried: u8,
    /// Sectors that the target takes in one request, as it says.
    pub(crate) advertised: u8,
    /// Sectors in the largest reply that arrived; 0 when none did.
    pub(crate) replies: u8,
    /// Sectors in the largest request that was answered; 0 when none was.
    pub(crate) requests: u8,
    /// What the target said instead of serving a size that it offers.
    pub(crate) refused: Option<String>,
    /// Whether it still answered a config query when nothing had passed.
    #[serde(skip)]
    pub(crate) answers: bool,
}

/// A report with its judgement, as scripts read it.
#[derive(Debug, Serialize)]
pub(crate) struct Judged<'a> {
    #[serde(flatten)]
    pub(crate) path: &'a PathReport,
    pub(crate) ok: bool,
    pub(crate) advice: Vec<String>,
}

/// Bytes of a frame with `sectors`, from its destination address on.
pub(crate) fn frame_len(sectors: u8) -> usize {
    ATA_HEADER_LEN + usize::from(sectors) * SECTOR
}

/// The MTU by which both Linux and the targets reckon that `sectors` fit: they count the Ethernet header as part of it.
fn mtu_for(sectors: u8) -> usize {
    let needed = frame_len(sectors);
    // The two that everybody sets.
    [1500, 9000].into_iter().find(|mtu| needed <= *mtu).unwrap_or(needed)
}

impl PathReport {
    /// The largest size that both ends claim.
    pub(crate) fn claimed(&self) -> u8 {
        self.advertised.min(self.carried)
    }

    /// Whether every size that both ends claim passes in both directions.
    pub(crate) fn is_ok(&self) -> bool {
        self.refused.is_none()
            && self.replies >= self.claimed()
            && self.requests >= self.claimed()
            && self.claimed() > 0
    }

    /// Whether nothing at all came back.
    pub(crate) fn is_silent(&self) -> bool {
        self.claimed() > 0 && self.refused.is_none() && (self.replies, self.requests) == (0, 0)
    }

    /// What is wrong or could be better, in sentences that say what to change.
    pub(crate) fn advice(&self) -> Vec<String> {
        let mut advice = Vec::new();
        let Self { netif, mtu, carried, advertised, .. } = self;
        let claimed = self.claimed();
        if *carried == 0 {
            advice.push(format!(
                "the MTU of {netif} is {mtu}, too small for a sector: ip link set {netif} mtu 1500"
            ));
            return advice;
        }
        if let Some(refused) = &self.refused {
            advice.push(format!("the target does not serve sizes that it offers: {refused}"));
        }
        match (self.replies, self.requests) {
            (0, 0) if self.refused.is_none() && self.answers => advice.push(format!(
                "the target still answers queries, but nothing with data came back within {:.1} s: either it is slower than that, or \
                 frames of a sector and more are lost: see aoe ping and aoe bench",
                PATIENCE.as_secs_f64()
            )),
            (0, 0) if self.refused.is_none() => advice.push(
                "the target answered before this check, and nothing since it began: it may have ended, as some do when they \
                 receive what they do not expect"
                    .to_owned(),
            ),
            (replies, requests) => {
                let refused = self.refused.is_some();
                let lost = [("replies", replies, "to here"), ("requests", requests, "to the target")];
                for (what, passed, way) in lost {
                    if passed < claimed && !(refused && what == "replies") {
                        advice.push(loss(what, passed, way, claimed));
                    }
                }
            }
        }
        if advertised > carried {
            let better = mtu_for(*advertised);
            advice.push(format!(
                "the MTU of {netif}, {mtu}, limits to {} although the target offers {advertised}: \
                 ip link set {netif} mtu {better}, when every switch port between carries that",
                count(*carried)
            ));
        } else if advertised < carried && *carried >= 8 && *advertised < 8 {
            advice.push(format!(
                "the target offers {} although {netif} carries {carried}: set the MTU of the target's interface to {mtu}",
                count(*advertised)
            ));
        }
        advice
    }
}

fn loss(what: &str, passed: u8, way: &str, claimed: u8) -> String {
    let mtu = mtu_for(claimed);
    if passed == 0 {
        return format!(
            "{what} of any size are lost on the way {way}, though shorter frames pass: see the filters between, and the disk"
        );
    }
    format!(
        "{what} longer than {} bytes are lost on the way {way}, and both ends claim {}: \
         set MTU {mtu} on the switch ports between and at the far interface",
        frame_len(passed),
        count(claimed)
    )
}

fn count(sectors: u8) -> String {
    if sectors == 1 { "1 sector".to_owned() } else { format!("{sectors} sectors") }
}

/// The largest size up to `most` that passes, 0 if none does: the largest is tried first, since mostly all pass, then the middle of
/// what is left. At most 9 tries.
pub(crate) fn largest<E>(most: u8, mut passes: impl FnMut(u8) -> Result<bool, E>) -> Result<u8, E> {
    if most == 0 || passes(most)? {
        return Ok(most);
    }
    let (mut good, mut bad) = (0, most);
    while bad - good > 1 {
        let middle = good + (bad - good) / 2;
        if passes(middle)? {
            good = middle;
        } else {
            bad = middle;
        }
    }
    Ok(good)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn path() -> PathReport {
        PathReport {
            netif: "eth0".to_owned(),
            mac: "02:00:00:00:07:03".to_owned(),
            mtu: 9000,
            carried: 17,
            advertised: 17,
            replies: 17,
            requests: 17,
            refused: None,
            answers: true,
        }
    }

    #[test]
    fn the_largest_passing_size_is_found_in_few_tries() {
        for most in [0, 1, 2, 17, 255] {
            for limit in 0..=most {
                let mut tries = 0;
                let found = largest::<Infallible>(most, |size| {
                    tries += 1;
                    assert!((1..=most).contains(&size));
                    Ok(size <= limit)
                });
                assert_eq!(found, Ok(limit), "of {most}");
                assert!(tries <= 9, "{tries} tries for {limit} of {most}");
            }
        }
    }

    #[test]
    fn an_error_ends_the_search() {
        assert_eq!(largest(17, |_| Err("gone")), Err("gone"));
    }

    #[test]
    fn a_path_on_which_everything_passes_needs_no_advice() {
        assert!(path().is_ok());
        assert_eq!(path().advice(), [""; 0]);
    }

    #[test]
    fn lost_large_replies_are_blamed_on_what_is_between() {
        let path = PathReport { replies: 2, ..path() };
        assert!(!path.is_ok());
        let advice = path.advice();
        assert_eq!(advice.len(), 1, "{advice:?}");
        assert!(advice[0].starts_with("replies longer than 1060 bytes are lost"), "{advice:?}");
        assert!(advice[0].contains("set MTU 9000 on the switch ports"), "{advice:?}");
    }

    #[test]
    fn a_small_mtu_here_is_no_failure_but_told_with_the_command_that_helps() {
        let path = PathReport { mtu: 1500, carried: 2, replies: 2, requests: 2, ..path() };
        assert!(path.is_ok());
        let advice = path.advice();
        assert_eq!(advice.len(), 1, "{advice:?}");
        assert!(advice[0].contains("limits to 2 sectors although the target offers 17"), "{advice:?}");
        assert!(advice[0].contains("ip link set eth0 mtu 9000"), "{advice:?}");
    }

    #[test]
    fn a_target_that_offers_less_than_the_interface_carries_is_told() {
        let path = PathReport { advertised: 2, replies: 2, requests: 2, ..path() };
        assert!(path.is_ok());
        assert!(
            path.advice()[0].contains("offers 2 sectors although eth0 carries 17"),
            "{:?}",
            path.advice()
        );
    }

    #[test]
    fn a_target_that_serves_nothing_is_told_from_a_path_that_loses_large_frames() {
        let silent = PathReport { replies: 0, requests: 0, answers: false, ..path() };
        assert!(!silent.is_ok() && silent.is_silent());
        assert!(silent.advice()[0].contains("may have ended"), "{:?}", silent.advice());
        let refused = Some("it is reserved for another initiator (error 6)".to_owned());
        let reserved = PathReport { replies: 0, refused, ..path() };
        assert!(!reserved.is_ok());
        assert_eq!(reserved.advice().len(), 1);
        assert!(reserved.advice()[0].ends_with("reserved for another initiator (error 6)"));
    }

    #[test]
    fn a_target_that_still_answers_is_not_said_to_have_ended() {
        let slow = PathReport { replies: 0, requests: 0, ..path() };
        let advice = slow.advice();
        assert_eq!(advice.len(), 1, "{advice:?}");
        assert!(advice[0].contains("slower than that") && !advice[0].contains("ended"), "{advice:?}");
    }

    #[test]
    fn an_mtu_too_small_for_a_sector_is_no_path() {
        let path = PathReport { mtu: 500, carried: 0, replies: 0, requests: 0, ..path() };
        assert!(!path.is_ok());
        assert!(path.advice()[0].contains("too small for a sector"));
    }

    #[test]
    fn the_mtu_to_set_is_one_that_people_set_when_one_suffices() {
        assert_eq!((mtu_for(2), mtu_for(3), mtu_for(17)), (1500, 9000, 9000));
        assert_eq!(mtu_for(31), 36 + 31 * 512);
    }

    #[test]
    fn a_judged_path_as_json_has_its_advice_beside_its_figures() {
        let path = path();
        let json = serde_json::to_value(Judged { path: &path, ok: true, advice: path.advice() })
            .expect("plain values");
        assert_eq!(
            (&json["netif"], &json["replies"], &json["ok"]),
            (&"eth0".into(), &17.into(), &true.into())
        );
    }
}
