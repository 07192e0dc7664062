use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use rustix::event::{Timespec, poll};
use serde_json::json;
use tempfile::TempDir;

use super::*;

/// Gives back what it is asked, and a lot of it when that is asked for.
struct Echo;

impl Handler for Echo {
    fn call(&mut self, method: &str, params: Value) -> Result<Value, RpcError> {
        match method {
            "echo" => Ok(params),
            "much" => Ok(json!("x".repeat(8 << 20))),
            _ => Err(RpcError::new("method", format!("no method {method:?}"))),
        }
    }
}

/// A server in a thread, driven as the manager does it.
struct Served {
    directory: TempDir,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Served {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let stop = Arc::new(AtomicBool::new(false));
        let mut server = Server::bind(&directory.path().join("s"), None).expect("a socket");
        let until = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                let wait = server.timeout().unwrap_or(Duration::from_millis(20));
                let wait = Timespec::try_from(wait.min(Duration::from_millis(20))).expect("a time");
                let mut events: Vec<_> = server.events().collect();
                poll(&mut events, Some(&wait)).expect("a wait");
                server.serve(&mut Echo);
            }
        });
        Self { directory, stop, thread: Some(thread) }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("s")
    }

    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(self.path()).expect("a server");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
        stream
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().expect("a thread").join();
        assert!(ended.is_ok() || thread::panicking(), "the server panicked");
    }
}

fn answer(stream: &UnixStream) -> Response {
    let mut line = String::new();
    BufReader::with_capacity(1, stream).read_line(&mut line).expect("an answer");
    serde_json::from_str(&line).expect("JSON")
}

fn ask(mut stream: &UnixStream, line: &str) -> Response {
    writeln!(stream, "{line}").expect("a server");
    answer(stream)
}

fn code(response: Response) -> String {
    response.error.expect("an error").code
}

