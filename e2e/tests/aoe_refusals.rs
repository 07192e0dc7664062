//! What `aoe` refuses, by which exit status, and what it says.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use e2e::SECTOR;
use e2e::net::note;
use e2e::stage::{Kind, Stage, against_both, with_a_cable};
use e2e::tool::{Tool, aoe, program};

const SECTORS: usize = 2048;

/// One of each command, with what it needs besides its target.
const COMMANDS: [&str; 14] = [
    "ping TARGET -c 2 -I 0.1",
    "identify TARGET",
    "config get TARGET",
    "config set TARGET x",
    "config test TARGET x",
    "mask list TARGET",
    "reserve list TARGET",
    "read TARGET /dev/null",
    "write TARGET IMAGE",
    "copy TARGET OUT",
    "copy IMAGE TARGET",
    "flush TARGET",
    "sancheck TARGET",
    "bench TARGET --duration 1",
];

fn words(stage: &Stage, command: &str, target: &str) -> String {
    let path = |name: &str| stage.path(name).display().to_string();
    command.replace("TARGET", target).replace("IMAGE", &path("image")).replace("OUT", &path("out"))
}

/// A cable, a target at its other end, and an image.
fn with_a_target(test: impl FnOnce(&Stage)) {
    let Some(stage) = with_a_cable(1500) else { return };
    let disk = stage.random("disk", SECTORS);
    let before = fs::read(&disk).expect("the disk");
    let _ = stage.random("image", 16);
    let Some(mut target) = stage.serve(Kind::Ours, &disk) else { return };
    test(&stage);
    target.assert_alive();
    assert!(fs::read(&disk).expect("the disk") == before, "the disk was changed");
}

#[test]
fn an_address_that_is_none_is_a_usage_error_of_every_command() {
    with_a_target(|stage| {
        for address in ["e7", "e7.", "e7.3.1", "x7.3", "e70000.1", "e7.300", "e-1.1", "e65535.1", "e1.255"] {
            let outcome = aoe(&format!("identify {address}"));
            outcome.refuses(2, &[address]).took_at_most(1.0);
        }
        for command in COMMANDS.iter().filter(|command| !command.starts_with("copy")) {
            Tool::new(&words(stage, command, "e7.x")).run().refuses(2, &["e7.x"]).took_at_most(1.0);
        }
    });
}

#[test]
fn a_target_that_nobody_has_ends_every_command_with_status_3_in_time() {
    with_a_target(|stage| {
        let running: Vec<_> = COMMANDS
            .iter()
            .map(|command| {
                Tool::new(&words(stage, command, "e9.9")).arg("--timeout").arg("1").within(10).spawn()
            })
            .collect();
        for tool in running {
            let outcome = tool.wait();
            outcome.refuses(3, &["e9.9"]).took_at_most(6.0);
        }
        assert!(!stage.path("out").exists(), "a file was made for a target that is not there");
    });
}

#[test]
fn no_target_at_all_is_status_3_of_discover() {
    let Some(_stage) = with_a_cable(1500) else { return };
    aoe("discover").exits(3).took_at_most(6.0);
    let nothing = aoe("discover --json");
    nothing.exits(3);
    assert_eq!(nothing.json(), serde_json::json!([]));
}

#[test]
fn an_interface_that_is_not_there_is_named() {
    with_a_target(|stage| {
        for command in ["discover"].iter().chain(&COMMANDS) {
            let tool = Tool::new(&words(stage, command, "e7.3")).on(&["nope0"]);
            tool.run().exits_with(&[1, 2]).says(&["nope0"]).took_at_most(2.0);
        }
        Tool::new("identify e7.3 --timeout 1").on(&["lo"]).run().exits_with(&[1, 2, 3]).took_at_most(5.0);
        stage.net.ip("link set ini0 down");
        Tool::new("identify e7.3 --timeout 1").run().exits_with(&[1, 3]).says(&["ini0"]).took_at_most(5.0);
    });
}

#[test]
fn without_permission_the_capability_is_named() {
    with_a_target(|stage| {
        let copy = stage.path("aoe");
        fs::copy(program(), &copy).expect("a copy of the program");
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).expect("permissions");
        for words in ["discover", "identify e7.3", "read e7.3 -"] {
            for interfaces in [&["ini0"][..], &[]] {
                let nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all";
                let tool = Tool::new(words).program(copy.clone()).wrapper(nobody).on(interfaces);
                let refused = tool.run();
                refused.refuses(1, &["cap_net_raw"]).took_at_most(3.0);
                note(&format!("no permission: {}", refused.stderr.trim()));
            }
        }
    });
}

#[test]
fn words_that_mean_nothing_are_usage_errors() {
    with_a_target(|_| {
        for words in [
            "",
            "frobnicate",
            "identify",
            "identify e7.3 --timeout 0",
            "identify e7.3 --timeout -1",
            "identify e7.3 --timeout x",
            "read e7.3 - --offset -1",
            "read e7.3 - --length 0",
            "copy e7.3 e7.4",
            "copy a b",
            "bench e7.3 --window 0",
            "bench e7.3 --sectors 256",
            "mask add e7.3 02:00:00:00:00",
            "mask add e7.3",
            "reserve set e7.3 ff:ff:ff:ff:ff:ff",
        ] {
            let outcome = Tool::new(words).run();
            outcome.refuses(2, &[]).took_at_most(2.0);
        }
    });
}

