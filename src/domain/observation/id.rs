//! Names of traces and spans: those of OpenTelemetry, and any text that other tools use instead.

use std::fmt;

use sha2::{Digest, Sha256};

use super::super::error::{Error, Result};

/// The most characters of an id that is not hexadecimal.
pub const MAX_ID: usize = 200;

/// An id of `N` bytes. One that did not come as hexadecimal digits is a digest of its text, which is kept beside it.
///
/// Two ids are the same when their bytes are.
#[derive(Debug, Clone)]
pub struct Id<const N: usize> {
    bytes: [u8; N],
    text: Option<Box<str>>,
}

/// The id of a trace: 16 bytes, 32 hexadecimal digits, or a text.
pub type TraceId = Id<16>;
/// The id of a span within its trace: 8 bytes, 16 hexadecimal digits, or a text.
pub type SpanId = Id<8>;

impl<const N: usize> Id<N> {
    /// The id with these bytes; `None` for zeros alone, which OpenTelemetry uses for "no id".
    #[must_use]
    pub fn from_bytes(bytes: [u8; N]) -> Option<Self> {
        (bytes != [0; N]).then_some(Self { bytes, text: None })
    }

    /// The id that `text` spells: hexadecimal digits of the right number, in either case, or any other line.
    ///
    /// # Errors
    ///
    /// `InvalidField` about `field` where it is empty, all zeros, longer than [`MAX_ID`] characters or more than a line.
    pub fn parse(field: &str, text: &str) -> Result<Self> {
        super::super::notification::draft::line(field, text, 1, MAX_ID)?;
        if let Some(bytes) = hexadecimal(text) {
            return Self::from_bytes(bytes)
                .ok_or_else(|| Error::invalid(field, "must not be zeros alone"));
        }
        Ok(Self::digest(text))
    }

    /// The id that a store has kept; `None` where the bytes are not as many as they should be.
    #[must_use]
    pub fn from_stored(bytes: &[u8], text: Option<String>) -> Option<Self> {
        let bytes = bytes.try_into().ok()?;
        let text = text.map(String::into_boxed_str);
        Some(Self { bytes, text })
    }

    fn digest(text: &str) -> Self {
        let digest = Sha256::digest(text.as_bytes());
        let mut bytes = [0; N];
        bytes.copy_from_slice(&digest[..N]);
        Self {
            bytes,
            text: Some(text.into()),
        }
    }

    /// What tells it from others.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; N] {
        &self.bytes
    }

    /// The text that it came as, where that was not hexadecimal.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }
}

fn hexadecimal<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = u8::try_from(high * 16 + low).ok()?;
    }
    Some(bytes)
}

impl<const N: usize> fmt::Display for Id<N> {
    /// The text that it came as, or its digits in lower case.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(text) = &self.text {
            return f.write_str(text);
        }
        self.bytes
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl<const N: usize> PartialEq for Id<N> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl<const N: usize> Eq for Id<N> {}

impl<const N: usize> std::hash::Hash for Id<N> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.bytes.hash(state);
    }
}

impl<const N: usize> PartialOrd for Id<N> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<const N: usize> Ord for Id<N> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.bytes.cmp(&other.bytes)
    }
}

/// Where a span is, for everybody.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanKey {
    /// Its trace.
    pub trace: TraceId,
    /// Its id there.
    pub span: SpanId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_ids_are_bytes_and_others_keep_their_text() {
        let hex = TraceId::parse("trace_id", "0AF7651916CD43DD8448EB211C80319C").expect("an id");
        assert_eq!(hex.to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(hex.text(), None);
        for text in ["session-1", "0af7", "0af7651916cd43dd8448eb211c80319g"] {
            let id = TraceId::parse("trace_id", text).expect("an id");
            assert_eq!(id.to_string(), text);
            assert_ne!(id, hex);
            assert_eq!(id, TraceId::parse("trace_id", text).expect("the same"));
        }
    }

    #[test]
    fn an_id_says_something() {
        for text in ["", " ", "a\nb", "0000000000000000", &"x".repeat(MAX_ID + 1)] {
            let error = SpanId::parse("span_id", text).expect_err("refused");
            assert!(matches!(error, Error::InvalidField { field, .. } if field == "span_id"));
        }
        assert!(SpanId::from_bytes([0; 8]).is_none());
    }
}
