//! Conformance case 66, and everything else that is refused before it is served.

use std::fs;
use std::path::Path;

use e2e::net::{CLIENT, Net, TARGET};
use e2e::target::Target;
use e2e::{SECTOR, Setup};
use rustix::process::Signal;

const SECTORS: usize = 100;

/// A cable, and a disk of 100 sectors called `disk`, in whose directory the tests run.
fn with_a_disk(test: impl FnOnce(&Net, &Path)) {
    let Some(net) = Net::enter() else { return };
    net.connect(1500);
    let dir = tempfile::tempdir().expect("a scratch directory");
    fs::write(dir.path().join("disk"), vec![0x5a; SECTORS * SECTOR]).expect("a disk");
    test(&net, dir.path());
    let disk = fs::read(dir.path().join("disk")).expect("the disk");
    assert!(disk == vec![0x5a; SECTORS * SECTOR], "the disk was changed");
}

/// Runs `vblade` with these words, in which `DIR` stands for the directory.
fn start(dir: &Path, words: &str) -> Target {
    let path = dir.display().to_string();
    let words: Vec<_> = words.split_whitespace().map(|word| word.replace("DIR", &path)).collect();
    Target::spawn(dir, &[], &words)
}

/// The command must end with status 2 and one line on stderr that names the culprit.
#[track_caller]
fn refused(dir: &Path, words: &str, culprit: &str) {
    let mut target = start(dir, words);
    let status = target.wait();
    let (out, log) = (target.stdout(), target.stderr());
    assert_eq!(status.code(), Some(2), "`vblade {words}`: {log}");
    assert_eq!(out, "", "`vblade {words}` prints on stdout");
    assert_eq!(log.trim_end().lines().count(), 1, "`vblade {words}` says more or less than one line: {log}");
    assert!(log.contains(culprit), "`vblade {words}` does not name {culprit}: {log}");
}

/// The command must serve and say so in the classic words.
#[track_caller]
fn serves(dir: &Path, words: &str, address: &str, sectors: usize) -> Target {
    let mut target = start(dir, words);
    target.wait_until_serving();
    let line = target.stdout();
    let (pid, rest) = line.split_once(": ").expect("pid N: ...");
    assert!(pid.strip_prefix("pid ").is_some_and(|n| n.parse::<u32>().is_ok()), "{line}");
    let access = if words.contains("-r ") { "O_RDONLY" } else { "O_RDWR" };
    assert_eq!(rest, format!("{address}, {sectors} sectors {access}\n"));
    target
}

#[test]
fn case_66_addresses_nobody_may_own_are_refused() {
    with_a_disk(|_, dir| {
        for (shelf, slot, culprit) in [
            ("65535", "0", "65535"),
            ("0", "255", "255"),
            ("70000", "0", "70000"),
            ("0", "70000", "70000"),
            ("0", "256", "256"),
            ("abc", "0", "abc"),
            ("0", "abc", "abc"),
            ("3x", "1", "3x"),
            ("1", "3x", "3x"),
            ("0x", "1", "0x"),
            ("0xffff", "1", "0xffff"),
            ("-1", "1", "-1"),
            ("+1", "1", "+1"),
        ] {
            refused(dir, &format!("{shelf} {slot} {TARGET} DIR/disk"), culprit);
        }
    });
}

#[test]
fn case_66_a_hexadecimal_shelf_is_understood() {
    with_a_disk(|_, dir| {
        serves(dir, &format!("0x10 3 {TARGET} DIR/disk"), "e16.3", SECTORS).stop();
        serves(dir, &format!("65534 254 {TARGET} DIR/disk"), "e65534.254", SECTORS).stop();
    });
}

#[test]
fn case_66_a_file_below_one_sector_is_refused() {
    with_a_disk(|_, dir| {
        for (name, size) in [("empty", 0), ("hundred", 100), ("almost", 511)] {
            fs::write(dir.join(name), vec![0; size]).expect("a file");
            refused(dir, &format!("0 0 {TARGET} DIR/{name}"), name);
        }
    });
}

#[test]
fn case_66_buffer_counts_linux_cannot_use_or_the_field_cannot_hold_are_refused() {
    with_a_disk(|_, dir| {
        for count in ["0", "1", "65536", "70000", "-2", "x"] {
            refused(dir, &format!("-b {count} 0 0 {TARGET} DIR/disk"), count);
        }
    });
}

#[test]
fn the_advertised_buffer_count_is_the_one_asked_for() {
    for count in [2_u16, 64, 65_535] {
        Setup::default().options(&["-b", &count.to_string()]).run(|lab| {
            let reply = lab.ask(&e2e::config(0, b""));
            assert_eq!(reply.good().bytes()[24..26], count.to_be_bytes());
        });
    }
}

#[test]
fn files_that_are_missing_or_no_disks_are_refused() {
    with_a_disk(|_, dir| {
        refused(dir, &format!("0 0 {TARGET} DIR/missing"), "missing");
        refused(dir, &format!("0 0 {TARGET} DIR"), &dir.display().to_string());
        refused(dir, &format!("0 0 {TARGET} /dev/null"), "/dev/null");
    });
}

#[test]
fn an_offset_or_length_beyond_the_end_is_refused() {
    with_a_disk(|_, dir| {
        refused(dir, &format!("-o 100 0 0 {TARGET} DIR/disk"), "100");
        refused(dir, &format!("-o 101 0 0 {TARGET} DIR/disk"), "101");
        refused(dir, &format!("-l 101 0 0 {TARGET} DIR/disk"), "101");
        refused(dir, &format!("-o 50 -l 51 0 0 {TARGET} DIR/disk"), "51");
        refused(dir, &format!("-o 18446744073709551615 0 0 {TARGET} DIR/disk"), "18446744073709551615");
        refused(dir, &format!("-l 0 0 0 {TARGET} DIR/disk"), "0");
        refused(dir, &format!("-o x 0 0 {TARGET} DIR/disk"), "x");
        serves(dir, &format!("-o 99 0 0 {TARGET} DIR/disk"), "e0.0", 1).stop();
        serves(dir, &format!("-o 40 -l 60 0 0 {TARGET} DIR/disk"), "e0.0", 60).stop();
    });
}

