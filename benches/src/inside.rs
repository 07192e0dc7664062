//! A network of its own for a program that measures: [`enter`] and [`cable`].

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use tempfile::TempDir;

/// What this machine lacks to [`enter`], if anything.
#[must_use]
pub fn missing() -> Option<String> {
    let runs = |program: &str| {
        Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    };
    for (program, package) in
        [("ip", "iproute2"), ("taskset", "util-linux"), ("setpriv", "util-linux"), ("unshare", "util-linux")]
    {
        if !runs(program) {
            return Some(format!("the command {program}: apt-get install {package}"));
        }
    }
    let mut own = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        own.args(["--user", "--map-root-user"]);
    }
    let made = own.args(["--net", "--pid", "--fork", "--mount-proc", "true"]).stderr(Stdio::null()).status();
    (!made.is_ok_and(|status| status.success()))
        .then(|| "a network namespace: run it as root, or allow user namespaces".to_owned())
}

/// Runs this program again, with the same arguments, in namespaces of its own; all in them ends with it. It finds a new directory in each
/// of `parents` by the variable before it, and these go, too. Returns how it ended.
///
/// # Errors
///
/// When the machine has no place for them.
pub fn enter(parents: &[(&str, &Path)]) -> Result<ExitCode, Box<dyn Error>> {
    let stopped = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stopped))?;
    }
    let directories: Vec<_> = parents
        .iter()
        .map(|(variable, parent)| Ok((variable, directory(parent)?)))
        .collect::<Result<_, Box<dyn Error>>>()?;

    // Both ends: when this process ends, unshare does, and when that does, the first process inside and with it all others.
    let mut command = Command::new("setpriv");
    command.args([
        "--pdeathsig",
        "KILL",
        "unshare",
        "--net",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
    ]);
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.arg(std::env::current_exe()?).args(std::env::args_os().skip(1));
    command.envs(directories.iter().map(|(variable, directory)| (variable, directory.path())));
    let mut inside = command.spawn()?;
    let status = loop {
        if let Some(status) = inside.try_wait()? {
            break status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(2);
        }
        if stopped.load(Ordering::Acquire) {
            let _ = inside.kill();
            inside.wait()?;
            // The others are ended by the kernel, at about the same time.
            thread::sleep(Duration::from_millis(200));
            break 130;
        }
        thread::sleep(Duration::from_millis(20));
    };
    Ok(ExitCode::from(status))
}

fn directory(parent: &Path) -> Result<TempDir, Box<dyn Error>> {
    tempfile::Builder::new()
        .prefix("bench-")
        .tempdir_in(parent)
        .map_err(|error| format!("{}: no directory for files: {error}", parent.display()).into())
}

/// Lays a cable between new interfaces `one` and `other`, in place of the last.
///
/// # Errors
///
/// When the system does not want to.
pub fn cable(one: &str, other: &str, mtu: u32) -> Result<(), Box<dyn Error>> {
    // There is none at first.
    let _ = Command::new("ip").args(["link", "del", one]).stderr(Stdio::null()).status();
    let mtu = mtu.to_string();
    ip(&["link", "add", one, "mtu", &mtu, "type", "veth", "peer", "name", other, "mtu", &mtu])?;
    for end in [one, other] {
        // Its neighbour discovery would be traffic, too. A kernel without IPv6 has no such file.
        let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{end}/disable_ipv6"), "1");
        ip(&["link", "set", end, "up"])?;
    }
    Ok(())
}

/// Runs `ip` with these words.
///
/// # Errors
///
/// What it complains of.
pub fn ip(words: &[&str]) -> Result<(), Box<dyn Error>> {
    let output = Command::new("ip").args(words).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("ip {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim()).into())
}
