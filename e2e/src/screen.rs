//! A terminal with a user: a program in tmux, whose screen is looked at.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
const GLANCE: Duration = Duration::from_millis(50);

/// A terminal in which a shell script runs. It ends when dropped.
#[derive(Debug)]
pub struct Screen {
    socket: PathBuf,
}

impl Screen {
    /// Runs `script` in a new terminal of this size. `dir` is for the socket of tmux. None when there is no tmux.
    #[track_caller]
    #[must_use]
    pub fn open(dir: &Path, columns: u16, lines: u16, script: &str) -> Option<Self> {
        if Command::new("tmux").arg("-V").output().is_err() {
            crate::net::skip("needs the command tmux: apt-get install tmux");
            return None;
        }
        let screen = Self { socket: dir.join("tmux") };
        let (columns, lines) = (columns.to_string(), lines.to_string());
        let new = ["-f", "/dev/null", "new-session", "-d", "-x", &columns, "-y", &lines, script];
        let _ = screen.tmux(&new);
        Some(screen)
    }

    /// Presses a key, by its name in tmux.
    #[track_caller]
    pub fn press(&self, key: &str) {
        let _ = self.tmux(&["send-keys", key]);
    }

    /// Makes the window another size.
    #[track_caller]
    pub fn resize(&self, columns: u16, lines: u16) {
        let _ = self.tmux(&["resize-window", "-x", &columns.to_string(), "-y", &lines.to_string()]);
    }

    /// What is on the screen. A line that was too long for it is one line here.
    #[track_caller]
    #[must_use]
    pub fn shown(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-J"])
    }

    /// What tmux knows of it, by a name such as `cursor_flag`.
    #[track_caller]
    #[must_use]
    pub fn asked(&self, what: &str) -> String {
        self.tmux(&["display-message", "-p", &format!("#{{{what}}}")]).trim().to_owned()
    }

    /// Waits until the screen is as wanted, and returns it.
    #[track_caller]
    pub fn until(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let shown = self.shown();
            if wanted(&shown) {
                return shown;
            }
            assert!(Instant::now() < deadline, "waited in vain until {what}; the screen:\n{shown}");
            thread::sleep(GLANCE);
        }
    }

    #[track_caller]
    fn tmux(&self, arguments: &[&str]) -> String {
        let output = self.command().args(arguments).output().expect("tmux");
        let Output { status, stdout, stderr } = output;
        assert!(status.success(), "tmux {arguments:?}: {}", String::from_utf8_lossy(&stderr));
        String::from_utf8_lossy(&stdout).into_owned()
    }

    fn command(&self) -> Command {
        let mut command = Command::new("tmux");
        command.arg("-u").arg("-S").arg(&self.socket);
        command
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Fails only when it has ended already.
        let _ = self.command().arg("kill-server").output();
    }
}
