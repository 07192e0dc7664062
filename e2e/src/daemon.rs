//! The `vbladed` process, its configuration, and its control socket.

use std::env;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::sys;
use crate::target::release_build;

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// The program under test: `$VBLADED`, else the release build of this repository.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn program() -> PathBuf {
    let path = env::var_os("VBLADED").map_or_else(|| release_build("vbladed"), PathBuf::from);
    assert!(
        path.is_file(),
        "no vbladed at {}: build it with `cargo build --release -p vblade-cli`",
        path.display()
    );
    path
}

/// A running daemon. It is killed when dropped, and shows its log when that happens in a panic.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    dir: PathBuf,
    name: String,
}

impl Daemon {
    /// Starts a daemon called `name` in `dir`, with these exports, and waits until it has served what it can.
    #[track_caller]
    #[must_use]
    pub fn start(dir: &Path, name: &str, exports: &str) -> Self {
        let dir = dir.join(name);
        fs::create_dir_all(&dir).expect("a directory for the daemon");
        let log = File::create(dir.join("log")).expect("a file for the log");
        let config = dir.join("vblade.toml");
        write(&config, &dir, exports);
        let mut command = Command::new(program());
        command
            .arg("--config")
            .arg(config)
            .env_remove("RUST_LOG")
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        sys::die_with_parent(&mut command);
        let child = command.spawn().unwrap_or_else(|why| panic!("cannot run vbladed: {why}"));
        let mut daemon = Self { child, dir, name: name.to_owned() };
        // It answers once it has settled, or has ended.
        daemon.until("it answers", |daemon| daemon.ended() || daemon.try_ask("version", json!({})).is_some());
        daemon
    }

    /// Writes another configuration, without telling the daemon.
    #[track_caller]
    pub fn configure(&self, exports: &str) {
        write(&self.dir.join("vblade.toml"), &self.dir, exports);
    }

    /// Writes another configuration and has it read, by SIGHUP. Returns when it has been.
    #[track_caller]
    pub fn reload(&mut self, exports: &str) {
        self.configure(exports);
        let before = self.log().matches("the configuration ").count();
        self.signal(Signal::HUP);
        self.until("the configuration is read", |daemon| {
            daemon.log().matches("the configuration ").count() > before
        });
        // Answered after it has settled.
        let _ = self.ask("version", json!({}));
    }

    /// Waits until something holds.
    #[track_caller]
    pub fn until(&mut self, what: &str, mut holds: impl FnMut(&mut Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds(self) {
            assert!(Instant::now() < deadline, "{}: waited in vain until {what}", self.name);
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until an export is in this state: `up`, `down` or `gone`. Returns why it is not up.
    #[track_caller]
    pub fn until_state(&mut self, export: &str, state: &str) -> String {
        let mut why = String::new();
        self.until(&format!("{export} is {state}"), |daemon| {
            let exports = daemon.ask("exports", json!({}));
            let of = exports.as_array().expect("a list").iter().find(|of| of["export"] == export);
            why = of.map_or_else(String::new, |of| of["why"].as_str().unwrap_or_default().to_owned());
            of.is_some_and(|of| of["state"] == state)
        });
        why
    }

    /// The result of a method.
    #[track_caller]
    pub fn ask(&mut self, method: &str, params: Value) -> Value {
        let answer = self.answer(method, params);
        assert!(answer["error"].is_null(), "{method}: {answer}");
        answer["result"].clone()
    }

    /// The code of the error of a method, and its message.
    #[track_caller]
    pub fn refusal(&mut self, method: &str, params: Value) -> (String, String) {
        let answer = self.answer(method, params);
        let text = |of: &str| {
            answer["error"][of].as_str().unwrap_or_else(|| panic!("{method}: {answer}")).to_owned()
        };
        (text("code"), text("message"))
    }

    #[track_caller]
    fn answer(&mut self, method: &str, params: Value) -> Value {
        self.try_ask(method, params).unwrap_or_else(|| panic!("{method}: no answer; log:\n{}", self.log()))
    }

    fn try_ask(&self, method: &str, params: Value) -> Option<Value> {
        let mut stream = UnixStream::connect(self.dir.join("control.sock")).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        writeln!(stream, "{}", json!({ "id": 7, "method": method, "params": params })).ok()?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).ok()?;
        serde_json::from_str(&line).ok()
    }

    /// What it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).expect("the log")
    }

    /// Sends a signal.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).expect("the daemon is our child");
    }

    /// Whether the process has ended.
    pub fn ended(&mut self) -> bool {
        self.child.try_wait().expect("the daemon is our child").is_some()
    }

    /// Waits for the end of the process.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        self.until("it ends", Self::ended);
        self.child.wait().expect("the daemon is our child")
    }

    /// Asks the process to end, by SIGTERM, which must give exit status 0.
    #[track_caller]
    pub fn stop(&mut self) {
        self.signal(Signal::TERM);
        let status = self.wait();
        assert!(status.success(), "vbladed ended with {status}: {}", self.log());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Fails only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!(
                "--- log of {}\n{}---",
                self.name,
                fs::read_to_string(self.dir.join("log")).unwrap_or_default()
            );
        }
    }
}

#[track_caller]
fn write(config: &Path, dir: &Path, exports: &str) {
    let (socket, state) = (dir.join("control.sock"), dir.join("state"));
    let daemon = format!("[daemon]\nsocket = {socket:?}\nstate_dir = {state:?}\n");
    fs::write(config, daemon + exports).expect("a configuration");
}

/// The table of an export, with more of its keys.
#[must_use]
pub fn export(address: &str, path: &Path, interface: &str, more: &str) -> String {
    format!("[[export]]\naddress = \"{address}\"\npath = {path:?}\ninterfaces = [\"{interface}\"]\n{more}\n")
}
