//! Draws it: a line on the daemon, the last minute, the table, the keys. What does not fit is left out.

use std::env;
use std::time::Instant;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row as Cells, Sparkline, Table as Grid, TableState};

use super::app::{App, Sort, Table};
use super::history::{Rates, Row};
use crate::ctl::figure::{ago, count, size, time};
use crate::plain::one_line;

/// Lines of the last minute, with their titles. Without so many more for the table it is left out.
const MINUTE: u16 = 4;

/// Whether the terminal has colours, and its user wants them (no-color.org).
pub(super) fn has_colours() -> bool {
    let unwanted = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let terminal = env::var("TERM").unwrap_or_default();
    let plain = ["", "dumb", "vt100", "vt102", "vt220", "vt320"].contains(&terminal.as_str());
    !unwanted && !plain && !terminal.ends_with("-mono") && !terminal.ends_with("-m")
}

pub(super) fn draw(frame: &mut Frame<'_>, app: &App, now: Instant) {
    let minute = if frame.area().height >= 4 + 2 * MINUTE { MINUTE } else { 0 };
    let parts =
        [Constraint::Length(1), Constraint::Length(minute), Constraint::Min(0), Constraint::Length(1)];
    let [head, sparks, table, foot] = Layout::vertical(parts).areas(frame.area());
    let rows = app.rows();
    let chosen = app.position(&rows);
    frame.render_widget(headline(app), head);
    if minute > 0 {
        draw_minute(frame, sparks, app, chosen.and_then(|at| rows.get(at).copied()));
    }
    draw_table(frame, table, app, &rows, chosen);
    frame.render_widget(footline(app, now), foot);
}

fn accent(app: &App, colour: Color, plain: Modifier) -> Style {
    if app.colours { Style::new().fg(colour) } else { Style::new().add_modifier(plain) }
}

fn headline(app: &App) -> Line<'static> {
    let exports = &app.snapshot.exports;
    let down = exports.iter().filter(|export| export.state != "up").count();
    let Rates { requests, read, written } = app.history.total();
    let plural = if exports.len() == 1 { "" } else { "s" };
    let what = format!("vbladed up {}  {} export{plural}", ago(app.snapshot.at), exports.len());
    let rates = format!("  {}/s  read {}/s  written {}/s", count(requests), size(read), size(written));
    let mut spans = vec![Span::styled(what, Modifier::BOLD)];
    if down > 0 {
        spans.push(Span::styled(format!(", {down} not up"), accent(app, Color::Red, Modifier::REVERSED)));
    }
    spans.push(Span::raw(rates));
    Line::from(spans)
}

fn footline(app: &App, now: Instant) -> Line<'static> {
    if let Some((since, why)) = &app.lost {
        let text = format!("nothing heard for {}: {}", ago((now - *since).as_secs_f64()), one_line(why));
        return Line::styled(text, accent(app, Color::Red, Modifier::REVERSED).add_modifier(Modifier::BOLD));
    }
    let keys = match app.table {
        Table::Exports => "Tab initiators  Enter those of this export",
        Table::Initiators(_) => "Tab exports",
    };
    Line::styled(format!("{keys}  \u{2191}\u{2193} choose  s sort  r reverse  q quit"), Modifier::DIM)
}

/// The last minute of the chosen line, or of all exports.
fn draw_minute(frame: &mut Frame<'_>, area: Rect, app: &App, chosen: Option<&Row>) {
    let [left, _, right] =
        Layout::horizontal([Constraint::Fill(1), Constraint::Length(2), Constraint::Fill(1)]).areas(area);
    let of = chosen.map_or("all".to_owned(), |row| match &row.key.initiator {
        Some(_) => format!("{} {}", row.key.export, row.label),
        None => row.key.export.clone(),
    });
    let (requests, bytes) = match chosen {
        Some(row) => (row.requests.clone(), row.bytes.clone()),
        None => (sum(app, |row| &row.requests), sum(app, |row| &row.bytes)),
    };
    let most = |of: &[u64]| of.iter().max().copied().unwrap_or_default() as f64;
    let title = format!("{of}: up to {}/s", count(most(&requests)));
    draw_spark(frame, left, app, title, &requests);
    let title = format!("bytes: up to {}/s", size(most(&bytes)));
    draw_spark(frame, right, app, title, &bytes);
}

