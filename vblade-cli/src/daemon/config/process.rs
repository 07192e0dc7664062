//! The section `[daemon]`: what holds for the process.

use aoe_link::NetifOptions;
use clap::ValueEnum;

use super::Daemon;
use super::section::{Section, nearest};
use super::value::Entry;
use crate::cli::LinkKind;

/// Bytes of the path of the control socket.
const LONGEST_SOCKET: usize = 80;

impl Default for Daemon {
    fn default() -> Self {
        Self {
            socket: "/run/vblade/control.sock".into(),
            socket_group: None,
            metrics: None,
            state_dir: None,
            trace_dir: None,
            link: LinkKind::Auto,
            recv_buffer: NetifOptions::default().recv_buffer,
            sandbox: true,
        }
    }
}

impl Daemon {
    pub(super) fn read(section: &Section<'_>) -> Self {
        let default = Self::default();
        let daemon = Self {
            socket: section.entry("socket").and_then(|entry| socket(&entry)).unwrap_or(default.socket),
            socket_group: section.entry("group").and_then(|entry| group(&entry)),
            metrics: section.entry("metrics").and_then(|entry| metrics(&entry)),
            state_dir: section.entry("state_dir").and_then(|entry| entry.path()),
            trace_dir: section.entry("trace_dir").and_then(|entry| entry.path()),
            link: section.entry("link").and_then(|entry| choice(&entry)).unwrap_or(default.link),
            recv_buffer: section
                .entry("recv_buffer")
                .and_then(|entry| entry.bytes(1 << 16..=1 << 30))
                .and_then(|bytes| usize::try_from(bytes).ok())
                .unwrap_or(default.recv_buffer),
            sandbox: section.entry("sandbox").and_then(|entry| entry.flag()).unwrap_or(default.sandbox),
        };
        section.refuse_others();
        daemon
    }
}

/// A path for a socket, which the kernel limits to 107 bytes: it is made in a directory beside it.
fn socket(entry: &Entry<'_>) -> Option<std::path::PathBuf> {
    let path = entry.path()?;
    let len = path.as_os_str().len();
    if len > LONGEST_SOCKET {
        entry.wrong(format_args!(
            "{len} bytes are too many for the path of a socket; give {LONGEST_SOCKET} at most"
        ));
        return None;
    }
    Some(path)
}

fn group(entry: &Entry<'_>) -> Option<String> {
    let group = entry.words_or_number()?;
    if group.is_empty() || group.contains([':', '\0', '\n']) {
        entry.wrong(format_args!("{group:?} is no group; give one of `getent group`, by name or number"));
        return None;
    }
    Some(group.to_owned())
}

fn metrics(entry: &Entry<'_>) -> Option<std::net::SocketAddr> {
    let words = entry.words()?;
    match words.parse::<std::net::SocketAddr>() {
        Ok(address) if address.ip().is_loopback() => Some(address),
        Ok(address) => {
            entry.wrong(format_args!(
                "{address} can be reached from elsewhere; give a loopback address, such as \"127.0.0.1:9590\""
            ));
            None
        }
        Err(_) => {
            entry.wrong(format_args!(
                "{words:?} is no address with a port; give one such as \"127.0.0.1:9590\""
            ));
            None
        }
    }
}

/// One of the words that an option of the command line takes, too.
pub(super) fn choice<T: ValueEnum>(entry: &Entry<'_>) -> Option<T> {
    let words = entry.words()?;
    let choice = T::from_str(words, false).ok();
    if choice.is_none() {
        let known = T::value_variants().iter().filter_map(ValueEnum::to_possible_value);
        let known: Vec<_> = known.map(|value| value.get_name().to_owned()).collect();
        let remedy = match nearest(words, known.iter().map(String::as_str)) {
            Some(known) => format!("did you mean {known:?}?"),
            None => format!("give one of {}", known.join(", ")),
        };
        entry.wrong(format_args!("{words:?} is not known; {remedy}"));
    }
    choice
}
