//! `vbladectl top`: exports and initiators, as they are now.
//!
//! A [`sampler`] asks the daemon, [`history`] makes rates of what it says, [`app`] is what was chosen by keys, [`view`] draws.

mod app;
mod history;
mod sampler;
mod view;

use std::io::{self, IsTerminal};
use std::path::Path;
use std::time::{Duration, Instant};

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};

use self::app::App;
use self::sampler::Sampler;
use super::error::Error;
use crate::wait::Signals;

/// How soon a new figure, a key or a signal is seen.
const LOOK: Duration = Duration::from_millis(100);

/// Shows the daemon at `socket`, asked every `interval`, until told to end.
pub(super) fn run(socket: &Path, interval: Duration) -> Result<(), Error> {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        return Err(Error::Usage("top needs a terminal; for scripts there is vbladectl stats --json".into()));
    }
    let failed = |doing| move |source| Error::System { doing, source };
    // Whoever may not ask, or asks in vain, is told so in the ordinary way.
    let (sampler, first) = Sampler::start(socket, interval)?;
    let mut app = App::new(view::has_colours());
    app.take(Ok(first), Instant::now());
    let signals = Signals::new().map_err(failed("take over signals"))?;
    let mut terminal = ratatui::try_init().map_err(failed("use the terminal"))?;
    // Drawing costs more than looking: only what has changed is drawn.
    let mut stale = true;
    let shown = loop {
        for sample in sampler.samples() {
            app.take(sample, Instant::now());
            stale = true;
        }
        if stale && let Err(error) = terminal.draw(|frame| view::draw(frame, &app, Instant::now())) {
            break Err(error);
        }
        match pressed() {
            Err(error) => break Err(error),
            Ok(Some(key)) if app.press(key) => break Ok(()),
            Ok(_) if signals.stop() => break Ok(()),
            Ok(key) => stale = key.is_some(),
        }
    };
    ratatui::restore();
    shown.map_err(failed("use the terminal"))
}

/// The key that is pressed within a moment, if anything happens; Ctrl-C is `q`, and what is no key is none that means anything.
fn pressed() -> io::Result<Option<KeyCode>> {
    if !event::poll(LOOK)? {
        return Ok(None);
    }
    let key = match event::read()? {
        Event::Key(key) if key.kind != KeyEventKind::Release => key,
        _ => return Ok(Some(KeyCode::Null)),
    };
    let interrupt = key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c');
    Ok(Some(if interrupt { KeyCode::Char('q') } else { key.code }))
}
