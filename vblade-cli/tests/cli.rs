//! The command as a user meets it: what is refused, with which line and exit status, and what a start and an end look like.

mod scene;

use std::fs::File;
use std::time::Duration;

use rustix::process::Signal;
use scene::{Scene, wrote_one_line};

/// Whatever is refused leaves one line that names `argument`, exit status 2, and the disk as it was.
fn refused(arguments: &[&str], argument: &str) {
    let scene = Scene::new();
    let output = scene.vblade(arguments);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    wrote_one_line(&output, argument);
    scene.assert_untouched();
}

/// The same in a network namespace of its own, prepared by `setup`, a shell script.
fn refused_in_namespace(setup: &str, arguments: &str, argument: &str) {
    let scene = Scene::new();
    let Some(output) = scene.in_namespace(&format!("{setup}\n\"$VBLADE\" {arguments}")) else { return };
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    wrote_one_line(&output, argument);
    scene.assert_untouched();
}

#[test]
fn the_wildcard_shelf_is_refused() {
    refused(&["65535", "0", "lo", "disk.img"], "shelf \"65535\"");
}

#[test]
fn a_shelf_beyond_16_bits_is_refused() {
    refused(&["70000", "0", "lo", "disk.img"], "shelf \"70000\"");
}

#[test]
fn a_shelf_that_is_no_number_is_refused() {
    refused(&["abc", "0", "lo", "disk.img"], "shelf \"abc\"");
    refused(&["", "0", "lo", "disk.img"], "shelf \"\"");
    refused(&["-1", "0", "lo", "disk.img"], "shelf \"-1\"");
}

#[test]
fn a_shelf_with_a_letter_behind_it_is_refused() {
    refused(&["3x", "1", "lo", "disk.img"], "shelf \"3x\"");
}

#[test]
fn the_wildcard_slot_is_refused() {
    refused(&["0", "255", "lo", "disk.img"], "slot \"255\"");
}

#[test]
fn a_slot_beyond_8_bits_is_refused() {
    refused(&["0", "256", "lo", "disk.img"], "slot \"256\"");
}

#[test]
fn an_unknown_interface_is_refused() {
    refused(&["7", "3", "nosuchif0", "disk.img"], "interface \"nosuchif0\" does not exist");
}

#[test]
fn an_interface_without_ethernet_frames_is_refused() {
    refused_in_namespace(
        "ip tuntap add dev tun7 mode tun || exit 77",
        "7 3 tun7 disk.img",
        "\"tun7\" is not Ethernet-like",
    );
}

#[test]
fn an_mtu_without_room_for_a_sector_is_refused() {
    refused_in_namespace("ip link set lo mtu 547 up", "7 3 lo disk.img", "\"lo\" has an MTU of 547");
}

#[test]
fn a_missing_file_is_refused_and_not_created() {
    let scene = Scene::new();
    let output = scene.vblade(&["7", "3", "lo", "missing.img"]);
    assert_eq!(output.status.code(), Some(2));
    wrote_one_line(&output, "missing.img: no such file");
    assert!(!scene.path("missing.img").exists());
}

#[test]
fn a_name_that_no_file_can_have_is_refused() {
    refused(&["7", "3", "lo", "disk.img/x"], "disk.img/x: ");
    refused(&["7", "3", "lo", &"x".repeat(300)], "name a file that exists");
}

#[test]
fn a_directory_is_refused() {
    refused(&["7", "3", "lo", "."], ".: is a directory");
}

#[test]
fn a_character_device_is_refused() {
    refused(&["7", "3", "lo", "/dev/null"], "/dev/null: is a character device");
}

#[test]
fn an_empty_file_is_refused() {
    refused(&["7", "3", "lo", "empty.img"], "empty.img: is empty");
}

#[test]
fn a_file_shorter_than_a_sector_is_refused() {
    refused(&["7", "3", "lo", "short.img"], "short.img: has only 511 bytes");
}

#[test]
fn an_offset_at_the_end_of_the_file_is_refused() {
    refused(&["-o", "16", "7", "3", "lo", "disk.img"], "offset 16 is beyond the end");
    refused(
        &["-o", "281474976710656", "7", "3", "lo", "disk.img"],
        "offset 281474976710656 is beyond the end",
    );
}

#[test]
fn a_length_beyond_the_end_of_the_file_is_refused() {
    refused(&["-o", "8", "-l", "9", "7", "3", "lo", "disk.img"], "length 9 is beyond the end");
}

