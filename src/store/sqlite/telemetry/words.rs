//! Names that repeat from row to row, stored once.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension};

/// The most names that the writer remembers: those of a busy machine.
const MOST: usize = 8_192;

/// The numbers of names that the writer has met.
#[derive(Default)]
pub(super) struct Words {
    known: HashMap<String, i64>,
}

impl Words {
    /// The number of `word`, which is stored where it is new; `None` for the empty one.
    pub(super) fn number(
        &mut self,
        connection: &Connection,
        word: &str,
    ) -> rusqlite::Result<Option<i64>> {
        if word.is_empty() {
            return Ok(None);
        }
        if let Some(number) = self.known.get(word) {
            return Ok(Some(*number));
        }
        let number = match find(connection, word)? {
            Some(number) => number,
            None => {
                connection
                    .prepare_cached("INSERT INTO telemetry_words (word) VALUES (?1)")?
                    .execute([word])?;
                connection.last_insert_rowid()
            }
        };
        if self.known.len() >= MOST {
            self.known.clear();
        }
        self.known.insert(word.to_owned(), number);
        Ok(Some(number))
    }
}

/// The number of `word`; `None` where nothing has that name.
pub(super) fn find(connection: &Connection, word: &str) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT id FROM telemetry_words WHERE word = ?1")?
        .query_row([word], |row| row.get(0))
        .optional()
}

/// The names behind numbers, each looked up once.
pub(super) struct Dictionary<'a> {
    connection: &'a Connection,
    known: HashMap<i64, String>,
}

impl<'a> Dictionary<'a> {
    pub(super) fn new(connection: &'a Connection) -> Self {
        Self {
            connection,
            known: HashMap::new(),
        }
    }

    /// The word with this number; empty for none.
    pub(super) fn word(&mut self, number: Option<i64>) -> rusqlite::Result<String> {
        let Some(number) = number.filter(|number| *number != 0) else {
            return Ok(String::new());
        };
        if let Some(word) = self.known.get(&number) {
            return Ok(word.clone());
        }
        let word: Option<String> = self
            .connection
            .prepare_cached("SELECT word FROM telemetry_words WHERE id = ?1")?
            .query_row([number], |row| row.get(0))
            .optional()?;
        let word = word.unwrap_or_default();
        self.known.insert(number, word.clone());
        Ok(word)
    }
}