fn sum(app: &App, of: impl Fn(&Row) -> &Vec<u64>) -> Vec<u64> {
    let len = app.history.exports.iter().map(|row| of(row).len()).max().unwrap_or(0);
    // The latest look of each is at its end.
    let at = |row: &Row, back: usize| of(row).iter().rev().nth(back).copied().unwrap_or(0);
    (0..len).rev().map(|back| app.history.exports.iter().map(|row| at(row, back)).sum()).collect()
}

fn draw_spark(frame: &mut Frame<'_>, area: Rect, app: &App, title: String, looks: &[u64]) {
    let [top, below] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(area);
    frame.render_widget(Line::styled(one_line(&title), Modifier::DIM), top);
    // Now is at the right.
    let width = usize::from(below.width);
    let mut bars = vec![0; width.saturating_sub(looks.len())];
    bars.extend(&looks[looks.len().saturating_sub(width)..]);
    let style = accent(app, Color::Cyan, Modifier::empty());
    frame.render_widget(Sparkline::default().data(bars).style(style), below);
}

/// Title, width, what it sorts by.
type Column = (&'static str, u16, Option<Sort>);

const EXPORTS: &[Column] = &[
    ("EXPORT", 9, Some(Sort::Name)),
    ("STATE", 7, None),
    ("REQ/s", 6, Some(Sort::Requests)),
    ("READ/s", 8, Some(Sort::Read)),
    ("WRITE/s", 8, Some(Sort::Written)),
    ("P50", 5, None),
    ("P99", 5, Some(Sort::Latency)),
    ("BUSY", 5, Some(Sort::InFlight)),
    ("ERRS", 5, Some(Sort::Errors)),
    ("RETR", 5, Some(Sort::Retransmits)),
];

const INITIATORS: &[Column] = &[
    ("EXPORT", 9, Some(Sort::Name)),
    ("INITIATOR", 17, None),
    ("REQ/s", 6, Some(Sort::Requests)),
    ("READ/s", 8, Some(Sort::Read)),
    ("WRITE/s", 8, Some(Sort::Written)),
    ("P99", 5, Some(Sort::Latency)),
    ("BUSY", 5, Some(Sort::InFlight)),
    ("ERRS", 5, Some(Sort::Errors)),
    ("RETR", 5, Some(Sort::Retransmits)),
];

fn draw_table(frame: &mut Frame<'_>, area: Rect, app: &App, rows: &[&Row], chosen: Option<usize>) {
    let is_exports = app.table == Table::Exports;
    let columns = if is_exports { EXPORTS } else { INITIATORS };
    if rows.is_empty() {
        let what = if is_exports { "no exports" } else { "no initiators" };
        return frame.render_widget(Paragraph::new(what), area);
    }
    let titles = columns.iter().map(|(title, _, sort)| {
        let sorted = *sort == Some(app.sort);
        let style = if sorted { Modifier::BOLD | Modifier::REVERSED } else { Modifier::BOLD };
        Cell::from(Line::styled(*title, style))
    });
    let lines = rows.iter().map(|row| {
        let trouble = accent(app, Color::Red, Modifier::BOLD);
        let line = Cells::new(cells(row, is_exports));
        let bad = row.troubled || (is_exports && row.label != "up");
        if bad { line.style(trouble) } else { line }
    });
    let widths = columns.iter().map(|(_, width, _)| Constraint::Length(*width));
    let table = Grid::new(lines, widths)
        .header(Cells::new(titles))
        .column_spacing(1)
        .row_highlight_style(Modifier::REVERSED);
    let mut state = TableState::new().with_selected(chosen);
    frame.render_stateful_widget(table, area, &mut state);
}

fn cells(row: &Row, is_exports: bool) -> Vec<String> {
    let mut cells = vec![row.key.export.clone(), one_line(&row.label)];
    cells.extend([count(row.rates.requests), size(row.rates.read), size(row.rates.written)]);
    if is_exports {
        cells.push(time(row.p50));
    }
    cells.push(time(row.p99));
    cells.extend([row.in_flight, row.errors, row.retransmits].map(|n| count(n as f64)));
    cells
}

#[cfg(test)]
mod tests;
