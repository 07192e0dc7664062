//! A network namespace for one test, with the interfaces in it. It vanishes with the thread that entered it.

use std::env;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::request::{Mac, S, T, mac, show_mac};
use crate::sys;

/// Interface the target serves.
pub const TARGET: &str = "tgt0";
/// Interface of the initiator: the other end of the cable.
pub const CLIENT: &str = "ini0";

/// Interfaces of a [`Wire`](crate::wire::Wire): the other ends of [`TARGET`]'s and [`CLIENT`]'s cables.
pub const WIRE: [&str; 2] = ["w0", "w1"];

/// Set in the process that runs one test in a user namespace for an ordinary user.
const INSIDE: &str = "E2E_IN_USER_NAMESPACE";

/// The namespace this thread is in.
#[derive(Debug)]
pub struct Net {
    _private: (),
}

impl Net {
    /// Enters a new namespace. None when there is none to be had: the test is then over, skipped or, for an ordinary
    /// user, already run by another process.
    #[must_use]
    pub fn enter() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            run_in_user_namespace();
            return None;
        }
        if let Err(why) = sys::unshare_network() {
            skip(&format!("no network namespace to be had: {why}"));
            return None;
        }
        if Command::new("ip").arg("-Version").stdout(Stdio::null()).status().is_err() {
            skip("needs the command ip: apt-get install iproute2");
            return None;
        }
        Some(Self { _private: () })
    }

    /// Plugs the cable: [`TARGET`] and [`CLIENT`], up.
    pub fn connect(&self, mtu: u32) {
        self.connect_as(mtu, T, S);
    }

    /// [`Net::connect`] with other addresses.
    pub fn connect_as(&self, mtu: u32, target: Mac, client: Mac) {
        self.cable(mtu, (TARGET, target), (CLIENT, client));
    }

    /// Plugs one more cable between two new interfaces, up.
    pub fn cable(&self, mtu: u32, one: (&str, Mac), other: (&str, Mac)) {
        let (name, peer) = (one.0, other.0);
        let (mac, peer_mac) = (show_mac(one.1), show_mac(other.1));
        self.ip(&format!(
            "link add name {name} mtu {mtu} address {mac} type veth peer name {peer} mtu {mtu} address {peer_mac}"
        ));
        for name in [name, peer] {
            self.ip(&format!("link set {name} up"));
        }
        for name in [name, peer] {
            self.await_carrier(name);
        }
    }

    /// Plugs a cable from each of these stations to one bridge.
    pub fn segment(&self, mtu: u32, stations: &[(&str, Mac)]) {
        self.ip("link add name br0 type bridge");
        self.ip("link set br0 up");
        for (number, station) in (0..).zip(stations) {
            let port = format!("port{number}");
            self.cable(mtu, *station, (&port, mac(0x40 + number)));
            self.ip(&format!("link set {port} master br0"));
        }
    }

    /// Plugs two cables, for a [`Wire`](crate::wire::Wire) between [`TARGET`] and [`CLIENT`].
    pub fn connect_apart(&self, mtu: u32) {
        self.cable(mtu, (TARGET, T), (WIRE[0], mac(0xe0)));
        self.cable(mtu, (CLIENT, S), (WIRE[1], mac(0xe1)));
    }

    /// Returns when the cable carries frames, which is a little after both of its ends are up.
    #[track_caller]
    pub fn await_carrier(&self, name: &str) {
        let deadline = Instant::now() + Duration::from_secs(5);
        while !run("ip", &format!("-oneline link show dev {name}")).contains(" state UP ") {
            assert!(Instant::now() < deadline, "the cable carries nothing");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Runs `ip` with these words, which must succeed.
    #[track_caller]
    pub fn ip(&self, words: &str) {
        run("ip", words);
    }

    /// Mounts a file system of the given size in memory, for this test alone. None when that is not possible here.
    #[must_use]
    pub fn mount_tmpfs(&self, at: &Path, bytes: usize) -> Option<Mount> {
        self.own_mounts()?;
        run("mount", &format!("-t tmpfs -o size={bytes} tmpfs {}", at.display()));
        Some(Mount::at(at))
    }

    /// Makes an ext4 file system of the whole image and mounts it by a loop device, for this test alone. No journal: what
    /// fails is data and nothing else. None when that is not possible here.
    #[must_use]
    pub fn mount_ext4(&self, image: &Path, at: &Path) -> Option<Mount> {
        self.own_mounts()?;
        // Of the machine, so the root of a user namespace has none.
        if !may_attach_loop_devices() {
            skip("needs loop devices: root, and the kernel's module loop");
            return None;
        }
        run("mkfs.ext4", &format!("-q -F -b 4096 -O ^has_journal -m 0 {}", image.display()));
        // The loop device goes with the mount.
        run("mount", &format!("-t ext4 -o loop,noatime {} {}", image.display(), at.display()));
        Some(Mount::at(at))
    }

    /// What is mounted from now on is seen by this test alone, and vanishes with it. None when that is not possible here.
    #[must_use]
    pub fn own_mounts(&self) -> Option<()> {
        if let Err(why) = sys::unshare_mounts() {
            skip(&format!("no mount namespace to be had: {why}"));
            return None;
        }
        run("mount", "--make-rprivate /");
        Some(())
    }
}

/// A mounted file system, until dropped.
#[derive(Debug)]
pub struct Mount {
    at: PathBuf,
}

impl Mount {
    pub(crate) fn at(at: &Path) -> Self {
        Self { at: at.to_owned() }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily, as the target may still use it. It is in nobody's way when this fails: it vanishes with the thread.
        let _ = Command::new("umount").arg("--lazy").arg(&self.at).status();
    }
}

fn may_attach_loop_devices() -> bool {
    let output = Command::new("losetup").arg("--find").output();
    let open = |path: &str| std::fs::File::options().write(true).open(path.trim()).is_ok();
    output.is_ok_and(|out| out.status.success() && open(&String::from_utf8_lossy(&out.stdout)))
}

/// What the command prints; it must succeed.
#[track_caller]
fn run(program: &str, words: &str) -> String {
    let Output { status, stdout, stderr } = Command::new(program)
        .args(words.split_whitespace())
        .output()
        .unwrap_or_else(|why| panic!("cannot run {program}: {why}"));
    assert!(status.success(), "{program} {words}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8_lossy(&stdout).into_owned()
}

/// Says, past the capture of the test harness, that the current test cannot run; fails it where skipping is not wanted.
pub fn skip(why: &str) {
    let name = test_name();
    let strict = env::var("CI").is_ok_and(|v| v == "true") || env::var("E2E_STRICT").is_ok_and(|v| v == "1");
    assert!(!strict, "{name} cannot run here: {why}");
    note(&format!("SKIP {name}: {why}"));
}

/// A line on stderr that is shown although the test passes.
pub fn note(line: &str) {
    // Nobody reads stderr when this fails.
    let _ = writeln!(io::stderr(), "{line}");
}

/// The name of the running test, which is what the harness calls its thread.
#[must_use]
pub fn test_name() -> String {
    thread::current().name().unwrap_or("?").to_owned()
}

/// A process with several threads cannot enter a user namespace: another one is started in it, for this test alone.
fn run_in_user_namespace() {
    let unshare = || {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--"]);
        command
    };
    let allowed = unshare().arg("true").stderr(Stdio::null()).status().is_ok_and(|s| s.success());
    let name = test_name();
    if !allowed || env::var_os(INSIDE).is_some() || name == "main" {
        return skip("needs root, or user namespaces (unshare --user)");
    }
    let itself = env::current_exe().expect("the path of this test");
    let output = unshare()
        .arg(itself)
        .args(["--exact", &name, "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .expect("unshare ran before");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "in a user namespace: {}{said}",
        String::from_utf8_lossy(&output.stdout)
    );
    said.lines().filter(|line| line.starts_with("SKIP") || line.starts_with("case")).for_each(note);
}