#[test]
fn a_length_or_offset_that_is_no_number_of_sectors_is_refused() {
    refused(&["-l", "0", "7", "3", "lo", "disk.img"], "-l \"0\"");
    refused(&["-l", "1k", "7", "3", "lo", "disk.img"], "-l \"1k\"");
    refused(&["-o", "-1", "7", "3", "lo", "disk.img"], "-o \"-1\"");
    refused(&["-o", "99999999999999999999", "7", "3", "lo", "disk.img"], "-o \"99999999999999999999\"");
}

#[test]
fn a_malformed_mac_is_refused() {
    refused(&["-m", "zz", "7", "3", "lo", "disk.img"], "-m \"zz\"");
    refused(&["-m", "02:00:00:00:00:a1,02:00", "7", "3", "lo", "disk.img"], "-m \"02:00\"");
    refused(&["-m", "02:00:00:00:00:a1,", "7", "3", "lo", "disk.img"], "-m \"\"");
}

#[test]
fn a_group_mac_is_refused() {
    refused(&["-m", "01:00:5e:00:00:01", "7", "3", "lo", "disk.img"], "a group address");
}

#[test]
fn a_zero_mac_is_refused() {
    refused(&["-m", "00:00:00:00:00:00", "7", "3", "lo", "disk.img"], "the zero address");
}

#[test]
fn a_buffer_count_that_no_initiator_can_use_is_refused() {
    for count in ["0", "1", "65536", "70000", "many"] {
        refused(&["-b", count, "7", "3", "lo", "disk.img"], &format!("-b \"{count}\""));
    }
}

#[test]
fn a_serial_or_model_that_does_not_fit_is_refused() {
    refused(&["--serial", "123456789012345678901", "7", "3", "lo", "disk.img"], "--serial");
    refused(&["--model", "t\u{fc}r", "7", "3", "lo", "disk.img"], "--model");
}

#[test]
fn a_cache_mode_beside_its_classic_option_is_refused() {
    refused(&["-d", "--cache", "writeback", "7", "3", "lo", "disk.img"], "--direct");
    refused(&["-s", "--cache", "writeback", "7", "3", "lo", "disk.img"], "--sync");
    refused(&["--cache", "fast", "7", "3", "lo", "disk.img"], "'fast'");
}

#[test]
fn too_few_too_many_and_unknown_arguments_are_refused() {
    refused(&[], "<shelf> <slot> <netif> <filename>");
    refused(&["7", "3", "lo"], "<filename>");
    refused(&["7", "3", "lo", "disk.img", "more"], "'more'");
    refused(&["--colour", "7", "3", "lo", "disk.img"], "'--colour'");
}

#[test]
fn an_argument_with_a_line_break_makes_no_second_line() {
    refused(&["7", "3", "lo\nup", "disk.img"], "lo\\nup");
    refused(&["7", "3", "lo", "disk\n.img"], "no such file");
}

#[test]
fn an_address_that_another_station_has_is_refused_unless_forced() {
    let scene = Scene::new();
    let setup = "ip link add near0 type veth peer name far0
        ip link set far0 address 02:00:00:00:00:fa
        ip link set near0 up
        ip link set far0 up
        \"$VBLADE\" -r 7 3 far0 other.img >far.out 2>far.err &
        far=$!
        trap 'kill $far' EXIT
        tries=0
        until [ -s far.out ]; do tries=$((tries + 1)); [ $tries -lt 500 ]; sleep 0.02; done
        ";
    let Some(output) = scene.in_namespace(&format!("{setup}\"$VBLADE\" 7 3 near0 disk.img")) else { return };
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    wrote_one_line(&output, "e7.3 already answers at 02:00:00:00:00:fa");
    assert!(String::from_utf8_lossy(&output.stderr).contains("--force"));
    scene.assert_untouched();

    for others in ["7 4 near0", "--force 7 3 near0"] {
        let script = format!("{setup}timeout -s TERM 1 \"$VBLADE\" {others} disk.img");
        let Some(output) = scene.in_namespace(&script) else { return };
        assert!(
            String::from_utf8_lossy(&output.stdout).contains("16 sectors O_RDWR"),
            "{others}: {output:?}"
        );
    }
}

/// Brings up two interfaces and runs a `vblade` with `first` in the background.
fn beside(first: &str) -> String {
    format!(
        "rm -f first.out
        ip link set lo up
        ip link add near0 type veth peer name far0
        ip link set near0 up
        \"$VBLADE\" {first} >first.out 2>first.err &
        first=$!
        trap 'kill $first; wait $first' EXIT
        tries=0
        until [ -s first.out ]; do tries=$((tries + 1)); [ $tries -lt 500 ]; sleep 0.02; done
        "
    )
}

