//! The control socket: each line is a request, and its answer is a line.
//!
//! The manager's loop polls [`Server::events`] for at most [`Server::timeout`], then calls [`Server::serve`], which never waits. A client that is
//! slow, silent or talks nonsense costs a bounded amount of memory and nobody's time.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use serde_json::Value;

use super::connection::Connection;
use super::model::{Request, Response, RpcError};
use super::pause::Pause;
use super::socket::{BindError, Socket};

/// Clients at a time.
pub const MOST_CLIENTS: usize = 32;
/// Bytes of a request.
pub const LONGEST_LINE: usize = 64 << 10;
/// A client that said nothing for so long gives way to another when there is no room.
const IDLE: Duration = Duration::from_secs(10);

/// Who answers.
pub trait Handler {
    /// Does what `method` says. `params` is an object, or null when the request had none.
    ///
    /// # Errors
    ///
    /// What the client is to be told.
    fn call(&mut self, method: &str, params: Value) -> Result<Value, RpcError>;
}

/// The control socket and its clients.
#[derive(Debug)]
pub struct Server {
    socket: Socket,
    clients: Vec<Connection<UnixStream>>,
    pause: Pause,
}

impl Server {
    /// Makes the socket at `path` with mode 0660, for `group`, by name or number, and its directory if there is none. It is removed when
    /// this is dropped.
    ///
    /// # Errors
    ///
    /// [`BindError`]; what a dead process left there is replaced.
    pub fn bind(path: &Path, group: Option<&str>) -> Result<Self, BindError> {
        Ok(Self { socket: Socket::bind(path, group)?, clients: Vec::new(), pause: Pause::default() })
    }

    /// What to poll for.
    pub fn events(&self) -> impl Iterator<Item = PollFd<'_>> {
        let listener = PollFd::new(&self.socket.listener, PollFlags::IN);
        let listener = self.pause.left(Instant::now()).is_none().then_some(listener);
        listener.into_iter().chain(self.clients.iter().map(Connection::event))
    }

    /// How long polling may take: nothing while there are requests that were read and not answered, none when nothing is expected.
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        let waits = self.clients.iter().filter_map(|client| {
            let answering = client.is_answering().then_some(Duration::from_secs(1));
            let waiting = (!client.is_answering() && next_line(client).is_some()).then_some(Duration::ZERO);
            answering.or(waiting)
        });
        waits.chain(self.pause.left(Instant::now())).min()
    }

    /// Takes in, answers by `handler`, and sends what there is: at most one request of each client.
    pub fn serve(&mut self, handler: &mut dyn Handler) {
        let now = Instant::now();
        self.accept(now);
        self.clients.retain_mut(|client| attend(client, handler, now).is_ok() && !client.is_over());
    }

    fn accept(&mut self, now: Instant) {
        // As many as there is room for, each time: more are not of one moment.
        for _ in 0..MOST_CLIENTS {
            let stream = match self.socket.listener.accept() {
                Ok((stream, _)) => stream,
                // Without a descriptor to spare, or when the client has gone, another time.
                Err(error) => return self.pause.note(&error, now),
            };
            if stream.set_nonblocking(true).is_err() {
                continue;
            }
            let mut client = Connection::new(stream, now);
            if self.has_room(now) {
                self.clients.push(client);
            } else {
                let error =
                    RpcError::new("busy", format!("{MOST_CLIENTS} clients are connected; try again later"));
                // It fits into the socket; if not, closing says as much.
                let _ = client.answer(line(Value::Null, Err(error)), now);
            }
        }
    }

    /// Makes room for one more, if need be by closing the client that has been silent for longest.
    fn has_room(&mut self, now: Instant) -> bool {
        if self.clients.len() < MOST_CLIENTS {
            return true;
        }
        let silent = self.clients.iter().enumerate().max_by_key(|(_, client)| client.idle(now));
        let Some((at, _)) = silent.filter(|(_, client)| client.idle(now) >= IDLE) else { return false };
        self.clients.swap_remove(at);
        true
    }
}

/// The length of the first request, with its end of line.
fn next_line(client: &Connection<UnixStream>) -> Option<usize> {
    let input = client.input();
    let end = input.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
    // The last one needs no end of line.
    end.or_else(|| (client.has_ended() && !input.is_empty()).then_some(input.len()))
}

/// What one client wants, one request of it.
fn attend(client: &mut Connection<UnixStream>, handler: &mut dyn Handler, now: Instant) -> io::Result<()> {
    client.send(now)?;
    if client.is_answering() {
        return Ok(());
    }
    client.receive(LONGEST_LINE + 1)?;
    let Some(len) = next_line(client) else {
        if client.input().len() > LONGEST_LINE {
            let error = RpcError::new("parse", format!("a request is longer than {LONGEST_LINE} bytes"));
            client.end();
            client.answer(line(Value::Null, Err(error)), now)?;
        }
        return Ok(());
    };
    let request = client.take(len, now);
    if request.trim_ascii().is_empty() {
        return Ok(());
    }
    let (id, result) = match serde_json::from_slice::<Request>(&request) {
        Ok(request) => (request.id, handler.call(&request.method, request.params)),
        Err(error) => {
            let help = r#"a request is a line such as {"id": 1, "method": "status"}"#;
            (Value::Null, Err(RpcError::new("parse", format!("{error}; {help}"))))
        }
    };
    // The handler may have taken its time, which is not the client's.
    client.answer(line(id, result), Instant::now())
}

fn line(id: Value, result: Result<Value, RpcError>) -> Vec<u8> {
    let (result, error) = match result {
        Ok(result) => (Some(result), None),
        Err(error) => (None, Some(error)),
    };
    let mut line = serde_json::to_vec(&Response { id, result, error }).unwrap_or_default();
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests;
