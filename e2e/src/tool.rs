//! The `aoe` process, which never outlives its time.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::net::CLIENT;
use crate::sys;
use crate::target::release_build;
use crate::terminal::Terminal;

/// How long a command may take unless the test says otherwise.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a process is looked at.
const GLANCE: Duration = Duration::from_millis(2);

/// The program under test: `$AOE`, else the release build of this repository.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn program() -> PathBuf {
    let path = std::env::var_os("AOE").map_or_else(|| release_build("aoe"), PathBuf::from);
    assert!(
        path.is_file(),
        "no aoe at {}: build it with `cargo build --release -p vblade-cli`, or set AOE",
        path.display()
    );
    path
}

/// Runs `aoe -i ini0 words...`, which must end within 30 s.
#[track_caller]
#[must_use]
pub fn aoe(words: &str) -> Outcome {
    Tool::new(words).run()
}

/// A command line of `aoe`.
#[derive(Debug)]
pub struct Tool {
    program: PathBuf,
    wrapper: Vec<OsString>,
    interfaces: Vec<String>,
    words: Vec<OsString>,
    stdin: Option<PathBuf>,
    patience: Duration,
}

impl Tool {
    /// `aoe -i ini0` and these words.
    #[must_use]
    pub fn new(words: &str) -> Self {
        Self {
            program: program(),
            wrapper: Vec::new(),
            interfaces: vec![CLIENT.to_owned()],
            words: words.split_whitespace().map(OsString::from).collect(),
            stdin: None,
            patience: PATIENCE,
        }
    }

    /// One more word, spaces and all.
    #[must_use]
    pub fn arg(mut self, word: impl Into<OsString>) -> Self {
        self.words.push(word.into());
        self
    }

    /// Other interfaces than `ini0`; none leaves the option `-i` out.
    #[must_use]
    pub fn on(self, interfaces: &[&str]) -> Self {
        Self { interfaces: interfaces.iter().map(|&name| name.to_owned()).collect(), ..self }
    }

    /// Another file that is `aoe`.
    #[must_use]
    pub fn program(self, program: PathBuf) -> Self {
        Self { program, ..self }
    }

    /// A command that runs `aoe`, whose command line follows. It must become `aoe` by exec.
    #[must_use]
    pub fn wrapper(self, words: &str) -> Self {
        Self { wrapper: words.split_whitespace().map(OsString::from).collect(), ..self }
    }

    /// Standard input from this file.
    #[must_use]
    pub fn stdin(self, path: &Path) -> Self {
        Self { stdin: Some(path.to_owned()), ..self }
    }

    /// Another time within which it must end.
    #[must_use]
    pub fn within(self, seconds: u64) -> Self {
        Self { patience: Duration::from_secs(seconds), ..self }
    }

    /// Runs it to its end.
    #[track_caller]
    #[must_use]
    pub fn run(self) -> Outcome {
        self.spawn().wait()
    }

    /// Starts it.
    #[track_caller]
    #[must_use]
    pub fn spawn(self) -> Running {
        let out = tempfile::tempfile().expect("a file for stdout");
        let err = tempfile::tempfile().expect("a file for stderr");
        let stdin = self
            .stdin
            .as_ref()
            .map_or_else(Stdio::null, |path| Stdio::from(File::open(path).expect("the file for stdin")));
        let own = |file: &File| Stdio::from(file.try_clone().expect("a descriptor"));
        let (stdout, stderr) = (own(&out), own(&err));
        self.start(stdin, stdout, stderr, Output::Files { out, err })
    }

    /// Starts it with a terminal for all three of its standard streams.
    #[track_caller]
    #[must_use]
    pub fn spawn_on_a_terminal(self) -> Running {
        let (terminal, end) = Terminal::open();
        let own = |end: &OwnedFd| Stdio::from(end.try_clone().expect("a descriptor"));
        let streams = (own(&end), own(&end), own(&end));
        self.start(streams.0, streams.1, streams.2, Output::Terminal(terminal))
    }

    #[track_caller]
    fn start(self, stdin: Stdio, stdout: Stdio, stderr: Stdio, output: Output) -> Running {
        let named = |interface: String| ["-i".into(), interface.into()];
        let arguments: Vec<_> = self.interfaces.into_iter().flat_map(named).chain(self.words).collect();
        let line = arguments.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
        let mut words = self.wrapper;
        words.push(self.program.into());
        words.extend(arguments);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).stdin(stdin).stdout(stdout).stderr(stderr);
        command.env("TERM", "xterm").env_remove("NO_COLOR");
        sys::die_with_parent(&mut command);
        let child = command.spawn().unwrap_or_else(|why| panic!("cannot run {words:?}: {why}"));
        Running { child, output, line, started: Instant::now(), patience: self.patience }
    }
}

#[derive(Debug)]
enum Output {
    Files { out: File, err: File },
    Terminal(Terminal),
    Nothing,
}

/// A running `aoe`. It is killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    output: Output,
    line: String,
    started: Instant,
    patience: Duration,
}

