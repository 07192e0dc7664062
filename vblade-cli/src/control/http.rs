//! Where Prometheus asks: `GET /metrics` on a loopback address, and nothing else.
//!
//! It is driven as the control [`server`](super::server) is. Each connection has one request and one answer.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

use super::connection::{Connection, PATIENCE};
use super::metrics::{CONTENT_TYPE, text};
use super::model::Snapshot;
use super::pause::Pause;

/// Clients at a time; more are closed.
pub const MOST_CLIENTS: usize = 8;
/// Bytes of a request, all headers included.
const LONGEST_REQUEST: usize = 8 << 10;
const MOST_HEADERS: usize = 64;

/// Why there is no metrics port.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// Others could ask, and there is neither encryption nor a password.
    #[error(
        "metrics address {0}: is no loopback address; give 127.0.0.1 or [::1], and put a proxy before it for others"
    )]
    NotLoopback(SocketAddr),
    /// The system refused it.
    #[error("metrics address {address}: cannot be listened on")]
    System {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

/// The port and its clients.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    clients: Vec<Connection<TcpStream>>,
    pause: Pause,
}

impl Server {
    /// Listens on `address`.
    ///
    /// # Errors
    ///
    /// [`HttpError`].
    pub fn bind(address: SocketAddr) -> Result<Self, HttpError> {
        if !address.ip().to_canonical().is_loopback() {
            return Err(HttpError::NotLoopback(address));
        }
        let listen = || {
            let listener = TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        };
        let listener = listen().map_err(|source| HttpError::System { address, source })?;
        Ok(Self { listener, clients: Vec::new(), pause: Pause::default() })
    }

    /// Where it listens: the port is the system's choice if 0 was asked for.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// What to poll for.
    pub fn events(&self) -> impl Iterator<Item = PollFd<'_>> {
        let listener = PollFd::new(&self.listener, PollFlags::IN);
        let listener = self.pause.left(Instant::now()).is_none().then_some(listener);
        listener.into_iter().chain(self.clients.iter().map(Connection::event))
    }

    /// How long polling may take; none when nothing is expected.
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        let clients = (!self.clients.is_empty()).then_some(Duration::from_secs(1));
        clients.into_iter().chain(self.pause.left(Instant::now())).min()
    }

    /// Takes in, answers with `snapshot`, which is called when one is asked for, and sends what there is.
    pub fn serve(&mut self, snapshot: &mut dyn FnMut() -> Snapshot) {
        let now = Instant::now();
        for _ in 0..MOST_CLIENTS {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) => {
                    self.pause.note(&error, now);
                    break;
                }
            };
            if self.clients.len() < MOST_CLIENTS && stream.set_nonblocking(true).is_ok() {
                self.clients.push(Connection::new(stream, now));
            }
        }
        self.clients.retain_mut(|client| attend(client, snapshot, now).is_ok() && !client.is_over());
    }
}

