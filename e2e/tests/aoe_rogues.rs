//! `aoe` and targets that answer rubbish: each command ends in time, with a message, and does not believe it.

use e2e::net::{TARGET, note};
use e2e::rogue::{CONTROL, Rogue, SECTORS, Trick};
use e2e::stage::{Stage, with_a_cable};
use e2e::tool::{Outcome, Tool};

/// Runs a test against such a target.
fn against(trick: Trick, test: impl FnOnce(&Stage, &Rogue)) {
    println!("--- {trick:?}");
    let Some(stage) = with_a_cable(1500) else { return };
    let rogue = Rogue::start(TARGET, trick);
    test(&stage, &rogue);
}

/// Reads, copies both ways and benches, with `--timeout 1`.
fn transfers(stage: &Stage) -> Vec<Outcome> {
    let image = stage.random("image", 64);
    let tools = [
        Tool::new("read e7.3").arg(stage.path("out1")),
        Tool::new("write e7.3").arg(&image),
        Tool::new("copy e7.3").arg(stage.path("out2")),
        Tool::new("copy").arg(&image).arg("e7.3"),
        Tool::new("bench e7.3 --duration 1"),
    ];
    let running: Vec<_> = tools.map(|tool| tool.arg("--timeout").arg("1").within(15).spawn()).into();
    running.into_iter().map(e2e::tool::Running::wait).collect()
}

/// All of them fail, in time and not silently.
#[track_caller]
fn all_fail<'a>(outcomes: impl IntoIterator<Item = &'a Outcome>) {
    for outcome in outcomes {
        outcome.exits_with(&[1, 3]).took_at_most(8.0);
        outcome.assert(!outcome.stderr.trim().is_empty(), "says nothing");
        note(&format!("  {}", outcome.stderr.trim().replace('\n', " / ")));
    }
}

#[test]
fn the_rogue_without_a_trick_is_an_honest_target() {
    against(Trick::None, |stage, rogue| {
        for outcome in transfers(stage) {
            outcome.good();
        }
        assert!(rogue.answered() > 4000);
        let out = std::fs::read(stage.path("out1")).expect("the disk");
        assert!(out.len() as u64 == SECTORS * 512 && out.iter().all(|byte| *byte == 0));
    });
}

#[test]
fn replies_with_too_little_data_are_not_taken_for_data() {
    for trick in [Trick::ShortData, Trick::NoData] {
        against(trick, |stage, _| {
            let outcomes = transfers(stage);
            // Only reads are answered badly.
            all_fail([&outcomes[0], &outcomes[2], &outcomes[4]]);
            outcomes[1].good();
            outcomes[3].good();
        });
    }
}

#[test]
fn replies_to_nobodys_request_answer_nobodys_request() {
    for trick in [Trick::WrongTag, Trick::NoResponseFlag, Trick::SilentAfter(3), Trick::OnlyConfig] {
        against(trick, |stage, _| all_fail(&transfers(stage)));
    }
}

#[test]
fn a_target_that_answers_by_another_address_is_not_the_one_asked_for() {
    against(Trick::OtherAddress, |stage, _| {
        for outcome in transfers(stage) {
            outcome.refuses(3, &["e7.3"]).took_at_most(8.0);
        }
    });
}

#[test]
fn refusals_and_failures_are_told_apart_and_named() {
    for (code, words) in [(1, "command"), (2, "argument"), (3, "available"), (5, "version"), (6, "reserved")]
    {
        against(Trick::Refuses(code), |stage, _| {
            for outcome in transfers(stage) {
                outcome.refuses(1, &[words]).took_at_most(8.0);
            }
        });
    }
    against(Trick::Refuses(77), |stage, _| all_fail(&transfers(stage)));
    against(Trick::Aborts, |stage, _| {
        let outcomes = transfers(stage);
        all_fail(&outcomes);
        outcomes[0].says(&["abrt"]);
    });
}

#[test]
fn identify_data_that_is_cut_or_empty_is_no_disk() {
    for trick in [Trick::ShortIdentify, Trick::EmptyIdentify] {
        against(trick, |stage, _| {
            all_fail(&transfers(stage));
            let listed = Tool::new("discover").run();
            listed.took_at_most(8.0).good().prints(&["e7.3"]);
            Tool::new("identify e7.3 --timeout 1").run().exits_with(&[0, 1, 3]).took_at_most(5.0);
        });
    }
}

#[test]
fn a_disk_whose_size_changes_at_each_look_is_never_read_beyond_the_last() {
    against(Trick::Shrinks, |stage, _| {
        for outcome in transfers(stage) {
            outcome.exits_with(&[0, 1, 2]).took_at_most(8.0);
        }
        let len = std::fs::metadata(stage.path("out1")).expect("the disk, as it was at some look").len();
        assert!(len.is_power_of_two() && len < SECTORS * 512 + 1, "{len} bytes are no size it ever had");
        for _ in 0..3 {
            Tool::new("discover").run().exits_with(&[0]).took_at_most(8.0);
        }
    });
}

#[test]
fn a_flood_of_stray_replies_disturbs_nothing() {
    against(Trick::Strays, |stage, _| {
        let image = stage.random("image", 64);
        Tool::new("write e7.3").arg(&image).run().good().took_at_most(20.0);
        Tool::new("read e7.3 - --length 200").run().good().prints_exactly(&vec![0; 200 * 512]);
        Tool::new("discover").run().good().prints(&["e7.3"]).took_at_most(8.0);
    });
}

#[test]
fn a_config_reply_shorter_than_its_string_is_ignored() {
    against(Trick::LongString, |_, _| {
        Tool::new("discover").run().exits(3).took_at_most(8.0);
        Tool::new("config get e7.3 --timeout 1").run().exits_with(&[1, 3]).took_at_most(8.0);
    });
}

#[test]
fn text_from_the_network_cannot_speak_to_the_terminal() {
    against(Trick::ControlCharacters, |_, _| {
        for words in [
            "discover",
            "discover --json",
            "identify e7.3",
            "identify e7.3 --json",
            "config get e7.3 --json",
            "ping e7.3 -c 1",
        ] {
            let outcome = Tool::new(words).run();
            outcome.good();
            let printed = [&outcome.stdout[..], outcome.stderr.as_bytes()].concat();
            outcome.assert(
                !printed.iter().any(|byte| byte.is_ascii_control() && *byte != b'\n'),
                "prints control characters",
            );
        }
        let mut raw = CONTROL.to_vec();
        raw.push(b'\n');
        Tool::new("config get e7.3").run().good().prints_exactly(&raw);
        let (shown, _) = Tool::new("config get e7.3").spawn_on_a_terminal().wait_with_terminal();
        assert!(!shown.stderr.contains('\x1b'), "{:?}", shown.stderr);
    });
}

#[test]
fn a_mask_list_that_cannot_be_had_fails_the_command_by_its_own_name() {
    against(Trick::OnlyConfig, |_, _| {
        for (line, doing) in [
            ("mask list e7.3", "read the mask list"),
            ("mask add e7.3 02:00:00:00:00:a1", "add to the mask list"),
            ("mask remove e7.3 02:00:00:00:00:a1", "remove from the mask list"),
            ("mask clear e7.3", "clear the mask list"),
        ] {
            Tool::new(line).arg("--timeout=1").run().refuses(1, &[doing]).took_at_most(5.0);
        }
    });
}
