//! `vbladectl top` in a real terminal, beside a real daemon under load.

use std::fs;

use e2e::daemon::{Daemon, export, program};
use e2e::net::TARGET;
use e2e::request::{S, show_mac};
use e2e::screen::Screen;
use e2e::stage::{Stage, with_a_cable};
use e2e::tool::{Running, Tool};

/// Two exports, and a load on the first of them.
fn busy(stage: &Stage) -> (Daemon, Running) {
    let of = |name, disk| export(name, &stage.random(disk, 4096), TARGET, "cache = \"writeback\"");
    let daemon = Daemon::start(&stage.path(""), "d", &(of("7.1", "one") + &of("7.2", "two")));
    let load = Tool::new("bench --json --read 50 --force --duration 100 --window 4 e7.1").within(120).spawn();
    (daemon, load)
}

/// `top` in a terminal of this size, by a script that notes the modes of the terminal before and after.
fn top(stage: &Stage, columns: u16, lines: u16) -> Option<Screen> {
    let [before, after, socket] = ["before", "after", "d/control.sock"].map(|name| stage.path(name));
    let ctl = program().with_file_name("vbladectl");
    let script = format!(
        "stty -g >{before:?}; echo a line of before; {ctl:?} --socket {socket:?} top; echo \"ended $?\"; stty -g >{after:?}; sleep 300"
    );
    Screen::open(&stage.path(""), columns, lines, &script)
}

/// The words of the line of the table that begins with this one.
#[track_caller]
fn line<'a>(shown: &'a str, first: &str) -> Vec<&'a str> {
    let words = |line: &'a str| line.split_whitespace().collect::<Vec<_>>();
    // The title of the last minute ends in a colon.
    let found = shown.lines().map(words).find(|words| words.first() == Some(&first));
    found.unwrap_or_else(|| panic!("no line begins with {first}:\n{shown}"))
}

fn has_line(shown: &str, first: &str) -> bool {
    shown.lines().any(|line| line.split_whitespace().next() == Some(first))
}

/// Whether the column under a title is a number above zero. Numbers before their units are one word or two.
fn is_busy(shown: &str, export: &str) -> bool {
    has_line(shown, export) && line(shown, export).get(2).is_some_and(|rate| !["0", "-"].contains(rate))
}

#[track_caller]
fn assert_fits(shown: &str, columns: usize, lines: usize) {
    let longest = shown.lines().map(|line| line.trim_end().chars().count()).max().unwrap_or(0);
    assert!(longest <= columns && shown.lines().count() <= lines, "{longest} columns:\n{shown}");
}

/// Whether one is above the other.
fn in_order(shown: &str, above: &str, below: &str) -> bool {
    let at = |first: &str| shown.lines().position(|line| line.split_whitespace().next() == Some(first));
    at(above).zip(at(below)).is_some_and(|(above, below)| above < below)
}

#[test]
fn top_shows_who_is_busy_obeys_keys_and_leaves_the_terminal_as_it_was() {
    let Some(stage) = with_a_cable(1500) else { return };
    let (_daemon, _load) = busy(&stage);
    let Some(screen) = top(&stage, 80, 24) else { return };
    let shown = screen.until("7.1 has a rate", |shown| is_busy(shown, "7.1"));
    assert_fits(&shown, 80, 24);
    assert!(shown.starts_with("vbladed up ") && shown.contains("2 exports"), "{shown}");
    assert_eq!(line(&shown, "7.1")[1], "up");
    assert_eq!(line(&shown, "7.2")[1..3], ["up", "0"], "nobody uses it");
    assert!(in_order(&shown, "7.1", "7.2"), "by address:\n{shown}");
    assert!(!shown.contains("a line of before") && screen.asked("alternate_on") == "1");

    // By requests the busy one is first, the other way round it is last.
    screen.press("r");
    let _ = screen.until("the order is reversed", |shown| in_order(shown, "7.2", "7.1"));
    screen.press("s");
    let _ = screen.until("the busiest is first", |shown| in_order(shown, "7.1", "7.2"));
    screen.press("r");
    let _ = screen.until("the busiest is last", |shown| in_order(shown, "7.2", "7.1"));

    let mac = show_mac(S);
    screen.press("Tab");
    let shown = screen.until("the initiator has a rate", |shown| {
        shown.contains("INITIATOR") && is_busy(shown, "7.1") && line(shown, "7.1")[1] == mac
    });
    assert_fits(&shown, 80, 24);
    screen.press("Tab");
    let _ = screen.until("exports are back", |shown| has_line(shown, "7.2"));

    screen.press("q");
    let shown = screen.until("it has ended", |shown| shown.contains("ended"));
    assert_eq!(shown.trim_end(), "a line of before\nended 0");
    assert_eq!([screen.asked("alternate_on"), screen.asked("cursor_flag")], ["0", "1"]);
    let _ = screen.until("the modes are noted", |_| stage.path("after").exists());
    let modes = ["before", "after"].map(|name| fs::read_to_string(stage.path(name)).expect("the modes"));
    assert_eq!(modes[0], modes[1]);
}

#[test]
fn top_works_in_a_small_terminal_and_when_its_size_changes() {
    let Some(stage) = with_a_cable(1500) else { return };
    let (_daemon, _load) = busy(&stage);
    let Some(screen) = top(&stage, 60, 15) else { return };
    let shown = screen.until("7.1 has a rate", |shown| is_busy(shown, "7.1"));
    assert_fits(&shown, 60, 15);
    for (columns, lines) in [(20, 4), (1, 1), (200, 50), (60, 15)] {
        screen.resize(columns, lines);
        for key in ["Tab", "Down", "s", "Enter", "Escape"] {
            screen.press(key);
        }
    }
    screen.press("Escape");
    let shown =
        screen.until("it shows both exports", |shown| has_line(shown, "7.1") && has_line(shown, "7.2"));
    assert_fits(&shown, 60, 15);
    screen.press("q");
    let shown = screen.until("it has ended", |shown| shown.contains("ended"));
    assert!(shown.contains("ended 0") && !shown.contains("panicked"), "{shown}");
}
