//! Command 3, reserve and release: who holds the target (AoEr11 §3.4).

use aoe_wire::{ErrorCode, MacAddr, ReserveArg, ReserveCommand};

/// Whether a reservation by `holders` lets `sender` in.
pub(crate) fn admits(holders: &[MacAddr], sender: MacAddr) -> bool {
    holders.is_empty() || holders.contains(&sender)
}

/// The list that a set or force set puts in force. `limit` is how many entries a reply on this link can carry.
pub(crate) fn set(
    arg: &ReserveArg,
    payload: &[u8],
    holders: &[MacAddr],
    sender: MacAddr,
    limit: usize,
) -> Result<Vec<MacAddr>, ErrorCode> {
    let list = arg.macs(payload).map_err(|_| ErrorCode::BAD_ARGUMENT)?;
    // Padding after a list that is shorter than announced reads as zero addresses.
    if list.len() > limit || list.iter().any(|mac| mac.is_multicast() || mac.is_zero()) {
        return Err(ErrorCode::BAD_ARGUMENT);
    }
    match arg.command {
        ReserveCommand::SET if !admits(holders, sender) => Err(ErrorCode::TARGET_RESERVED),
        ReserveCommand::SET | ReserveCommand::FORCE => Ok(list.to_vec()),
        _ => Err(ErrorCode::BAD_ARGUMENT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A1: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xa1]);
    const C3: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xc3]);

    fn ask(
        command: ReserveCommand,
        count: u8,
        payload: &[u8],
        holders: &[MacAddr],
    ) -> Result<Vec<MacAddr>, ErrorCode> {
        set(&ReserveArg::request(command, count), payload, holders, C3, 248)
    }

    #[test]
    fn a_stranger_cannot_set_but_can_force_and_a_holder_can_release() {
        assert_eq!(ask(ReserveCommand::SET, 1, &C3.0, &[A1]), Err(ErrorCode::TARGET_RESERVED));
        assert_eq!(ask(ReserveCommand::FORCE, 1, &C3.0, &[A1]), Ok(vec![C3]));
        assert_eq!(ask(ReserveCommand::SET, 0, &[], &[A1, C3]), Ok(vec![]));
        assert_eq!(ask(ReserveCommand::SET, 1, &A1.0, &[]), Ok(vec![A1]));
    }

    #[test]
    fn padding_counted_as_addresses_and_unknown_commands_are_bad_arguments() {
        assert_eq!(ask(ReserveCommand::SET, 5, &[0; 34], &[]), Err(ErrorCode::BAD_ARGUMENT));
        assert_eq!(ask(ReserveCommand::SET, 6, &[2; 34], &[]), Err(ErrorCode::BAD_ARGUMENT));
        assert_eq!(ask(ReserveCommand(3), 0, &[], &[]), Err(ErrorCode::BAD_ARGUMENT));
    }
}
