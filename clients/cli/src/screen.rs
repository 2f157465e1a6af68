//! A terminal of which a command takes the whole window for as long as it stays.

use crate::failure::Result;
use crate::output::Output;

/// Turns to the terminal's second screen, which has no scroll-back, and cuts lines instead of wrapping them, so that what is at the top
/// stays there.
const ENTER: &str = "\x1b[?1049h\x1b[?7l";
/// Undoes that: what was on the terminal before is there again.
const LEAVE: &str = "\x1b[?7h\x1b[?1049l";
/// Moves the cursor to the top and clears the window.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// The window, given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Screen<'a>(&'a Output);

impl<'a> Screen<'a> {
    /// Takes the window. stdout must be a terminal.
    pub(crate) fn take(output: &'a Output) -> Result<Self> {
        let screen = Self(output);
        output.control(ENTER)?;
        Ok(screen)
    }

    /// Shows `text` in place of what is in the window. It should fit, and not end with a line break, which would move all of it up.
    pub(crate) fn show(&self, text: &str) -> Result<()> {
        self.0.control(CLEAR)?;
        self.0.print(text)
    }
}

impl Drop for Screen<'_> {
    fn drop(&mut self) {
        // A terminal that is gone needs no tidying.
        let _gone = self.0.control(LEAVE);
    }
}
