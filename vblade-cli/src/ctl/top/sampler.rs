//! Asks the daemon again and again, in a thread of its own, so that one that does not answer stops no key.

use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::Duration;

use crate::control::model::Snapshot;
use crate::ctl::client::Client;
use crate::ctl::error::Error;

/// How long an answer may take; it is shown as missing then, and asked for again.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the daemon said, or why it did not.
pub(super) type Sample = Result<Snapshot, String>;

pub(super) struct Sampler {
    receive: Receiver<Sample>,
}

impl Sampler {
    /// The first answer, and whoever asks for more from now on, until this is dropped.
    pub(super) fn start(socket: &Path, interval: Duration) -> Result<(Self, Snapshot), Error> {
        let mut client = Client::connect(socket, PATIENCE)?;
        let first = client.ask("stats")?;
        let (send, receive) = sync_channel(4);
        let (socket, mut client) = (socket.to_owned(), Some(client));
        // It ends with the process if the daemon is silent just then.
        thread::spawn(move || {
            loop {
                thread::sleep(interval);
                let sample = ask(&mut client, &socket);
                let sample = sample.map_err(|error| error.text().unwrap_or_default());
                if send.send(sample).is_err() {
                    return;
                }
            }
        });
        Ok((Self { receive }, first))
    }

    /// What has come since the last call.
    pub(super) fn samples(&self) -> impl Iterator<Item = Sample> {
        self.receive.try_iter()
    }
}

/// Asks, by a new connection if the old one failed.
fn ask(client: &mut Option<Client>, socket: &Path) -> Result<Snapshot, Error> {
    let mut connected = match client.take() {
        Some(client) => client,
        None => Client::connect(socket, PATIENCE)?,
    };
    let snapshot = connected.ask("stats")?;
    *client = Some(connected);
    Ok(snapshot)
}
