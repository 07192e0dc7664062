//! The `vbladed` process, and its control socket.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::{CABLES, Error};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often is looked whether it is done.
const GLANCE: Duration = Duration::from_millis(1);
/// Where it answers Prometheus: the namespace has all ports to itself.
pub(crate) const METRICS: &str = "127.0.0.1:9590";

/// A daemon that serves. It is killed when dropped.
pub(crate) struct Daemon {
    child: Child,
    directory: PathBuf,
}

impl Daemon {
    /// Starts `vbladed` of `programs` on the first processor, and waits until it has opened all it can.
    ///
    /// # Errors
    ///
    /// When it ends, or says nothing.
    pub(crate) fn start(programs: &Path, directory: &Path, exports: &str) -> Result<Self, Error> {
        configure(directory, exports)?;
        let child = Command::new("taskset")
            .args(["-c", "0"])
            .arg(programs.join("vbladed"))
            .arg("--config")
            .arg(directory.join("vblade.toml"))
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(directory.join("log"))?)
            .spawn()?;
        let mut daemon = Self { child, directory: directory.to_owned() };
        let deadline = Instant::now() + PATIENCE;
        while daemon.ask("version", &json!({})).is_err() {
            if let Some(status) = daemon.child.try_wait()? {
                return Err(format!("vbladed: {status}: {}", daemon.log()).into());
            }
            if Instant::now() > deadline {
                return Err(format!("vbladed does not answer: {}", daemon.log()).into());
            }
            thread::sleep(GLANCE);
        }
        let status = daemon.ask("status", &json!({}))?;
        if status["exports_down"] != 0 {
            return Err(format!("exports are down: {}", daemon.log()).into());
        }
        Ok(daemon)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The path of its control socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.join("control.sock")
    }

    /// Has it read another configuration. Returns how long it took until all of that was in force.
    pub(crate) fn reload(&self, exports: &str) -> Result<Duration, Error> {
        configure(&self.directory, exports)?;
        let before = self.reloads();
        let start = Instant::now();
        let process = i32::try_from(self.id()).ok().and_then(Pid::from_raw).ok_or("no process")?;
        kill_process(process, Signal::HUP)?;
        while self.reloads() == before {
            if start.elapsed() > PATIENCE {
                return Err(format!("the configuration is not read: {}", self.log()).into());
            }
            thread::sleep(GLANCE);
        }
        // Answered once it has settled.
        let status = self.ask("status", &json!({}))?;
        let took = start.elapsed();
        if status["exports_down"] != 0 || !status["last_reload"]["error"].is_null() {
            return Err(format!("a reload failed: {status}: {}", self.log()).into());
        }
        Ok(took)
    }

    fn reloads(&self) -> usize {
        self.log().matches("the configuration ").count()
    }

    /// The result of a method.
    pub(crate) fn ask(&self, method: &str, params: &Value) -> Result<Value, Error> {
        let mut stream = UnixStream::connect(self.socket())?;
        stream.set_read_timeout(Some(PATIENCE))?;
        writeln!(stream, "{}", json!({ "method": method, "params": params }))?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        let mut answer: Value = serde_json::from_str(&line)?;
        match answer["result"].take() {
            Value::Null => Err(format!("{method}: {answer}").into()),
            result => Ok(result),
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Fails only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn configure(directory: &Path, exports: &str) -> Result<(), Error> {
    let [socket, state] = ["control.sock", "state"].map(|name| directory.join(name));
    let interfaces = CABLES.map(|(ours, _)| ours);
    let text = format!(
        "[daemon]\nsocket = {socket:?}\nstate_dir = {state:?}\nmetrics = \"{METRICS}\"\n\
         [defaults]\ncache = \"writeback\"\ninterfaces = {interfaces:?}\n{exports}"
    );
    fs::write(directory.join("vblade.toml"), text)?;
    Ok(())
}