#[test]
fn a_part_of_a_file_is_served_and_the_rest_not_touched() {
    Setup::default().options(&["-o", "1000", "-l", "50"]).run(|lab| {
        let part = lab.disk.sectors(1000, 2).to_vec();
        lab.ask(&e2e::request::read(0, 2)).good().with_data(&part);
        lab.ask(&e2e::request::read(49, 2)).failed(0x10, 2);
        lab.ask(&e2e::request::write(49, &[0x49; SECTOR])).good();
        lab.disk.expect(1049, &[0x49; SECTOR]);
        lab.ask(&e2e::request::write(50, &[0x50; SECTOR])).failed(0x10, 1);
    });
}

#[test]
fn addresses_that_are_no_stations_are_refused() {
    with_a_disk(|_, dir| {
        for bad in ["zz:00:00:00:00:01", "02:00:00:00:00", "01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff", "x"] {
            refused(dir, &format!("-m {bad} 0 0 {TARGET} DIR/disk"), bad);
            refused(dir, &format!("-m 02:00:00:00:00:01,{bad} 0 0 {TARGET} DIR/disk"), bad);
        }
    });
}

#[test]
fn interfaces_that_cannot_carry_the_protocol_are_refused() {
    with_a_disk(|net, dir| {
        refused(dir, "0 0 nosuch0 DIR/disk", "nosuch0");
        refused(dir, "0 0 averyveryverylongname0 DIR/disk", "averyveryverylongname0");
        net.ip(&format!("link set {TARGET} mtu 547"));
        refused(dir, &format!("0 0 {TARGET} DIR/disk"), "547");
    });
}

#[test]
fn an_interface_without_ethernet_addresses_is_refused() {
    with_a_disk(|net, dir| {
        if fs::OpenOptions::new().read(true).write(true).open("/dev/net/tun").is_err() {
            return e2e::net::skip("cannot make a tun device: /dev/net/tun is out of reach");
        }
        net.ip("tuntap add dev tun7 mode tun");
        net.ip("link set tun7 up");
        refused(dir, "0 0 tun7 DIR/disk", "tun7");
    });
}

#[test]
fn unknown_options_and_missing_or_spare_arguments_are_refused() {
    with_a_disk(|_, dir| {
        for (words, culprit) in [
            (format!("--nonsense 0 0 {TARGET} DIR/disk"), "--nonsense"),
            (format!("--cache sometimes 0 0 {TARGET} DIR/disk"), "sometimes"),
            (format!("0 0 {TARGET} DIR/disk spare"), "spare"),
        ] {
            let mut target = start(dir, &words);
            assert_eq!(target.wait().code(), Some(2), "`vblade {words}`");
            assert!(target.stderr().contains(culprit), "`vblade {words}`: {}", target.stderr());
        }
        assert_eq!(start(dir, &format!("0 0 {TARGET}")).wait().code(), Some(2));
    });
}

#[test]
fn an_address_that_another_target_on_the_segment_has_is_refused_unless_forced() {
    with_a_disk(|_, dir| {
        let [first, second] = ["first", "second"].map(|name| dir.join(name));
        for each in [&first, &second] {
            fs::create_dir(each).expect("a directory");
            fs::copy(dir.join("disk"), each.join("disk")).expect("a disk");
        }
        let _running = serves(&first, &format!("7 3 {TARGET} DIR/disk"), "e7.3", SECTORS);
        let mut clash = start(&second, &format!("7 3 {CLIENT} DIR/disk"));
        assert_eq!(clash.wait().code(), Some(2), "{}", clash.stderr());
        let said = clash.stderr();
        assert!(said.contains("02:00:00:00:00:b2"), "does not say who has the address: {said}");
        assert!(said.contains("--force"), "does not name the remedy: {said}");
        serves(&second, &format!("--force 7 3 {CLIENT} DIR/disk"), "e7.3", SECTORS).stop();
        serves(&second, &format!("7 4 {CLIENT} DIR/disk"), "e7.4", SECTORS).stop();
    });
}

#[test]
fn a_tail_shorter_than_a_sector_is_dropped_with_a_warning() {
    with_a_disk(|_, dir| {
        fs::write(dir.join("odd"), vec![0; 3 * SECTOR + 17]).expect("a file");
        let mut target = serves(dir, &format!("0 0 {TARGET} DIR/odd"), "e0.0", 3);
        assert!(target.stderr().contains("17"), "no warning about 17 bytes: {}", target.stderr());
        target.stop();
        assert_eq!(fs::metadata(dir.join("odd")).expect("the file").len(), 3 * 512 + 17);
    });
}

#[test]
fn a_read_only_export_says_so_and_needs_no_permission_to_write() {
    with_a_disk(|_, dir| {
        serves(dir, &format!("-r 0 0 {TARGET} DIR/disk"), "e0.0", SECTORS).stop();
    });
}

#[test]
fn termination_and_interruption_end_the_target_with_status_0() {
    with_a_disk(|_, dir| {
        for signal in [Signal::TERM, Signal::INT] {
            let mut target = serves(dir, &format!("0 0 {TARGET} DIR/disk"), "e0.0", SECTORS);
            target.signal(signal);
            assert_eq!(target.wait().code(), Some(0), "{signal:?}: {}", target.stderr());
        }
    });
}
