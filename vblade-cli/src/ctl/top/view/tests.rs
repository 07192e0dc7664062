use std::time::{Duration, Instant};

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::KeyCode;

use super::*;
use crate::control::model::{Counts, ExportFigures, Histogram, InitiatorFigures, Snapshot};

/// What two exports and three initiators of one have done after `look` seconds.
fn snapshot(look: u64) -> Snapshot {
    let counts = |requests| Counts {
        requests,
        read_bytes: requests * 8192,
        written_bytes: requests * 512,
        retransmits: 1,
        in_flight: 12,
        ..Counts::default()
    };
    let latency = |requests| Histogram {
        buckets: vec![0, 0, requests * 9, requests, 0],
        sum_us: 0,
        count: requests * 10,
    };
    let initiator = |last: u64, name: Option<&str>, requests| InitiatorFigures {
        mac: format!("02:00:00:00:00:{last:02x}"),
        name: name.map(str::to_owned),
        counts: counts(requests),
        last_seen: 0.1,
        latency: latency(requests),
    };
    // Faster every second.
    let done = look * look * 100;
    let used = ExportFigures {
        export: "7.3".into(),
        state: "up".into(),
        counts: counts(done * 3),
        read_latency: latency(done),
        initiators: vec![
            initiator(1, Some("web1"), done),
            initiator(2, None, done * 2),
            initiator(3, Some("x\x1b[2Jy"), 0),
        ],
        ..ExportFigures::default()
    };
    let down = ExportFigures { export: "65534.254".into(), state: "down".into(), ..ExportFigures::default() };
    Snapshot { at: look as f64, exports: vec![used, down], ..Snapshot::default() }
}

fn app() -> App {
    let mut app = App::new(false);
    for look in 1..=30 {
        app.take(Ok(snapshot(look)), Instant::now());
    }
    app
}

/// What `app` looks like, without spaces at the ends of lines.
fn screen(app: &App, width: u16, height: u16, now: Instant) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
    terminal.draw(|frame| draw(frame, app, now)).expect("a screen");
    let buffer = terminal.backend().buffer();
    let lines = buffer.content().chunks(usize::from(width).max(1)).map(|cells| {
        let line: String = cells.iter().map(|cell| cell.symbol()).collect();
        line.trim_end().to_owned() + "\n"
    });
    lines.collect()
}

#[track_caller]
fn assert_shows(app: &App, expected: &str) {
    let shown = screen(app, 80, 24, Instant::now());
    assert_eq!(shown, expected, "\n{shown}");
}

#[test]
fn exports_are_shown_with_rates_of_the_last_look() {
    assert_shows(&app(), include_str!("exports.txt"));
}

#[test]
fn initiators_are_sorted_by_the_chosen_column_and_one_of_them_has_its_minute_shown() {
    let mut app = app();
    for key in [KeyCode::Tab, KeyCode::Char('s'), KeyCode::Down] {
        assert!(!app.press(key));
    }
    assert_shows(&app, include_str!("initiators.txt"));
    app.press(KeyCode::Char('r'));
    app.press(KeyCode::Home);
    let idle = screen(&app, 80, 24, Instant::now());
    assert!(idle.contains("7.3 x\\u{1b}[2Jy: up to 0/s"), "{idle}");
}

#[test]
fn enter_shows_the_initiators_of_the_chosen_export() {
    let mut app = app();
    app.press(KeyCode::End);
    app.press(KeyCode::Enter);
    assert!(screen(&app, 80, 24, Instant::now()).contains("no initiators"));
    app.press(KeyCode::Esc);
    app.press(KeyCode::Home);
    app.press(KeyCode::Enter);
    assert!(screen(&app, 80, 24, Instant::now()).contains("web1"));
}

#[test]
fn a_daemon_that_is_gone_is_told_until_it_is_back() {
    let mut app = app();
    let gone = Instant::now();
    app.take(Err("s: no vbladed answers there".into()), gone);
    app.take(Err("s: no vbladed answers there".into()), gone + Duration::from_secs(1));
    let shown = screen(&app, 80, 24, gone + Duration::from_secs(42));
    assert!(shown.contains("nothing heard for 42s: s: no vbladed answers there"), "{shown}");
    app.take(Ok(snapshot(1)), gone);
    assert!(!screen(&app, 80, 24, gone).contains("nothing heard"));
}

#[test]
fn no_size_of_a_terminal_is_too_small_or_too_large() {
    let mut app = app();
    for _ in 0..2 {
        for (width, height) in (0..30).step_by(9).flat_map(|width| (0..16).map(move |height| (width, height)))
        {
            screen(&app, width, height, Instant::now());
        }
        screen(&app, 300, 90, Instant::now());
        app.press(KeyCode::Tab);
    }
    screen(&App::new(true), 80, 24, Instant::now());
}

#[test]
fn keys_do_no_harm_where_nothing_is_and_q_ends() {
    let mut app = App::new(true);
    for key in [
        KeyCode::Down,
        KeyCode::Up,
        KeyCode::Enter,
        KeyCode::End,
        KeyCode::Tab,
        KeyCode::Left,
        KeyCode::PageUp,
    ] {
        assert!(!app.press(key));
        screen(&app, 80, 24, Instant::now());
    }
    assert!(app.press(KeyCode::Char('q')));
}
