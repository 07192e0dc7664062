//! A terminal for a program to run on, and what it looks like afterwards.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};

/// A pseudoterminal of 120 columns, seen from the side where the user sits.
#[derive(Debug)]
pub struct Terminal {
    /// Kept open, so that the terminal stays what it is when the program has gone.
    end: OwnedFd,
    shown: Arc<Mutex<Vec<u8>>>,
    modes: String,
}

impl Terminal {
    /// A new terminal, and the end of it for the program.
    pub(crate) fn open() -> (Self, OwnedFd) {
        let user =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
        grantpt(&user).expect("a terminal");
        unlockpt(&user).expect("a terminal");
        let name = ptsname(&user, Vec::new()).expect("the terminal's name");
        let end =
            open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).expect("the terminal");
        tcsetwinsize(&end, Winsize { ws_row: 40, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 }).expect("a size");
        let modes = modes(&end);
        let program = end.try_clone().expect("a descriptor");
        let shown = Arc::default();
        let screen = Arc::clone(&shown);
        // Ends with the terminal: reading fails once nobody has the program's end open.
        thread::spawn(move || show(File::from(user), &screen));
        (Self { end, shown, modes }, program)
    }

    /// Everything that was written to it so far.
    #[must_use]
    pub fn shown(&self) -> Vec<u8> {
        self.shown.lock().expect("nobody panics with it").clone()
    }

    /// Returns when nothing new has been shown for a moment.
    pub(crate) fn settle(&self) {
        let mut before = None;
        while before != Some(self.shown().len()) {
            before = Some(self.shown().len());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Panics unless the terminal is as it was: the same modes, and the cursor visible.
    #[track_caller]
    pub fn assert_sane(&self) {
        assert_eq!(modes(&self.end), self.modes, "the modes of the terminal changed");
        let shown = String::from_utf8_lossy(&self.shown()).into_owned();
        let last = |code| shown.rfind(code);
        assert!(last("\x1b[?25l") <= last("\x1b[?25h"), "the cursor is hidden: {shown:?}");
        assert!(last("\x1b[?1049h") <= last("\x1b[?1049l"), "the other screen is shown: {shown:?}");
    }
}

fn show(mut user: File, screen: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 4096];
    while let Ok(len @ 1..) = user.read(&mut buffer) {
        screen.lock().expect("nobody panics with it").extend_from_slice(&buffer[..len]);
    }
}

fn modes(terminal: &impl AsFd) -> String {
    let Termios { input_modes, output_modes, control_modes, local_modes, .. } =
        tcgetattr(terminal).expect("the modes of a terminal");
    format!("{input_modes:?} {output_modes:?} {control_modes:?} {local_modes:?}")
}
