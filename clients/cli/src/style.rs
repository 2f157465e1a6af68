//! Colours. Renderers always write them; the output strips them where they are not wanted.

use anstyle::{AnsiColor, Style};

/// The head of a group.
pub(crate) const HEADING: Style = Style::new().bold();
/// What matters less than what stands beside it.
pub(crate) const DIM: Style = Style::new().dimmed();
/// Work has stopped, or something is broken.
pub(crate) const ALARM: Style = AnsiColor::Red.on_default().bold();
/// Needs attention.
pub(crate) const WARNING: Style = AnsiColor::Yellow.on_default();
/// As it should be.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// What a person may type or choose.
pub(crate) const CHOICE: Style = AnsiColor::Cyan.on_default();

/// Writes `text` in `style` and goes back to plain; nothing for nothing, so that ends of lines stay clean.
pub(crate) fn paint(style: Style, text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!("{style}{text}{style:#}")
    }
}