#[test]
fn an_address_that_another_process_serves_on_the_interface_is_refused_unless_forced() {
    let scene = Scene::new();
    let setup = beside("-r 7 3 lo other.img");
    let Some(output) = scene.in_namespace(&format!("{setup}\"$VBLADE\" 7 3 lo disk.img")) else { return };
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    wrote_one_line(&output, "e7.3 is already served on lo by another process here");
    assert!(String::from_utf8_lossy(&output.stderr).contains("--force"));
    scene.assert_untouched();

    for others in ["7 4 lo", "7 3 near0", "--force 7 3 lo"] {
        let script = format!("{setup}timeout -s TERM 1 \"$VBLADE\" {others} disk.img");
        let Some(output) = scene.in_namespace(&script) else { return };
        assert!(
            String::from_utf8_lossy(&output.stdout).contains("16 sectors O_RDWR"),
            "{others}: {output:?}"
        );
    }
}

#[test]
fn a_file_that_another_process_serves_is_refused_unless_both_read_or_serve_parts_or_forced() {
    let scene = Scene::new();
    for (first, second) in [("", ""), ("", "-r"), ("-r", ""), ("", "-l 8"), ("-o 8", "")] {
        let setup = beside(&format!("{first} 7 3 lo disk.img"));
        let script = format!("{setup}\"$VBLADE\" {second} 7 4 lo disk.img");
        let Some(output) = scene.in_namespace(&script) else { return };
        assert_eq!(output.status.code(), Some(2), "{first} {second}: {output:?}");
        wrote_one_line(&output, "disk.img: another process has it locked");
        assert!(String::from_utf8_lossy(&output.stderr).contains("--force"));
        scene.assert_untouched();
    }

    for (first, second, warned) in [("-r", "-r", false), ("-l 8", "-o 8", false), ("", "--force", true)] {
        let setup = beside(&format!("{first} 7 3 lo disk.img"));
        let script = format!("{setup}timeout -s TERM 1 \"$VBLADE\" {second} 7 4 lo disk.img");
        let Some(output) = scene.in_namespace(&script) else { return };
        assert!(String::from_utf8_lossy(&output.stdout).contains(" sectors O_RD"), "{second}: {output:?}");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(stderr.contains("WARN disk.img: another process has it locked"), warned, "{stderr}");
    }
}

#[test]
fn a_signal_before_the_disk_is_served_ends_it_well() {
    let scene = Scene::new();
    // Bit 14 of the signals that are caught is SIGTERM. On a busy machine the address may be found free before we look.
    let script = "ip link set lo up
        for attempt in 1 2 3 4 5 6 7 8 9 10; do
            \"$VBLADE\" 7 3 lo disk.img >out &
            until grep -q '^SigCgt:.*[4567cdef]...$' /proc/$!/status; do :; done
            kill $!
            wait $!
            [ -s out ] || exit 0
        done
        exit 9";
    let Some(output) = scene.in_namespace(script) else { return };
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    scene.assert_untouched();
}

#[test]
fn a_hangup_has_the_size_read_again() {
    for (options, sizes) in [("", [(64, 64, 16), (8, 8, 64)]), ("-o 1 -l 15", [(64, 15, 15), (8, 7, 15)])] {
        let scene = Scene::new();
        let script = format!("ip link set lo up; exec \"$VBLADE\" {options} 7 3 lo disk.img 2>err");
        let Some(served) = scene.serve(&script) else { return };
        for (file_sectors, now, was) in sizes {
            let disk = File::options().write(true).open(scene.path("disk.img")).expect("a disk");
            disk.set_len(file_sectors * 512).expect("room");
            served.tell(Signal::HUP);
            scene.await_text("err", &format!("INFO size is now {now} sectors, was {was}\n"));
        }
        File::create(scene.path("disk.img")).expect("an empty file");
        served.tell(Signal::HUP);
        scene.await_text("err", "the size stays");
        assert_eq!(served.end(Signal::TERM, Duration::from_secs(20)).code(), Some(0));
    }
}

#[test]
fn privileges_are_given_up_before_the_disk_is_served() {
    let scene = Scene::new();
    let Some(served) = scene.serve("ip link set lo up; exec \"$VBLADE\" 7 3 lo disk.img") else { return };
    assert!(served.first_line().ends_with("O_RDWR"));
    let status = std::fs::read_to_string(format!("/proc/{}/status", served.pid())).expect("a process");
    let value = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line of the status");
        u64::from_str_radix(line.trim_start_matches([':', '\t']), 16).expect("a number")
    };
    let sets = ["CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb", "NoNewPrivs"].map(value);
    assert_eq!(sets, [0, 0, 0, 0, 0, 1], "{status}");
}

