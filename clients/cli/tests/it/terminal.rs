//! A program in a terminal of its own.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::process::{Child, Command};

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::heard::Heard;

/// The Escape key.
pub(crate) const ESCAPE: &str = "\x1b";
/// The key that moves to the next line of a list.
pub(crate) const DOWN: &str = "\x1b[B";
/// Ctrl-C, as a program reads it that takes every key itself.
pub(crate) const CTRL_C: &str = "\x03";

/// A terminal of 80 columns and the program in it, which is killed when this is dropped.
pub(crate) struct Terminal {
    child: Child,
    keyboard: File,
    /// All that the program has written, control sequences and all.
    pub(crate) screen: Heard,
}

impl Terminal {
    /// Runs `command` with the terminal as its stdin, stdout and stderr. Takes the command, which holds the program's side of the terminal
    /// open: only without it does the output end with the program.
    pub(crate) fn start(mut command: Command) -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&ours).expect("a terminal");
        unlockpt(&ours).expect("a terminal");
        let name = ptsname(&ours, Vec::new()).expect("its name");
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let theirs = rustix::fs::open(name, flags, Mode::empty()).expect("its other side");
        let size = Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&theirs, size).expect("a size");
        let side = || OwnedFd::try_clone(&theirs).expect("a descriptor");
        let child = command
            .env("TERM", "xterm-256color")
            .stdin(side())
            .stdout(side())
            .stderr(side())
            .spawn()
            .expect("the program starts");
        let keyboard = File::from(ours);
        let screen = Heard::listen(keyboard.try_clone().expect("a descriptor"));
        Self {
            child,
            keyboard,
            screen,
        }
    }

    /// Presses keys.
    pub(crate) fn press(&self, keys: &str) {
        let mut keyboard = &self.keyboard;
        keyboard.write_all(keys.as_bytes()).expect("pressed");
    }

    /// Presses keys, then Enter.
    pub(crate) fn enter(&self, keys: &str) {
        self.press(&format!("{keys}\r"));
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("a signal");
    }

    /// Waits until the program has ended; its exit code and all that it has written.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let text = self.screen.end();
        let status = self.child.wait().expect("its status");
        (status.code(), text.replace("\r\n", "\n"))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