impl Running {
    /// Sends a signal.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).expect("aoe is our child");
    }

    /// What it has printed on stderr so far, or on its terminal.
    #[must_use]
    pub fn stderr(&self) -> String {
        match &self.output {
            Output::Files { err, .. } => text(&contents(err)),
            Output::Terminal(terminal) => text(&terminal.shown()),
            Output::Nothing => String::new(),
        }
    }

    /// What it has printed on stdout so far; nothing when it has a terminal.
    #[must_use]
    pub fn stdout(&self) -> Vec<u8> {
        match &self.output {
            Output::Files { out, .. } => contents(out),
            Output::Terminal(_) | Output::Nothing => Vec::new(),
        }
    }

    /// Waits until something is so, while the process runs.
    #[track_caller]
    pub fn wait_until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        while !done(self) {
            let ended = self.child.try_wait().expect("aoe is our child");
            if let Some(status) = ended {
                panic!("`aoe {}` ended before {what}, {status}: {}", self.line, self.stderr());
            }
            self.assert_in_time(what);
            thread::sleep(GLANCE);
        }
    }

    /// Waits for its end, and kills it and panics when that does not come in time.
    #[track_caller]
    #[must_use]
    pub fn wait(mut self) -> Outcome {
        self.end()
    }

    /// [`Running::wait`], and the terminal it leaves behind.
    #[track_caller]
    #[must_use]
    pub fn wait_with_terminal(mut self) -> (Outcome, Terminal) {
        let outcome = self.end();
        match std::mem::replace(&mut self.output, Output::Nothing) {
            Output::Terminal(terminal) => (outcome, terminal),
            Output::Files { .. } | Output::Nothing => outcome.fail("has no terminal"),
        }
    }

    #[track_caller]
    fn end(&mut self) -> Outcome {
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("aoe is our child") {
                break status;
            }
            self.assert_in_time("its end");
            thread::sleep(GLANCE);
        };
        let took = self.started.elapsed();
        if let Output::Terminal(terminal) = &self.output {
            terminal.settle();
        }
        let (stdout, stderr) = (self.stdout(), self.stderr());
        let line = std::mem::take(&mut self.line);
        let outcome = Outcome { code: status.code(), signal: status.signal(), stdout, stderr, took, line };
        outcome.assert(!outcome.stderr.contains("panicked"), "panicked");
        outcome
    }

    #[track_caller]
    fn assert_in_time(&mut self, what: &str) {
        if self.started.elapsed() > self.patience {
            let stderr = self.stderr();
            panic!("`aoe {}` has not come to {what} after {:?}: {stderr}", self.line, self.patience);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Fails only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How it ended, and what it said.
#[derive(Debug)]
pub struct Outcome {
    /// Exit status; none when a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Everything on stdout.
    pub stdout: Vec<u8>,
    /// Everything on stderr, or on its terminal.
    pub stderr: String,
    /// How long it ran.
    pub took: Duration,
    line: String,
}

#[expect(
    clippy::must_use_candidate,
    reason = "a check either ends a statement or is followed by the next one"
)]
impl Outcome {
    /// It ended with status 0.
    #[track_caller]
    pub fn good(&self) -> &Self {
        self.exits(0)
    }

    /// It ended with this status.
    #[track_caller]
    pub fn exits(&self, code: i32) -> &Self {
        self.assert(self.code == Some(code), &format!("should end with status {code}"));
        self
    }

    /// It ended with one of these statuses.
    #[track_caller]
    pub fn exits_with(&self, codes: &[i32]) -> &Self {
        self.assert(
            self.code.is_some_and(|code| codes.contains(&code)),
            &format!("should end with one of {codes:?}"),
        );
        self
    }

    /// It ended with this status and a message on stderr that contains these words.
    #[track_caller]
    pub fn refuses(&self, code: i32, words: &[&str]) -> &Self {
        self.exits(code);
        self.assert(!self.stderr.trim().is_empty(), "says nothing on stderr");
        self.says(words)
    }

    /// Stderr contains all of these words, in whatever case.
    #[track_caller]
    pub fn says(&self, words: &[&str]) -> &Self {
        let stderr = self.stderr.to_lowercase();
        for word in words {
            self.assert(stderr.contains(&word.to_lowercase()), &format!("should say {word:?} on stderr"));
        }
        self
    }

    /// Stdout contains all of these words.
    #[track_caller]
    pub fn prints(&self, words: &[&str]) -> &Self {
        let stdout = self.text();
        for word in words {
            self.assert(stdout.contains(word), &format!("should print {word:?}"));
        }
        self
    }

    /// Stdout is these bytes.
    #[track_caller]
    pub fn prints_exactly(&self, bytes: &[u8]) -> &Self {
        self.assert(self.stdout == bytes, &format!("should print {} other bytes", bytes.len()));
        self
    }

    /// It ran no longer than this.
    #[track_caller]
    pub fn took_at_most(&self, seconds: f64) -> &Self {
        self.assert(self.took.as_secs_f64() <= seconds, &format!("should end within {seconds} s"));
        self
    }

    /// Stdout as text.
    pub fn text(&self) -> String {
        text(&self.stdout)
    }

    /// Stdout as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        match serde_json::from_slice(&self.stdout) {
            Ok(value) => value,
            Err(why) => self.fail(&format!("prints no JSON: {why}")),
        }
    }

    /// Panics with all of it unless the condition holds.
    #[track_caller]
    pub fn assert(&self, condition: bool, complaint: &str) {
        if !condition {
            self.fail(complaint);
        }
    }

    #[track_caller]
    fn fail(&self, complaint: &str) -> ! {
        let Self { code, signal, stdout, stderr, took, line } = self;
        let shown = &stdout[..stdout.len().min(2000)];
        panic!(
            "`aoe {line}` {complaint}\nstatus {code:?}, signal {signal:?}, {took:?}\n--- stdout ({} bytes)\n{}\n--- stderr\n{stderr}",
            stdout.len(),
            text(shown)
        );
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The whole file, read without moving the position, which is the child's as well.
fn contents(file: &File) -> Vec<u8> {
    let len = file.metadata().expect("the output of aoe").len();
    let mut bytes = vec![0; len as usize];
    file.read_exact_at(&mut bytes, 0).expect("the output of aoe");
    bytes
}