#[test]
fn a_missing_permission_names_setcap_and_the_program() {
    let scene = Scene::new();
    let script = "exec setpriv --bounding-set -net_raw \"$VBLADE\" 7 3 lo disk.img";
    let Some(output) = scene.in_namespace(script) else { return };
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    wrote_one_line(&output, &format!("setcap cap_net_raw+ep {}", env!("CARGO_BIN_EXE_vblade")));
    scene.assert_untouched();
}

#[test]
fn a_file_that_may_not_be_written_is_refused_with_a_hint_at_read_only() {
    let scene = Scene::new();
    let mortal =
        "chmod 400 disk.img; ip link set lo up; exec setpriv --bounding-set -dac_override,-dac_read_search";
    let Some(output) = scene.in_namespace(&format!("{mortal} \"$VBLADE\" 7 3 lo disk.img")) else { return };
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    wrote_one_line(&output, "permission to write denied");
    assert!(String::from_utf8_lossy(&output.stderr).contains("-r"));

    let Some(served) = scene.serve(&format!("{mortal} \"$VBLADE\" -r 7 3 lo disk.img")) else { return };
    assert!(served.first_line().ends_with(": e7.3, 16 sectors O_RDONLY"));
    scene.assert_untouched();
}

#[test]
fn damaged_state_is_refused_and_left_alone() {
    let scene = Scene::new();
    let state = scene.state_file("disk.img");
    std::fs::create_dir(state.parent().expect("a directory")).expect("a directory");
    std::fs::write(&state, "vblade state 1\n").expect("room");
    let output = scene.vblade(&["7", "3", "lo", "disk.img"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    wrote_one_line(&output, &format!("{}: damaged", state.display()));
    assert_eq!(std::fs::read_to_string(&state).expect("a text"), "vblade state 1\n");
}

#[test]
fn it_announces_the_disk_as_the_classic_vblade_does_and_a_signal_ends_it_well() {
    for signal in [Signal::TERM, Signal::INT] {
        let scene = Scene::new();
        let Some(served) = scene.serve("ip link set lo up; exec \"$VBLADE\" 0x10 3 lo disk.img") else {
            return;
        };
        assert_eq!(served.first_line(), format!("pid {}: e16.3, 16 sectors O_RDWR", served.pid()));
        assert_eq!(served.end(signal, Duration::from_secs(20)).code(), Some(0));
    }
}

#[test]
fn offset_length_and_dropped_tail_make_the_size() {
    for (arguments, sectors) in [("-o 3", 13), ("-l 5", 5), ("-o 15 -l 1", 1), ("-d", 16), ("-d -s", 16)] {
        let scene = Scene::new();
        let Some(served) =
            scene.serve(&format!("ip link set lo up; exec \"$VBLADE\" {arguments} 7 3 lo disk.img"))
        else {
            return;
        };
        assert!(served.first_line().ends_with(&format!(": e7.3, {sectors} sectors O_RDWR")), "{arguments}");
    }
    let scene = Scene::new();
    let script = "ip link set lo up; exec timeout -s TERM 1 \"$VBLADE\" 7 3 lo tail.img";
    let Some(output) = scene.in_namespace(script) else { return };
    assert!(String::from_utf8_lossy(&output.stdout).ends_with(": e7.3, 1 sectors O_RDWR\n"), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("tail.img: the last 511 bytes"), "{output:?}");
}

#[test]
fn shelf_4095_is_served_with_a_warning() {
    let scene = Scene::new();
    let script = "ip link set lo up; exec timeout -s TERM 1 \"$VBLADE\" 4095 0 lo disk.img";
    let Some(output) = scene.in_namespace(script) else { return };
    assert!(String::from_utf8_lossy(&output.stdout).contains(": e4095.0, 16 sectors"), "{output:?}");
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("WARN Linux initiators ignore shelf 4095"),
        "{output:?}"
    );
}

#[test]
fn help_and_version_go_to_standard_output() {
    let scene = Scene::new();
    for (option, text) in [
        ("-h", "Usage: vblade [OPTIONS] <shelf>"),
        ("--help", "never sends a flush"),
        ("--version", "vblade "),
    ] {
        let output = scene.vblade(&[option]);
        assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{option}");
        assert!(String::from_utf8_lossy(&output.stdout).contains(text), "{option}: {output:?}");
    }
}
