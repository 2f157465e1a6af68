//! Tables for people, and the same with comma-separated values for programs.

use crate::style::{self, paint};
use crate::text;

/// How wide the longest bar of a chart is.
const BAR: usize = 24;
/// The widest that a name gets, so that numbers stay in sight.
const MAX_NAME: usize = 40;
/// Parts of a character, the smallest first.
const PARTS: [char; 7] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/// A column: its name for programs, its head for people, and on which side its cells are aligned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    /// In CSV; empty for a column that only people see.
    pub(crate) name: &'static str,
    /// In a table; `None` for a column that only programs see.
    pub(crate) head: Option<&'static str>,
    /// Whether it is a number.
    pub(crate) is_number: bool,
}

impl Column {
    /// A column of text.
    pub(crate) const fn text(name: &'static str, head: &'static str) -> Self {
        Self {
            name,
            head: Some(head),
            is_number: false,
        }
    }

    /// A column that only programs see.
    pub(crate) const fn hidden(name: &'static str) -> Self {
        Self {
            name,
            head: None,
            is_number: true,
        }
    }

    /// A column of numbers.
    pub(crate) const fn number(name: &'static str, head: &'static str) -> Self {
        Self {
            name,
            head: Some(head),
            is_number: true,
        }
    }
}

/// A cell, as people see it and as programs do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Cell {
    /// In a table.
    pub(crate) shown: String,
    /// In CSV; empty where nobody knows.
    pub(crate) raw: String,
}

impl Cell {
    /// A cell that looks otherwise to people than to programs.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "numbers are passed as they are"
    )]
    pub(crate) fn new(shown: impl Into<String>, raw: impl ToString) -> Self {
        Self {
            shown: shown.into(),
            raw: raw.to_string(),
        }
    }

    /// Text that somebody else wrote; `-` for none.
    pub(crate) fn name(name: &str) -> Self {
        let shown = if name.is_empty() {
            "-".to_owned()
        } else {
            text::fit(&text::line(name), MAX_NAME)
        };
        Self::new(shown, name)
    }

    /// A bar of `value` among values up to `most`.
    pub(crate) fn bar(value: i64, most: i64) -> Self {
        Self::new(bar(value, most), "")
    }
}

/// A table.
#[derive(Debug, Clone)]
pub(crate) struct Sheet {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

impl Sheet {
    /// A table with these columns and no rows.
    pub(crate) fn new(columns: Vec<Column>) -> Self {
        Self {
            columns,
            rows: Vec::new(),
        }
    }

    /// Adds a row, which has a cell for each column.
    pub(crate) fn push(&mut self, row: Vec<Cell>) {
        self.rows.push(row);
    }

    /// Whether it has no rows.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table with its heads, every line with a line break; nothing where there are no rows.
    pub(crate) fn table(&self) -> String {
        if self.is_empty() {
            return String::new();
        }
        let seen: Vec<usize> = (0..self.columns.len())
            .filter(|index| self.columns[*index].head.is_some())
            .collect();
        let heads: Vec<&str> = self
            .columns
            .iter()
            .map(|column| column.head.unwrap_or_default())
            .collect();
        let mut table = paint(style::HEADING, &self.line(&seen, &heads));
        table.push('\n');
        for row in &self.rows {
            let cells: Vec<&str> = row.iter().map(|cell| cell.shown.as_str()).collect();
            table.push_str(&self.line(&seen, &cells));
            table.push('\n');
        }
        table
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(column));
        let widest = cells.map(|cell| text::width(&cell.shown)).max();
        widest
            .unwrap_or(0)
            .max(text::width(self.columns[column].head.unwrap_or_default()))
    }

    fn line(&self, seen: &[usize], cells: &[&str]) -> String {
        let cells = seen.iter().map(|index| {
            let (width, cell) = (self.width(*index), cells.get(*index).unwrap_or(&""));
            if self.columns[*index].is_number {
                format!(
                    "{}{cell}",
                    " ".repeat(width.saturating_sub(text::width(cell)))
                )
            } else {
                text::column(cell, width)
            }
        });
        let line: Vec<String> = cells.collect();
        line.join("  ").trim_end().to_owned()
    }

    /// The same as comma-separated values (RFC 4180, but with plain line breaks), with a line of names first.
    pub(crate) fn csv(&self) -> String {
        let seen: Vec<usize> = (0..self.columns.len())
            .filter(|index| !self.columns[*index].name.is_empty())
            .collect();
        let names = seen.iter().map(|index| self.columns[*index].name);
        let mut csv = names.collect::<Vec<_>>().join(",") + "\n";
        for row in &self.rows {
            let cells = seen.iter().filter_map(|index| row.get(*index));
            let cells: Vec<String> = cells.map(|cell| quoted(&cell.raw)).collect();
            csv.push_str(&cells.join(","));
            csv.push('\n');
        }
        csv
    }
}

fn quoted(value: &str) -> String {
    if value.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", value.replace('"', "\"\""))
    } else {
        value.to_owned()
    }
}

/// A bar as long as `value` is beside `most`: anything above nothing is seen.
pub(crate) fn bar(value: i64, most: i64) -> String {
    let (Ok(value), Ok(most)) = (u128::try_from(value), u128::try_from(most)) else {
        return String::new();
    };
    if value == 0 || most == 0 {
        return String::new();
    }
    let eighths = (value.min(most) * BAR as u128 * 8).div_ceil(most);
    let eighths = usize::try_from(eighths).unwrap_or(BAR * 8);
    let mut bar = "█".repeat(eighths / 8);
    bar.extend((eighths % 8).checked_sub(1).map(|part| PARTS[part]));
    bar
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;

    use super::*;

    fn sheet() -> Sheet {
        let mut sheet = Sheet::new(vec![
            Column::text("model", "MODEL"),
            Column::number("cost", "COST"),
            Column::hidden("calls"),
            Column::text("", ""),
        ]);
        for (name, cost) in [("opus, \"4\"\x1b[2J", 80), ("", 1)] {
            sheet.push(vec![
                Cell::name(name),
                Cell::new(format!("${cost}"), cost),
                Cell::new("", 7),
                Cell::bar(cost, 80),
            ]);
        }
        sheet
    }

    #[test]
    fn people_see_a_table_and_programs_values() {
        let expected = "\
MODEL               COST
opus, \"4\"\\u{1b}[2J   $80  ████████████████████████
-                     $1  ▍
";
        assert_eq!(strip_str(&sheet().table()).to_string(), expected);
        let csv = "model,cost,calls\n\"opus, \"\"4\"\"\x1b[2J\",80,7\n,1,7\n";
        assert_eq!(sheet().csv(), csv);
        assert_eq!(Sheet::new(vec![Column::text("a", "A")]).table(), "");
    }

    #[test]
    fn a_bar_is_in_proportion_and_never_lost() {
        assert_eq!(bar(0, 10), "");
        assert_eq!(bar(-1, 10), "");
        assert_eq!(bar(1, 1_000_000), "▏");
        assert_eq!(bar(5, 10), "█".repeat(12));
        assert_eq!(bar(i64::MAX, i64::MAX), "█".repeat(24));
        assert_eq!(bar(20, 10), "█".repeat(24));
    }
}
