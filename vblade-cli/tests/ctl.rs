//! `vbladectl` against a daemon that says what the test wants: what is asked, what is shown, how it ends.

#[expect(dead_code, reason = "each test binary uses its part")]
mod scene;

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{Timespec, poll};
use serde_json::{Value, json};
use tempfile::TempDir;
use vblade_cli::control::model::RpcError;
use vblade_cli::control::server::{Handler, Server};

const INITIATOR: &str = "02:00:00:00:00:01";

/// Gives the answers that it was given, and notes what it was asked.
struct Fake {
    answers: HashMap<&'static str, Result<Value, RpcError>>,
    asked: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Handler for Fake {
    fn call(&mut self, method: &str, params: Value) -> Result<Value, RpcError> {
        self.asked.lock().expect("nobody panics with it").push((method.to_owned(), params));
        let unknown = || Err(RpcError::new("method", format!("there is no method {method}")));
        self.answers.get(method).cloned().unwrap_or_else(unknown)
    }
}

struct Daemon {
    directory: Arc<TempDir>,
    asked: Arc<Mutex<Vec<(String, Value)>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Daemon {
    fn new<const N: usize>(answers: [(&'static str, Result<Value, RpcError>); N]) -> Self {
        Self::at(Arc::new(tempfile::tempdir().expect("a directory")), answers)
    }

    fn at<const N: usize>(
        directory: Arc<TempDir>,
        answers: [(&'static str, Result<Value, RpcError>); N],
    ) -> Self {
        let mut server = Server::bind(&directory.path().join("s"), None).expect("a socket");
        let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let mut fake = Fake { answers: HashMap::from(answers), asked: Arc::clone(&asked) };
        let until = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let wait = Timespec::try_from(Duration::from_millis(10)).expect("a time");
            while !until.load(Ordering::Relaxed) {
                let mut events: Vec<_> = server.events().collect();
                poll(&mut events, Some(&wait)).expect("a wait");
                server.serve(&mut fake);
            }
        });
        Self { directory, asked, stop, thread: Some(thread) }
    }

    fn run(&self, arguments: &str) -> Output {
        run(&self.directory.path().join("s"), arguments, b"")
    }

    /// What the last request was.
    fn asked(&self) -> (String, Value) {
        self.asked.lock().expect("nobody panics with it").pop().expect("a request")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().expect("a thread").join();
        assert!(ended.is_ok() || thread::panicking(), "the daemon panicked");
    }
}

fn run(socket: &Path, arguments: &str, input: &[u8]) -> Output {
    let mut child = Command::new("timeout")
        .args(["-s", "KILL", "30", env!("CARGO_BIN_EXE_vbladectl")])
        .args(arguments.split_whitespace())
        .env("VBLADE_SOCKET", socket)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    child.stdin.take().expect("a pipe").write_all(input).expect("a reader");
    child.wait_with_output().expect("the program")
}

#[track_caller]
fn shown(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout.clone()).expect("text")
}

/// Standard error of one that ended with `status`, and printed nothing else.
#[track_caller]
fn refused(output: &Output, status: i32) -> String {
    assert_eq!(output.status.code(), Some(status), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    let stderr = String::from_utf8(output.stderr.clone()).expect("text");
    assert!(stderr.starts_with("vbladectl: ") && stderr.ends_with('\n'), "{stderr}");
    stderr
}

fn export(address: &str, state: &str) -> Value {
    json!({
        "export": address, "path": "/dev/disk/by-id/disk-1", "origin": "vblade.toml:3", "state": state, "why": null,
        "interfaces": ["eth1"], "sectors": 2048, "cache": "writethrough", "read_only": false, "buffer_count": 16,
        "mask": [], "reserve": [], "config_string": "", "trace": null,
    })
}

fn figures() -> Value {
    let latency = json!({ "buckets": [0, 0, 90, 9, 1, 0], "sum_us": 300, "count": 100 });
    let none = json!({ "buckets": [0, 0, 0, 0, 0, 0], "sum_us": 0, "count": 0 });
    let counts = json!({
        "requests": 123_456, "reads": 100_000, "writes": 20_000, "read_bytes": 1_610_612_736_u64, "written_bytes": 512,
        "errors": 6, "retransmits": 4, "in_flight": 5,
    });
    let with = |mut more: Value| {
        let fields = more.as_object_mut().expect("an object");
        fields.extend(counts.as_object().expect("an object").clone());
        more
    };
    let initiator = with(json!({ "mac": INITIATOR, "name": "web1", "last_seen": 0.1, "latency": latency }));
    let export = with(json!({
        "export": "7.3", "state": "up", "sectors": 2048, "ignored": 6, "late_writes": 0, "flushes": 7, "trims": 8, "limited": 9,
        "initiators_forgotten": 0, "max_in_flight": 16, "aoe_errors": 1, "ata_errors": 2, "disk_errors": 3,
        "read_latency": latency, "write_latency": none, "other_latency": none, "initiators": [initiator],
    }));
    let server = json!({
        "rx_frames": 1, "tx_frames": 2, "advertisements": 3, "overlaps": 4, "over_share": 5, "queue_full": 6, "no_frame": 7,
        "wildcards_dropped": 8, "address_conflicts": 9,
    });
    json!({ "at": 12.5, "server": server, "interfaces": [], "exports": [export] })
}

#[test]
fn exports_are_a_table_that_says_what_is_unusual() {
    let mut down = export("7.4", "down");
    down["why"] = json!("/dev/disk/by-id/disk-1: no such\nfile");
    down["mask"] = json!([INITIATOR]);
    down["trace"] = json!("/t");
    let daemon = Daemon::new([("exports", Ok(json!([export("7.3", "up"), down])))]);
    assert_eq!(
        shown(&daemon.run("exports")),
        "EXPORT  STATE  SIZE      CACHE         ACCESS  INTERFACES  PATH\n\
         7.3     up     1.00 MiB  writethrough  rw      eth1        /dev/disk/by-id/disk-1\n\
         7.4     down   1.00 MiB  writethrough  rw      eth1        /dev/disk/by-id/disk-1\n\n\
         7.4: /dev/disk/by-id/disk-1: no such\\nfile\n\
         7.4: only for 02:00:00:00:00:01 (vbladectl mask clear 7.4)\n\
         7.4: is traced to /t\n"
    );
}

#[test]
fn figures_are_tables_of_at_most_80_columns() {
    let initiators = json!([{ "export": "7.3", "initiators": figures()["exports"][0]["initiators"] }]);
    let daemon = Daemon::new([("stats", Ok(figures())), ("initiators", Ok(initiators))]);
    let stats = shown(&daemon.run("stats"));
    assert_eq!(
        stats,
        "EXPORT  STATE  REQS  READ      WRITTEN  ERRS  RETR  BUSY  P50  P99  IGN  USERS\n\
         7.3     up     123k  1.50 GiB  512 B    6     4     5     4us  8us  6    1\n\n\
         frames received 1, sent 2, overlaps 4, over share 5, queue full 6, address conflicts 9\n"
    );
    let initiators = shown(&daemon.run("initiators e7.3"));
    assert_eq!(
        initiators,
        "EXPORT  INITIATOR          REQS  READ      WRITTEN  ERRS  RETR  P99  SEEN  NAME\n\
         7.3     02:00:00:00:00:01  123k  1.50 GiB  512 B    6     4     8us  now   web1\n"
    );
    assert_eq!(daemon.asked(), ("initiators".to_owned(), json!({ "export": "7.3" })));
    assert!(!shown(&daemon.run("stats 7.3")).contains("frames"));
    assert!(refused(&daemon.run("stats 7.5"), 1).contains("there is no export 7.5"));
}

#[test]
fn status_tells_of_the_daemon_and_its_interfaces() {
    let interface = |name: &str, present, up| {
        json!({
            "name": name, "present": present, "up": up, "mac": INITIATOR, "mtu": 9000, "way": "packet", "rx_dropped": 1234,
            "rx_refused": 0, "tx_dropped": 0,
        })
    };
    let reload = json!({
        "added": ["7.4"], "removed": [], "changed": ["7.3", "7.5"], "at": 0, "error": null, "restart_for": ["link"],
    });
    let status = json!({
        "version": "0.1.0", "pid": 99, "uptime_seconds": 7200.0, "config": "/etc/vblade/vblade.toml", "last_reload": reload,
        "exports": 3, "exports_down": 1, "interfaces": [interface("eth1", true, true), interface("eth2", false, false)],
        "sandbox": "no capabilities", "of_a_later_version": 1,
    });
    let daemon = Daemon::new([("status", Ok(status.clone())), ("reload", Ok(reload))]);
    assert_eq!(
        shown(&daemon.run("status")),
        "vbladed        0.1.0, process 99\n\
         up             2h\n\
         configuration  /etc/vblade/vblade.toml\n\
         last reload    added: 7.4, changed: 7.3, 7.5, in force after a restart only: link\n\
         exports        3, 1 of them not up\n\
         sandbox        no capabilities\n\n\
         INTERFACE  LINK     MTU   ADDRESS            RX DROP  RX REFUSE  TX DROP  BY\n\
         eth1       up       9000  02:00:00:00:00:01  1.23k    0          0        packet\n\
         eth2       missing  9000  02:00:00:00:00:01  1.23k    0          0        packet\n"
    );
    assert_eq!(
        shown(&daemon.run("reload")),
        "added: 7.4\nchanged: 7.3, 7.5\nin force after a restart only: link\n"
    );
    let document: Value = serde_json::from_str(&shown(&daemon.run("--json status"))).expect("JSON");
    assert_eq!(document, status, "as the daemon gave it");
}

#[test]
fn what_changes_something_asks_for_it_and_says_that_it_is_done() {
    let daemon = Daemon::new([
        ("export.add", Ok(export("7.9", "up"))),
        ("export.remove", Ok(json!({}))),
        ("mask.clear", Ok(json!({}))),
        ("reserve.release", Ok(json!({}))),
        ("trace.on", Ok(json!({ "file": "/t/7.3.pcapng" }))),
        ("trace.off", Ok(json!({ "file": "/t/7.3.pcapng", "frames": 12, "bytes": 2048, "dropped": 1 }))),
    ]);
    let toml = "[[export]]\naddress = \"7.9\"\n";
    let output = run(&daemon.directory.path().join("s"), "export add -", toml.as_bytes());
    assert_eq!(shown(&output), "7.9: /dev/disk/by-id/disk-1 is up\n");
    assert_eq!(daemon.asked(), ("export.add".to_owned(), json!({ "toml": toml })));
    for (arguments, method, params, answer) in [
        ("export remove e7.9", "export.remove", json!({ "export": "7.9" }), "7.9 is not served any more\n"),
        (
            "mask clear 7.3",
            "mask.clear",
            json!({ "export": "7.3" }),
            "7.3: the mask list is empty: every initiator may use it\n",
        ),
        ("reserve release 7.3", "reserve.release", json!({ "export": "7.3" }), "7.3: is not reserved\n"),
        (
            "trace on 7.3 --seconds 5 --file x",
            "trace.on",
            json!({ "export": "7.3", "seconds": 5, "file": "x" }),
            "7.3: frames are written to /t/7.3.pcapng\n",
        ),
        (
            "trace off 7.3",
            "trace.off",
            json!({ "export": "7.3" }),
            "7.3: 12 frames, 2.00 KiB, are in /t/7.3.pcapng; 1 are not: they came too fast, or it was full\n",
        ),
    ] {
        assert_eq!(shown(&daemon.run(arguments)), answer);
        assert_eq!(daemon.asked(), (method.to_owned(), params));
    }
}

#[test]
fn what_the_daemon_refuses_is_told_and_is_a_failure() {
    let broken = json!({
        "added": [], "removed": [], "changed": [], "at": 0, "error": "vblade.toml:3:1: no such key", "restart_for": [],
    });
    let mistakes = RpcError::new("config", "a:1:1: wrong\nb:2:2: wrong too");
    let daemon = Daemon::new([("reload", Ok(broken)), ("export.add", Err(mistakes))]);
    let line = refused(&daemon.run("reload"), 1);
    assert_eq!(line, "vbladectl: nothing was changed: vblade.toml:3:1: no such key\n");
    let json = daemon.run("reload --json");
    assert_eq!(json.status.code(), Some(1));
    assert!(serde_json::from_slice::<Value>(&json.stdout).is_ok(), "{json:?}");
    assert_eq!(refused(&daemon.run("export add -"), 1), "vbladectl: a:1:1: wrong\nb:2:2: wrong too\n");
    assert_eq!(refused(&daemon.run("status"), 1), "vbladectl: there is no method status\n");
}

#[test]
fn an_answer_of_another_shape_is_told_and_json_shows_it() {
    let daemon = Daemon::new([("status", Ok(json!([1])))]);
    assert!(refused(&daemon.run("status"), 1).contains("another version, whose answer only --json shows"));
    assert_eq!(shown(&daemon.run("status --json")), "[\n  1\n]\n");
}

#[test]
fn a_bad_argument_is_refused_before_the_daemon_is_asked() {
    let daemon = Daemon::new([]);
    for arguments in
        ["trace off 7", "mask clear 70000.1", "stats x", "export add /nonexistent", "nonsense", "trace on"]
    {
        let line = refused(&daemon.run(arguments), 2);
        assert_eq!(line.lines().count(), 1, "{line}");
    }
    assert!(daemon.asked.lock().expect("nobody panics with it").is_empty());
}

#[test]
fn without_a_daemon_the_remedy_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let line = refused(&run(&directory.path().join("none"), "status", b""), 1);
    assert!(line.contains("none: no vbladed answers there") && line.contains("--socket"), "{line}");
}

/// A terminal of 80 by 24 in which `vbladectl top` runs. It ends with this.
struct Screen(PathBuf);

impl Screen {
    fn top(directory: &Path) -> Self {
        let screen = Self(directory.join("tmux"));
        let program = env!("CARGO_BIN_EXE_vbladectl");
        let script = format!("{program} --socket {}/s top; echo \"ended $?\"; sleep 60", directory.display());
        screen.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", &script]);
        screen
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let output = Command::new("tmux").arg("-u").arg("-S").arg(&self.0).args(arguments).output();
        let output = output.expect("tmux runs");
        assert!(output.status.success() || thread::panicking(), "{arguments:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn press(&self, key: &str) {
        self.tmux(&["send-keys", key]);
    }

    /// Waits until the screen is as wanted.
    #[track_caller]
    fn await_that(&self, what: impl Fn(&str) -> bool) {
        let start = Instant::now();
        loop {
            let shown = self.tmux(&["capture-pane", "-p"]);
            if what(&shown) {
                return;
            }
            assert!(start.elapsed() < Duration::from_secs(30), "not what was waited for:\n{shown}");
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

#[test]
fn top_runs_in_a_terminal_obeys_keys_waits_for_a_daemon_that_went_away_and_leaves_the_terminal_as_it_was() {
    if Command::new("tmux").arg("-V").output().is_err() {
        return scene::skip("no tmux: apt-get install tmux");
    }
    let daemon = Daemon::new([("stats", Ok(figures()))]);
    let directory = Arc::clone(&daemon.directory);
    let screen = Screen::top(directory.path());
    screen.await_that(|shown| shown.contains("vbladed up 12s  1 export") && shown.contains("7.3       up"));
    screen.press("Tab");
    screen.await_that(|shown| shown.contains("INITIATOR") && shown.contains("web1"));
    drop(daemon);
    screen.await_that(|shown| {
        shown.contains("nothing heard for") && shown.contains("no vbladed answers there")
    });
    let _again = Daemon::at(Arc::clone(&directory), [("stats", Ok(figures()))]);
    screen.await_that(|shown| !shown.contains("nothing heard"));
    screen.tmux(&["resize-window", "-x", "20", "-y", "5"]);
    screen.await_that(|shown| {
        shown.lines().next().is_some_and(|line| line.trim_end() == "vbladed up 12s  1 ex")
    });
    screen.press("q");
    screen.await_that(|shown| shown.trim_end() == "ended 0");
}

#[test]
fn top_without_a_terminal_is_refused() {
    let daemon = Daemon::new([("stats", Ok(figures()))]);
    assert!(refused(&daemon.run("top"), 2).contains("needs a terminal"));
}
