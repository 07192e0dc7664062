//! `--link xdp` in the whole program: what it leaves behind, what it needs, and what is said where it cannot be had.
//!
//! The conformance cases run over it too, with `E2E_LINK=xdp`.

use std::process::Command;
use std::time::Duration;

use e2e::disk::Disk;
use e2e::net::{Net, TARGET, skip};
use e2e::request;
use e2e::target::Target;
use e2e::{Lab, SECTOR, Setup, config};

/// Whether an XDP program is attached to the target's interface.
fn has_program() -> bool {
    let output = Command::new("ip").args(["link", "show", TARGET]).output().expect("ip (iproute2)");
    String::from_utf8_lossy(&output.stdout).contains(" xdp")
}

/// Whether this test may load programs; if not, it is over, skipped.
fn may_load() -> bool {
    // The root of a user namespace may not.
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let may = rustix::process::geteuid().is_root() && map.contains("4294967295");
    if !may {
        skip("needs root, to load programs into the kernel");
    }
    may
}

/// Starts `wrapper vblade options 7 3 ...` on a new cable; returns what it says until it serves or ends.
fn start(net: &Net, wrapper: &str, options: &str) -> (Target, String) {
    net.connect(1500);
    let dir = tempfile::tempdir().expect("a scratch directory").keep();
    let disk = Disk::patterned(&dir.join("disk"));
    Command::new("chmod").args(["-R", "a+rwX"]).arg(&dir).status().expect("chmod");
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let arguments = [words(options), words(&format!("7 3 {TARGET} {}", disk.path().display()))].concat();
    let mut target = Target::spawn(&dir, &words(wrapper), &arguments);
    for _ in 0..500 {
        if target.stdout().contains('\n') || target.stderr().contains("vblade: ") {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let said = target.stderr();
    target.kill();
    let _ = std::fs::remove_dir_all(&dir);
    (target, said)
}

#[test]
fn a_killed_target_leaves_no_program_behind() {
    if !may_load() {
        return;
    }
    Setup::default().options(&["--link", "xdp"]).run(|lab| {
        assert!(has_program());
        lab.read(40, 2);
        lab.target.kill();
        assert!(!has_program());
        lab.revive();
        assert!(has_program());
        lab.write(33, &[0x17; 2 * SECTOR]);
        lab.read(33, 2);
    });
}

#[test]
fn a_target_that_is_stopped_takes_its_program_away() {
    if !may_load() {
        return;
    }
    Setup::default().options(&["--link", "xdp"]).run(|lab| {
        lab.target.signal(rustix::process::Signal::TERM);
        assert!(lab.target.wait().success());
        assert!(!has_program());
        lab.revive();
    });
}

#[test]
fn frames_of_several_pieces_are_read_written_and_compared() {
    if !may_load() {
        return;
    }
    Setup::default().mtu(9000).options(&["--link", "xdp"]).run(|lab: &mut Lab| {
        assert_eq!(lab.ask(&config(0, b"")).good().bytes()[28], 17);
        for count in 1..=17 {
            let data: Vec<u8> =
                (0..usize::from(count) * SECTOR).map(|at| (at * 7 + usize::from(count)) as u8).collect();
            lab.write(100 + u64::from(count) * 20, &data);
            lab.read(90 + u64::from(count) * 20, 17);
            lab.read(100 + u64::from(count) * 20, count);
        }
        lab.ask(&request::identify()).good();
    });
}

#[test]
fn without_the_privilege_auto_serves_by_a_packet_socket_and_xdp_is_refused_with_the_remedy() {
    if !may_load() {
        return;
    }
    let Some(net) = Net::enter() else { return };
    let nobody =
        "setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=+net_raw --ambient-caps=+net_raw";
    let (_, said) = start(&net, nobody, "--link xdp");
    assert!(said.contains("takes root, or CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF"), "{said}");
    net.ip(&format!("link del {TARGET}"));
    let (_, said) = start(&net, nobody, "");
    assert!(said.contains("packet"), "{said}");
}

#[test]
fn a_limit_of_locked_memory_is_told_with_the_remedy() {
    if !may_load() {
        return;
    }
    let Some(net) = Net::enter() else { return };
    let few = "prlimit --memlock=65536 setpriv --reuid=65534 --regid=65534 --clear-groups \
               --inh-caps=+net_raw,+net_admin,+bpf --ambient-caps=+net_raw,+net_admin,+bpf";
    let (_, said) = start(&net, few, "--link xdp");
    assert!(said.contains("locked memory: raise the limit (ulimit -l"), "{said}");
}
