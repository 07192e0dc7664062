//! Command 2, MAC mask list: carrying out directives (AoEr11 §3.3).

use aoe_wire::{Directive, DirectiveCommand, MacAddr, MaskError};

/// Where and why a list of directives stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stopped {
    pub(crate) index: u8,
    pub(crate) error: MaskError,
}

/// Carries out `directives` in order on `list`, which may hold `limit` entries. At the first failure it stops, and what was done stays.
pub(crate) fn edit(list: &mut Vec<MacAddr>, directives: &[Directive], limit: usize) -> Result<(), Stopped> {
    // In this order: the number behind the last of 255 is never asked for.
    for (directive, index) in directives.iter().zip(0..) {
        let stop = |error| Err(Stopped { index, error });
        let mac = directive.mac;
        match directive.command {
            DirectiveCommand::NOP => {}
            DirectiveCommand::ADD if mac.is_multicast() || mac.is_zero() => {
                return stop(MaskError::UNSPECIFIED);
            }
            DirectiveCommand::ADD if list.contains(&mac) => {}
            DirectiveCommand::ADD if list.len() >= limit => return stop(MaskError::LIST_FULL),
            DirectiveCommand::ADD => list.push(mac),
            DirectiveCommand::DELETE => list.retain(|listed| *listed != mac),
            _ => return stop(MaskError::BAD_DIRECTIVE),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mac(last: u8) -> MacAddr {
        MacAddr([2, 0, 0, 0, 0, last])
    }

    fn add(last: u8) -> Directive {
        Directive::new(DirectiveCommand::ADD, mac(last))
    }

    #[test]
    fn adding_twice_and_deleting_the_unlisted_change_nothing() {
        let mut list = vec![];
        let delete = Directive::new(DirectiveCommand::DELETE, mac(9));
        edit(&mut list, &[add(1), add(2), add(1), delete], 255).unwrap();
        assert_eq!(list, [mac(1), mac(2)]);
    }

    #[test]
    fn the_first_failure_stops_and_keeps_what_was_done() {
        let mut list = vec![];
        let bad = Directive::new(DirectiveCommand(7), mac(2));
        let stopped = edit(&mut list, &[add(1), bad, add(3)], 255);
        assert_eq!(stopped, Err(Stopped { index: 1, error: MaskError::BAD_DIRECTIVE }));
        assert_eq!(list, [mac(1)]);
    }

    #[test]
    fn as_many_directives_as_a_request_can_hold_are_carried_out() {
        let directives: Vec<_> = (0..255).map(add).collect();
        let mut list = vec![];
        edit(&mut list, &directives, 255).unwrap();
        assert_eq!(list.len(), 255);
    }

    #[test]
    fn group_and_zero_addresses_and_a_full_list_are_errors() {
        let mut list = vec![mac(1)];
        for bad in [MacAddr::BROADCAST, MacAddr::ZERO] {
            let stopped = edit(&mut list, &[Directive::new(DirectiveCommand::ADD, bad)], 255);
            assert_eq!(stopped, Err(Stopped { index: 0, error: MaskError::UNSPECIFIED }));
        }
        let full = edit(&mut list, &[add(1), add(2)], 1);
        assert_eq!(full, Err(Stopped { index: 1, error: MaskError::LIST_FULL }));
    }
}
