//! Text that agents wrote, made safe for a terminal, and fitted to its width.
//!
//! Whoever may write a notification may put escape sequences into it: to move the cursor, to change the window's title, or to show another
//! question than the one that is answered. Nothing from a notification reaches a terminal but through this module.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Marks text that was cut.
const ELLIPSIS: char = '…';

/// Makes one line: line breaks and tabs become a space, every other control character its visible escape.
pub(crate) fn line(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for char in text.replace("\r\n", "\n").chars() {
        match char {
            '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}' => safe.push(' '),
            char => push_safe(&mut safe, char),
        }
    }
    safe
}

/// Keeps line breaks; tabs become four spaces, every other control character its visible escape.
pub(crate) fn block(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for char in text.replace("\r\n", "\n").chars() {
        match char {
            '\n' => safe.push('\n'),
            '\t' => safe.push_str("    "),
            char => push_safe(&mut safe, char),
        }
    }
    safe
}

/// Keeps the fields of a line apart for programs: backslash, tab and line breaks become `\\`, `\t`, `\n` and `\r`.
pub(crate) fn field(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('\t', "\\t")
        .replace('\n', "\\n")
        .replace('\r', "\\r")
}

fn push_safe(safe: &mut String, char: char) {
    if char.is_control() || reorders(char) {
        safe.extend(char.escape_unicode());
    } else {
        safe.push(char);
    }
}

/// Whether the character changes the direction of what follows, so that a reader sees another order than is stored.
fn reorders(char: char) -> bool {
    matches!(char, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// How many columns `text` takes on a terminal.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// Cuts `text` to at most `columns`, with an ellipsis where something is missing.
pub(crate) fn fit(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    // Characters that join, as in an emoji of several, take other widths together than each alone.
    let fits = |end: usize| width(&text[..end]) < columns;
    let ends = text.char_indices().map(|(at, char)| at + char.len_utf8());
    let end = ends.take_while(|end| fits(*end)).last().unwrap_or(0);
    let mut kept = text[..end].to_owned();
    if columns > 0 {
        kept.push(ELLIPSIS);
    }
    kept
}

/// Cuts or pads `text` to exactly `columns`.
pub(crate) fn column(text: &str, columns: usize) -> String {
    let mut cell = fit(text, columns);
    cell.extend(std::iter::repeat_n(
        ' ',
        columns.saturating_sub(width(&cell)),
    ));
    cell
}

/// Breaks `text` into lines of at most `columns`, at spaces where there are any. Its own line breaks and indentation stay.
pub(crate) fn wrap(text: &str, columns: usize) -> Vec<String> {
    text.lines()
        .flat_map(|line| wrap_line(line, columns.max(1)))
        .collect()
}

fn wrap_line(line: &str, columns: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut current = String::new();
    let mut used = 0;
    // Where the current line may be broken: just after its last space.
    let mut break_at = None;
    for char in line.chars() {
        let advance = char.width().unwrap_or(0);
        if used + advance > columns && !current.is_empty() {
            let rest = break_at
                .take()
                .map_or_else(String::new, |at| current.split_off(at));
            lines.push(current.trim_end().to_owned());
            current = rest;
            used = width(&current);
            if char == ' ' && current.is_empty() {
                continue;
            }
        }
        current.push(char);
        used += advance;
        if char == ' ' {
            break_at = Some(current.len());
        }
    }
    lines.push(current.trim_end().to_owned());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_become_visible() {
        assert_eq!(
            line("\x1b[2J\x1b]0;owned\x07 ok"),
            r"\u{1b}[2J\u{1b}]0;owned\u{7} ok"
        );
        assert_eq!(line("c1 \u{9b}31m"), r"c1 \u{9b}31m");
        assert_eq!(line("nul \0"), r"nul \u{0}");
        assert_eq!(block("\x1b[1A"), r"\u{1b}[1A");
    }

    #[test]
    fn characters_that_reverse_the_reading_order_become_visible() {
        assert_eq!(line("approve \u{202e}yned"), r"approve \u{202e}yned");
    }

    #[test]
    fn a_line_stays_one_line_and_a_block_keeps_its_lines() {
        assert_eq!(line("a\r\nb\tc\rd"), "a b c d");
        assert_eq!(block("a\r\nb\tc\rd"), "a\nb    c\\u{d}d");
    }

    #[test]
    fn a_field_can_be_read_back() {
        assert_eq!(field("a\tb\\n\nc"), "a\\tb\\\\n\\nc");
    }

    #[test]
    fn text_is_cut_by_columns_not_characters() {
        assert_eq!(fit("short", 5), "short");
        assert_eq!(fit("longer", 5), "long…");
        assert_eq!(fit("日本語です", 6), "日本…");
        assert_eq!(fit("anything", 0), "");
        assert_eq!(column("日本", 6), "日本  ");
        assert_eq!(column("longer", 3), "lo…");
    }

    #[test]
    fn lines_break_at_spaces() {
        assert_eq!(wrap("the quick brown fox", 10), ["the quick", "brown fox"]);
        assert_eq!(wrap("a\n\n  b", 10), ["a", "", "  b"]);
        assert_eq!(wrap("unbreakable", 4), ["unbr", "eaka", "ble"]);
        assert_eq!(wrap("日本語です", 4), ["日本", "語で", "す"]);
    }

    #[test]
    fn no_width_loses_text() {
        let words = "one two  three fourfivesix 日本 seven";
        for columns in 0..40 {
            let joined: String = wrap(words, columns).concat();
            let strip = |text: &str| text.replace(' ', "");
            assert_eq!(strip(&joined), strip(words), "at {columns} columns");
        }
    }
}
