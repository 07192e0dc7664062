//! Interfaces by name or by glob.

use glob::Pattern as Glob;

/// The longest name that Linux gives an interface, in bytes.
const LONGEST: usize = 15;

const LOOPBACK: &str = "lo";

/// The longest glob, in bytes: room for a bracket for each character that differs.
const LONGEST_GLOB: usize = 64;

/// An interface by name, or many by a glob (`aoe*`, `enp?s0f[01]`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern(pub(crate) String);

impl Pattern {
    /// A name or a glob that an interface may have.
    ///
    /// # Errors
    ///
    /// Why there can be none, with the remedy.
    pub(super) fn new(text: &str) -> Result<Self, String> {
        let pattern = Self(text.to_owned());
        let fault = if text.is_empty() {
            "an interface without a name"
        } else if text.chars().any(|c| c == '/' || c.is_whitespace() || c.is_control())
            || text == "."
            || text == ".."
        {
            "no interface has such a name"
        } else if pattern.is_glob() && text.len() > LONGEST_GLOB {
            "longer than a glob may be (64 bytes)"
        } else if pattern.is_glob() {
            return match Glob::new(text) {
                Ok(_) => Ok(pattern),
                Err(error) => {
                    Err(format!("{text:?} is no glob ({}); ?, * and [...] stand for characters", error.msg))
                }
            };
        } else if text.len() > LONGEST {
            "longer than the name of an interface can be (15 bytes)"
        } else {
            return Ok(pattern);
        };
        Err(format!(
            "{text:?}: {fault}; give one as `ip link` shows it, such as \"eth1\", or a glob such as \"aoe*\""
        ))
    }

    pub(crate) fn is_glob(&self) -> bool {
        self.0.contains(['*', '?', '['])
    }

    /// Whether it means the interface of this name. No glob means the loopback interface, where nobody else is.
    pub(crate) fn matches(&self, name: &str) -> bool {
        if !self.is_glob() {
            return self.0 == name;
        }
        name != LOOPBACK && Glob::new(&self.0).is_ok_and(|glob| glob.matches(name))
    }

    /// Whether an interface can be that both mean.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        match (self.is_glob(), other.is_glob()) {
            (_, false) => self.matches(&other.0),
            (false, true) => other.matches(&self.0),
            (true, true) => meet(&pieces(&self.0), &pieces(&other.0)),
        }
    }
}

/// `*`, or what stands for one character.
#[derive(Debug)]
enum Piece {
    Any,
    One(Glob),
}

impl Piece {
    /// Whether a character can be that both stand for.
    fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::One(one), Self::One(other)) => {
                let mut utf8 = [0; 4];
                // Names beyond ASCII meet where they are written out.
                let written = one.as_str().chars().chain(other.as_str().chars());
                (' '..='~').chain(written).any(|c| {
                    let c = &*c.encode_utf8(&mut utf8);
                    one.matches(c) && other.matches(c)
                })
            }
            _ => true,
        }
    }
}

fn pieces(glob: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = glob;
    while let Some(first) = rest.chars().next() {
        let len = match first {
            // A bracket that comes first, or after `!`, is one of the characters.
            '[' => {
                let skip = if rest.starts_with("[!") { 3 } else { 2 };
                rest.char_indices().skip(skip).find(|(_, c)| *c == ']').map_or(rest.len(), |(at, _)| at + 1)
            }
            first => first.len_utf8(),
        };
        let (piece, after) = rest.split_at(len);
        match Glob::new(piece) {
            Ok(glob) if piece != "*" => pieces.push(Piece::One(glob)),
            _ => pieces.push(Piece::Any),
        }
        rest = after;
    }
    pieces
}

/// Whether a name can be that both match: of each pair of places in the two, whether the rests meet, from the end on.
fn meet(one: &[Piece], other: &[Piece]) -> bool {
    let only_any = |pieces: &[Piece]| pieces.iter().all(|piece| matches!(piece, Piece::Any));
    let mut next: Vec<bool> = (0..=other.len()).map(|at| only_any(&other[at..])).collect();
    for (from, piece) in one.iter().enumerate().rev() {
        let mut here = vec![only_any(&one[from..]); other.len() + 1];
        for (at, opposite) in other.iter().enumerate().rev() {
            here[at] = match (piece, opposite) {
                (Piece::Any, _) => next[at] || here[at + 1],
                (_, Piece::Any) => here[at + 1] || next[at],
                _ => next[at + 1] && piece.meets(opposite),
            };
        }
        next = here;
    }
    next.first().copied().unwrap_or(true)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::new(text).expect("a pattern")
    }

    #[test]
    fn a_name_means_itself_and_a_glob_all_that_it_matches() {
        assert!(pattern("eth1").matches("eth1") && !pattern("eth1").matches("eth10"));
        assert!(pattern("aoe*").matches("aoe") && pattern("aoe*").matches("aoe12"));
        assert!(pattern("enp?s0f[01]").matches("enp3s0f1") && !pattern("enp?s0f[01]").matches("enp3s0f2"));
        assert!(pattern("eth0.100").matches("eth0.100"));
        assert!(pattern("lo").matches("lo") && !pattern("*").matches("lo") && !pattern("lo*").matches("lo"));
    }

    #[test]
    fn what_no_interface_is_called_is_refused_with_the_remedy() {
        let long = "?".repeat(65);
        for text in ["", "a/b", "eth 0", ".", "..", "a-name-of-sixteen", "eth0\n", &long] {
            let error = Pattern::new(text).expect_err("no name");
            assert!(error.contains("; give one as"), "{text}: {error}");
        }
        for text in ["aoe[", "[", "aoe**"] {
            assert!(Pattern::new(text).expect_err("no glob").contains("is no glob"), "{text}");
        }
    }

    #[test]
    fn two_globs_meet_where_one_name_matches_both() {
        let meets = |one: &str, other: &str| {
            let (one, other) = (pattern(one), pattern(other));
            assert_eq!(one.meets(&other), other.meets(&one));
            one.meets(&other)
        };
        assert!(meets("eth0", "eth0") && !meets("eth0", "eth1"));
        assert!(meets("eth*", "eth0") && !meets("eth?", "eth10"));
        assert!(meets("eth*", "*0") && meets("a*b", "*") && meets("a*b*", "*c") && meets("*", "*"));
        assert!(!meets("eth*", "aoe*") && !meets("*a", "*b") && !meets("??", "?"));
        assert!(meets("eth[0-4]", "eth[4-9]") && !meets("eth[0-4]", "eth[5-9]"));
        assert!(!meets("eth[!0]", "eth0") && meets("eth[!0]", "eth[!1]") && meets("x[]]", "x?"));
    }

    proptest! {
        #[test]
        fn patterns_that_match_one_name_meet(
            name in "[abc]{1,5}", one in "[abc?*]{1,5}", other in "[abc?*]{1,5}"
        ) {
            let (Ok(one), Ok(other)) = (Pattern::new(&one), Pattern::new(&other)) else { return Ok(()) };
            if one.matches(&name) && other.matches(&name) {
                prop_assert!(one.meets(&other));
            }
        }
    }
}