#[test]
fn a_config_string_too_long_for_the_protocol_or_the_interface_is_not_sent() {
    with_a_target(|stage| {
        let long = "x".repeat(1025);
        for command in ["set", "force", "test"] {
            let outcome = Tool::new(&format!("config {command} e7.3")).arg(&long).run();
            outcome.refuses(2, &["1024"]).took_at_most(1.0);
        }
        Tool::new("config force e7.3").arg(&long[..1024]).run().good();
        Tool::new("config get e7.3").run().good().prints_exactly(format!("{}\n", &long[..1024]).as_bytes());
        Tool::new("config clear e7.3").run().good();
        stage.net.ip("link set ini0 mtu 600");
        let narrow = Tool::new("config force e7.3").arg(&long[..1000]).run();
        narrow.exits_with(&[1, 2]).says(&["mtu"]).took_at_most(12.0);
    });
}

#[test]
fn an_image_larger_than_the_target_is_refused_before_anything_is_written() {
    against_both(1500, SECTORS, |stage, _, _| {
        let before = fs::read(stage.path("disk")).expect("the disk");
        let large = stage.random("large", SECTORS + 1);
        for line in [
            "copy LARGE e7.3",
            "write e7.3 LARGE",
            "write e7.3 IMAGE --offset 2047",
            "copy IMAGE e7.3 --offset 2047 --length 2",
        ] {
            let image = stage.random("image", 2);
            let line = line
                .replace("LARGE", &large.display().to_string())
                .replace("IMAGE", &image.display().to_string());
            Tool::new(&line).run().exits_with(&[1, 2]).took_at_most(5.0);
        }
        Tool::new("copy").arg(&large).arg("e7.3").run().says(&["2048", "large"]);
        aoe("read e7.3 - --offset 2048").exits_with(&[1, 2]);
        aoe("read e7.3 - --offset 2047 --length 2").exits_with(&[1, 2]);
        assert!(fs::read(stage.path("disk")).expect("the disk") == before, "the disk was changed");
    });
}

#[test]
fn files_that_cannot_be_read_or_made_are_named() {
    with_a_target(|stage| {
        let none = stage.path("none").display().to_string();
        for line in ["copy NONE e7.3", "write e7.3 NONE", "read e7.3 NONE/x", "copy e7.3 NONE/x"] {
            Tool::new(&line.replace("NONE", &none))
                .run()
                .exits_with(&[1, 2])
                .says(&[&none])
                .took_at_most(5.0);
        }
    });
}

#[test]
fn a_read_only_target_refuses_writes_and_the_message_says_so() {
    for kind in [Kind::Ours, Kind::Classic] {
        println!("--- {kind:?}");
        let Some(stage) = with_a_cable(1500) else { return };
        let disk = stage.random("disk", SECTORS);
        let before = fs::read(&disk).expect("the disk");
        let Some(_target) = stage.serve_as(kind, "-r", "7 3 tgt0", &disk) else { return };
        let image = stage.random("image", 16);
        for tool in [Tool::new("write e7.3").arg(&image), Tool::new("copy").arg(&image).arg("e7.3")] {
            let refused = tool.run();
            refused.refuses(1, &["read-only"]).took_at_most(5.0);
            note(&format!("read-only, {kind:?}: {}", refused.stderr.trim()));
        }
        Tool::new("read e7.3").arg(stage.path("out")).run().good();
        assert!(fs::read(&disk).expect("the disk") == before, "the disk was changed");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_reason_to_panic() {
    with_a_target(|_| {
        let line = format!(
            "{} -i ini0 read e7.3 - | head -c 100 >/dev/null; exit ${{PIPESTATUS[0]}}",
            program().display()
        );
        let output = std::process::Command::new("bash").args(["-c", &line]).output().expect("bash");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!stderr.contains("panicked"), "{stderr}");
        assert!(output.status.code().is_some_and(|code| code != 101), "{output:?}");
        let line = format!("{} -i ini0 discover --json > /dev/full", program().display());
        let output = std::process::Command::new("bash").args(["-c", &line]).output().expect("bash");
        assert_eq!(output.status.code(), Some(1), "{output:?}");
    });
}

#[test]
fn a_copy_into_a_full_file_system_stops_with_a_message() {
    with_a_target(|stage| {
        let full = stage.path("full");
        fs::create_dir(&full).expect("a mount point");
        let Some(_mount) = stage.net.mount_tmpfs(&full, 256 * SECTOR) else { return };
        let stopped = Tool::new("copy e7.3").arg(full.join("out")).run();
        stopped.refuses(1, &["space"]).took_at_most(10.0);
        note(&format!("full: {}", stopped.stderr.trim()));
    });
}

#[test]
fn a_pipe_by_name_is_refused_with_what_to_write_instead() {
    with_a_target(|stage| {
        let fifo = stage.path("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status().expect("mkfifo");
        assert!(made.success());
        for (line, instead) in [
            ("read e7.3 FIFO", "- >"),
            ("copy e7.3 FIFO", "- >"),
            ("write e7.3 FIFO", "- <"),
            ("copy FIFO e7.3", "- <"),
        ] {
            let line = line.replace("FIFO", &fifo.display().to_string());
            aoe(&line).refuses(2, &["pipe", instead]).took_at_most(2.0);
        }
    });
}

#[test]
fn an_empty_standard_input_is_a_failure_that_writes_nothing() {
    with_a_target(|_| {
        for line in ["write e7.3", "write e7.3 --pad --quiet", "write e7.3 --length 2"] {
            aoe(line).refuses(1, &["standard input is empty", "nothing was written"]).took_at_most(5.0);
        }
    });
}

#[test]
fn a_range_smaller_than_a_frame_is_benched_in_requests_that_fit() {
    with_a_target(|_| {
        aoe("bench e7.3 --duration 0.2 --length 1").good().prints(&["of 1 sector,"]);
        aoe("bench e7.3 --duration 0.2 --length 1 --sectors 2")
            .refuses(2, &["sector 0: no room for a request of 2 sectors"]);
    });
}
