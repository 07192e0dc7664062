//! `vbladed shelf slot netif filename`: one export in the background, as the classic script does it. What runs there is `vblade`, in a session of
//! its own, its log piped to logger(1).
//!
//! The one who typed it waits until the disk is served, and is told why if it is not: until then the log goes to where standard error
//! went.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::AsFd;
use std::process::{Command, ExitCode, Stdio};

use super::complain;
use crate::vblade;

/// The first argument of the process in the background.
pub(super) const CHILD: &str = "--in-background";

/// Starts the process in the background, and waits until it serves.
pub(super) fn parent(arguments: &[OsString]) -> ExitCode {
    match start(arguments) {
        Ok(code) => code,
        Err(error) => complain(&format!("cannot start in the background: {error}"), 1),
    }
}

fn start(arguments: &[OsString]) -> io::Result<ExitCode> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg(CHILD)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let Some(stdout) = child.stdout.take() else { return Ok(ExitCode::FAILURE) };
    let (mut stdout, mut line) = (BufReader::new(stdout), String::new());
    stdout.read_line(&mut line)?;
    if line.starts_with("pid ") {
        return Ok(ExitCode::SUCCESS);
    }
    // Help, or nothing.
    stdout.read_to_string(&mut line)?;
    print!("{line}");
    let status = child.wait()?.code().and_then(|code| u8::try_from(code).ok());
    Ok(status.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// What the process in the background is: `vblade`, which lets go of the terminal before it serves.
pub(super) fn child(arguments: &[OsString]) -> ExitCode {
    // It leads no group yet: its parent has just started it.
    if let Err(errno) = rustix::process::setsid() {
        return complain(&format!("cannot leave the session: {errno}"), 1);
    }
    vblade::main_with(&[&["vbladed".into()], arguments].concat(), &log_to_syslog)
}

/// From now on what is written to standard error goes to syslog. Nothing below this is started any more once the process is shut in.
fn log_to_syslog() -> io::Result<()> {
    let id = std::process::id();
    let mut logger = Command::new("logger")
        .args(["--tag", &format!("vbladed[{id}]"), "--priority", "daemon.info"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| io::Error::new(error.kind(), format!("logger: {error}; install it (bsdutils)")))?;
    let Some(pipe) = logger.stdin.take() else { return Ok(()) };
    rustix::stdio::dup2_stderr(pipe.as_fd())?;
    std::env::set_current_dir("/")
}
