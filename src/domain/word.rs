//! Words from a vocabulary, and words that direct tooling wrote instead.

/// A value of the vocabulary `T`, or the word that stands in its place in the database.
///
/// Direct tooling may store any text. It is kept as it is, and never makes a call fail.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Word<T> {
    /// A value of the vocabulary.
    Known(T),
    /// Another word.
    Other(String),
}

impl<T: Copy> Word<T> {
    /// The value, where it is of the vocabulary.
    #[must_use]
    pub fn known(&self) -> Option<T> {
        match self {
            Self::Known(value) => Some(*value),
            Self::Other(_) => None,
        }
    }
}

/// A closed set of words, each with one spelling in the database.
pub trait Vocabulary: Copy + PartialEq + Sized + 'static {
    /// All values, in the order of their rank.
    const ALL: &'static [Self];

    /// The spelling in the database.
    fn as_str(self) -> &'static str;

    /// The value or other word that `text` spells.
    fn parse(text: &str) -> Word<Self> {
        Self::ALL
            .iter()
            .find(|value| value.as_str() == text)
            .map_or_else(|| Word::Other(text.to_owned()), |value| Word::Known(*value))
    }
}

impl<T: Vocabulary> Word<T> {
    /// The spelling in the database.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Known(value) => value.as_str(),
            Self::Other(word) => word,
        }
    }
}