#[test]
fn a_request_is_answered_by_its_id_and_a_connection_serves_many() {
    let served = Served::new();
    let stream = served.connect();
    let response = ask(&stream, r#"{"id": "a", "method": "echo", "params": {"n": 1}}"#);
    assert_eq!((response.id, response.result), (json!("a"), Some(json!({"n": 1}))));
    let response = ask(&stream, r#"{"method": "nonsense"}"#);
    assert_eq!((response.id.clone(), code(response)), (Value::Null, "method".to_owned()));
}

#[test]
fn requests_sent_at_once_are_answered_in_order_and_the_last_needs_no_end_of_line() {
    let served = Served::new();
    let mut stream = served.connect();
    let line = |n| format!("{{\"id\": {n}, \"method\": \"echo\", \"params\": {{}}}}");
    let lines: Vec<_> = (0..100).map(line).collect();
    stream.write_all(lines.join("\n").as_bytes()).expect("a server");
    stream.shutdown(std::net::Shutdown::Write).expect("half a connection");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("answers, then the end");
    let ids = text.lines().map(|line| serde_json::from_str::<Response>(line).expect("JSON").id);
    assert!(ids.eq((0..100).map(|n| json!(n))), "{text}");
}

#[test]
fn garbage_is_answered_and_the_connection_lives() {
    let served = Served::new();
    let stream = served.connect();
    for garbage in
        ["{", "[]", "\u{0}\u{1}", r#"{"method": "echo", "parms": {}}"#, r#"{"id": 1}"#, &"[".repeat(9000)]
    {
        assert_eq!(code(ask(&stream, garbage)), "parse", "{garbage:?}");
    }
    (&stream).write_all(b"\xff\xfe\n\n \n").expect("a server");
    assert_eq!(code(answer(&stream)), "parse");
    assert!(ask(&stream, r#"{"method": "echo", "params": {}}"#).error.is_none());
}

#[test]
fn a_line_that_is_too_long_is_answered_and_ends_the_connection() {
    let served = Served::new();
    let mut stream = served.connect();
    stream.write_all(&vec![b' '; LONGEST_LINE + 1]).expect("a server");
    assert_eq!(code(answer(&stream)), "parse");
    let rest = stream.read(&mut [0; 1]);
    assert!(matches!(rest, Ok(0) | Err(_)), "{rest:?}");
    // As long as it may be.
    let stream = served.connect();
    let mut line = r#"{"method": "echo", "params": {}}"#.to_owned();
    line.extend(std::iter::repeat_n(' ', LONGEST_LINE - 1 - line.len()));
    assert!(ask(&stream, &line).error.is_none());
}

#[test]
fn a_large_answer_arrives_whole_and_one_that_is_not_taken_disturbs_nobody() {
    let served = Served::new();
    let mut slow = served.connect();
    writeln!(slow, r#"{{"method": "much"}}"#).expect("a server");
    writeln!(slow, r#"{{"id": 2, "method": "echo", "params": {{}}}}"#).expect("a server");
    let other = served.connect();
    assert!(ask(&other, r#"{"method": "echo", "params": {}}"#).error.is_none());
    let mut lines = BufReader::new(&slow).lines().map(|line| line.expect("an answer"));
    assert!(lines.next().expect("an answer").len() > 8 << 20);
    assert!(lines.next().expect("an answer").contains(r#""id":2"#));
}

#[test]
fn a_client_that_goes_away_in_the_middle_is_forgotten() {
    let served = Served::new();
    for request in [&b"{\"met"[..], b"{\"method\": \"much\"}\n"] {
        let mut stream = served.connect();
        stream.write_all(request).expect("a server");
    }
    assert!(ask(&served.connect(), r#"{"method": "echo", "params": {}}"#).error.is_none());
}

#[test]
fn beyond_the_bound_clients_are_told_and_the_others_go_on() {
    let served = Served::new();
    let clients: Vec<_> = (0..MOST_CLIENTS).map(|_| served.connect()).collect();
    for client in &clients {
        assert!(ask(client, r#"{"method": "echo", "params": {}}"#).error.is_none());
    }
    assert_eq!(code(answer(&served.connect())), "busy");
    assert!(ask(&clients[0], r#"{"method": "echo", "params": {}}"#).error.is_none());
    drop(clients);
    // It is not told how soon the server notices.
    let again = || {
        let stream = served.connect();
        let mut line = String::new();
        let _ = writeln!(&stream, r#"{{"method": "echo", "params": {{}}}}"#);
        BufReader::new(&stream).read_line(&mut line).is_ok_and(|_| line.contains("result"))
    };
    assert!((0..100).any(|_| again()));
}

#[test]
fn who_is_silent_for_long_gives_way_when_there_is_no_room() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut server = Server::bind(&directory.path().join("s"), None).expect("a socket");
    let _clients: Vec<_> = (0..MOST_CLIENTS)
        .map(|_| UnixStream::connect(directory.path().join("s")).expect("a server"))
        .collect();
    let now = Instant::now();
    server.accept(now);
    assert_eq!(server.clients.len(), MOST_CLIENTS);
    assert!(!server.has_room(now));
    assert!(server.has_room(now + IDLE) && server.clients.len() == MOST_CLIENTS - 1);
}

#[test]
fn an_answer_that_is_not_taken_in_time_ends_the_connection() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut server = Server::bind(&directory.path().join("s"), None).expect("a socket");
    let mut slow = UnixStream::connect(directory.path().join("s")).expect("a server");
    writeln!(slow, r#"{{"method": "much"}}"#).expect("a server");
    server.serve(&mut Echo);
    assert!(server.timeout().is_some(), "looked after without events");
    let client = server.clients.first_mut().expect("a client");
    assert!(client.is_answering());
    assert!(client.send(Instant::now()).is_ok());
    assert!(client.send(Instant::now() + super::super::connection::PATIENCE * 2).is_err());
}