fn attend(
    client: &mut Connection<TcpStream>,
    snapshot: &mut dyn FnMut() -> Snapshot,
    now: Instant,
) -> io::Result<()> {
    client.send(now)?;
    client.receive(LONGEST_REQUEST)?;
    if client.is_answering() || client.is_over() {
        return Ok(());
    }
    let answer = match judge(client.input()) {
        Judged::More if client.input().len() >= LONGEST_REQUEST => {
            response("431 Request Header Fields Too Large", "text/plain", "too long\n")
        }
        Judged::More if client.has_ended() || client.idle(now) >= PATIENCE => {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Judged::More => return Ok(()),
        Judged::Metrics => response("200 OK", CONTENT_TYPE, &text(&snapshot())),
        Judged::Other(status) => response(status, "text/plain", "GET /metrics\n"),
    };
    client.end();
    client.answer(answer, Instant::now())
}

/// What a request is for.
enum Judged {
    More,
    Metrics,
    Other(&'static str),
}

fn judge(input: &[u8]) -> Judged {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(input) {
        Ok(httparse::Status::Partial) => Judged::More,
        Ok(httparse::Status::Complete(_)) => {
            let path = request.path.unwrap_or_default();
            match (request.method, path.split('?').next()) {
                (Some("GET"), Some("/metrics")) => Judged::Metrics,
                (_, Some("/metrics")) => Judged::Other("405 Method Not Allowed"),
                _ => Judged::Other("404 Not Found"),
            }
        }
        Err(_) => Judged::Other("400 Bad Request"),
    }
}

fn response(status: &str, content_type: &str, body: &str) -> Vec<u8> {
    let mut response = Vec::with_capacity(body.len() + 256);
    let allow = if status.starts_with("405") { "Allow: GET\r\n" } else { "" };
    // Writing to memory cannot fail.
    let _ = write!(
        response,
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n{allow}Connection: close\r\n\r\n{body}",
        body.len()
    );
    response
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use rustix::event::{Timespec, poll};

    use super::*;

    /// Serves while `clients` are at it.
    fn with_server(clients: impl FnOnce(SocketAddr)) {
        let mut server = Server::bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
        let address = server.address().expect("an address");
        let stop = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let wait = Timespec::try_from(Duration::from_millis(20)).expect("a time");
            while !until.load(Ordering::Relaxed) {
                let mut events: Vec<_> = server.events().collect();
                poll(&mut events, Some(&wait)).expect("a wait");
                server.serve(&mut || Snapshot { at: 4.5, ..Snapshot::default() });
            }
        });
        clients(address);
        stop.store(true, Ordering::Relaxed);
        thread.join().expect("the server");
    }

    fn connect(address: SocketAddr) -> TcpStream {
        let stream = TcpStream::connect(address).expect("a server");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
        stream
    }

    fn ask(address: SocketAddr, request: &[u8]) -> String {
        let mut stream = connect(address);
        stream.write_all(request).expect("a server");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer, then the end");
        text
    }

    #[test]
    fn metrics_are_given_and_nothing_else() {
        with_server(|address| {
            let text = ask(address, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
            let (head, body) = text.split_once("\r\n\r\n").expect("headers");
            assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
            assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
            assert!(body.contains("vblade_uptime_seconds 4.5\n") && body.ends_with("# EOF\n"), "{body}");
            for (request, status) in [
                ("GET / HTTP/1.1\r\n\r\n", "404"),
                ("GET /metrics/../etc HTTP/1.1\r\n\r\n", "404"),
                ("POST /metrics HTTP/1.1\r\n\r\n", "405"),
                ("nonsense\r\n\r\n", "400"),
            ] {
                let text = ask(address, request.as_bytes());
                assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?}: {text}");
            }
            let long = [b"GET /metrics HTTP/1.1\r\nX: ".as_slice(), &[b'x'; LONGEST_REQUEST]].concat();
            let mut stream = connect(address);
            stream.write_all(&long[..LONGEST_REQUEST]).expect("a server");
            let mut text = String::new();
            stream.read_to_string(&mut text).expect("an answer, then the end");
            assert!(text.starts_with("HTTP/1.1 431 "), "{text}");
        });
    }

    #[test]
    fn a_request_in_pieces_is_one_and_silent_clients_keep_nobody_out_for_long() {
        with_server(|address| {
            let mut stream = connect(address);
            let silent: Vec<_> = (0..MOST_CLIENTS - 1).map(|_| connect(address)).collect();
            for piece in ["GET /met", "rics HTTP/1.1\r\n", "\r\n"] {
                stream.write_all(piece.as_bytes()).expect("a server");
                thread::sleep(Duration::from_millis(30));
            }
            let mut text = String::new();
            stream.read_to_string(&mut text).expect("an answer");
            assert!(text.starts_with("HTTP/1.1 200"), "{text}");
            drop(silent);
        });
        let (near, _far) = {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            let far = connect(listener.local_addr().expect("an address"));
            (listener.accept().expect("a client").0, far)
        };
        near.set_nonblocking(true).expect("a socket");
        let start = Instant::now();
        let mut client = Connection::new(near, start);
        assert!(attend(&mut client, &mut Snapshot::default, start).is_ok());
        assert!(attend(&mut client, &mut Snapshot::default, start + PATIENCE).is_err());
    }

    #[test]
    fn an_address_that_others_reach_is_refused() {
        for address in ["0.0.0.0:9100", "192.0.2.1:9100", "[::]:9100", "[2001:db8::1]:9100"] {
            let error = Server::bind(address.parse().expect("an address")).expect_err("not loopback");
            assert!(matches!(error, HttpError::NotLoopback(_)), "{error:?}");
        }
        assert!(Server::bind("[::ffff:127.0.0.1]:0".parse().expect("an address")).is_ok());
    }
}
