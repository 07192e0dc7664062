//! Command 1, query config information: deciding on the config string (AoEr11 §3.2).

use aoe_wire::{ConfigArg, ConfigCommand, ErrorCode};
use bytes::Bytes;

/// How a config request that changes nothing ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Query {
    Reply,
    Quiet,
    Refuse(ErrorCode),
    /// To be decided by [`set`], in order with other changes.
    Change,
}

/// Judges a config request against the stored string.
pub(crate) fn query(arg: &ConfigArg, payload: &[u8], stored: &[u8]) -> Query {
    let argument = || arg.string(payload).map_err(|_| Query::Refuse(ErrorCode::BAD_ARGUMENT));
    let answer_if = |test: fn(&[u8], &[u8]) -> bool| match argument() {
        Ok(argument) if test(stored, argument) => Query::Reply,
        Ok(_) => Query::Quiet,
        Err(refuse) => refuse,
    };
    match arg.command() {
        ConfigCommand::READ => Query::Reply,
        ConfigCommand::TEST => answer_if(|stored, argument| stored == argument),
        ConfigCommand::PREFIX => answer_if(|stored, argument| stored.starts_with(argument)),
        ConfigCommand::SET | ConfigCommand::FORCE => Query::Change,
        _ => Query::Refuse(ErrorCode::BAD_ARGUMENT),
    }
}

/// The string that a set or force set stores. `longest` is what a reply on this link can carry.
pub(crate) fn set(
    arg: &ConfigArg,
    payload: &[u8],
    stored: &Bytes,
    longest: usize,
) -> Result<Bytes, ErrorCode> {
    let argument = arg.string(payload).map_err(|_| ErrorCode::BAD_ARGUMENT)?;
    if argument == stored {
        return Ok(stored.clone());
    }
    if arg.command() == ConfigCommand::SET && !stored.is_empty() {
        return Err(ErrorCode::CONFIG_PRESENT);
    }
    if argument.len() > longest {
        return Err(ErrorCode::BAD_ARGUMENT);
    }
    Ok(Bytes::copy_from_slice(argument))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arg(command: ConfigCommand, len: u16) -> ConfigArg {
        ConfigArg::request(command, len)
    }

    #[test]
    fn a_length_beyond_the_frame_is_refused_except_in_a_read() {
        assert_eq!(query(&arg(ConfigCommand::READ, 1024), b"", b"x"), Query::Reply);
        for command in [ConfigCommand::TEST, ConfigCommand::PREFIX] {
            assert_eq!(query(&arg(command, 3), b"ab", b"x"), Query::Refuse(ErrorCode::BAD_ARGUMENT));
        }
        let force = set(&arg(ConfigCommand::FORCE, 29), &[0; 28], &Bytes::new(), 1024);
        assert_eq!(force, Err(ErrorCode::BAD_ARGUMENT));
    }

    #[test]
    fn test_compares_whole_and_prefix_compares_the_beginning() {
        let ask =
            |command, text: &[u8]| query(&arg(command, u16::try_from(text.len()).unwrap()), text, b"alpha");
        assert_eq!(ask(ConfigCommand::TEST, b"alpha"), Query::Reply);
        assert_eq!(ask(ConfigCommand::TEST, b"alph"), Query::Quiet);
        assert_eq!(ask(ConfigCommand::PREFIX, b"al"), Query::Reply);
        assert_eq!(ask(ConfigCommand::PREFIX, b""), Query::Reply);
        assert_eq!(ask(ConfigCommand::PREFIX, b"alphabet"), Query::Quiet);
    }

    #[test]
    fn set_never_replaces_another_string_and_force_does() {
        let alpha = Bytes::from_static(b"alpha");
        let with = |command, stored: &Bytes| set(&arg(command, 4), b"beta", stored, 1024);
        assert_eq!(with(ConfigCommand::SET, &Bytes::new()).unwrap(), "beta");
        assert_eq!(with(ConfigCommand::SET, &alpha), Err(ErrorCode::CONFIG_PRESENT));
        assert_eq!(with(ConfigCommand::FORCE, &alpha).unwrap(), "beta");
        assert_eq!(set(&arg(ConfigCommand::FORCE, 0), b"", &alpha, 1024).unwrap(), "");
    }
}
