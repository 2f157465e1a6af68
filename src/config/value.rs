//! How the values of the configuration are read: each function takes what TOML has and says, when it refuses, what would be valid.

use std::fmt;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use jiff::SignedDuration;
use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};

/// A whole number from `LOW` to `HIGH`.
pub(super) fn number<'de, D, T, const LOW: u64, const HIGH: u64>(input: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64>,
{
    struct Number<T, const LOW: u64, const HIGH: u64>(PhantomData<T>);

    impl<T: TryFrom<u64>, const LOW: u64, const HIGH: u64> Visitor<'_> for Number<T, LOW, HIGH> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a whole number from {LOW} to {HIGH}")
        }

        fn visit_i64<E: Error>(self, value: i64) -> Result<T, E> {
            u64::try_from(value)
                .ok()
                .filter(|value| (LOW..=HIGH).contains(value))
                .and_then(|value| T::try_from(value).ok())
                .ok_or_else(|| E::invalid_value(Unexpected::Signed(value), &self))
        }
    }

    input.deserialize_i64(Number::<T, LOW, HIGH>(PhantomData))
}

/// A size from `LOW` to `HIGH` bytes: a number of bytes, or text such as `"4 MiB"`.
pub(super) fn bytes<'de, D, T, const LOW: u64, const HIGH: u64>(input: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64>,
{
    struct Bytes<T, const LOW: u64, const HIGH: u64>(PhantomData<T>);

    impl<T: TryFrom<u64>, const LOW: u64, const HIGH: u64> Bytes<T, LOW, HIGH> {
        fn within(value: u64) -> Option<T> {
            (LOW..=HIGH)
                .contains(&value)
                .then(|| T::try_from(value).ok())
                .flatten()
        }
    }

    impl<T: TryFrom<u64>, const LOW: u64, const HIGH: u64> Visitor<'_> for Bytes<T, LOW, HIGH> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let (low, high) = (Size(LOW), Size(HIGH));
            write!(
                f,
                "a size in bytes or such as \"64 MiB\", from {low} to {high}"
            )
        }

        fn visit_i64<E: Error>(self, value: i64) -> Result<T, E> {
            u64::try_from(value)
                .ok()
                .and_then(Self::within)
                .ok_or_else(|| E::invalid_value(Unexpected::Signed(value), &self))
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
            parse_size(text)
                .and_then(Self::within)
                .ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
        }
    }

    input.deserialize_any(Bytes::<T, LOW, HIGH>(PhantomData))
}

const UNITS: [(&str, u64); 5] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

/// Reads `4 MiB`, `4MiB`, `512 B`. Decimal units (MB) are refused: half of their users mean the binary ones.
fn parse_size(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// Prints a number of bytes with the largest unit that divides it.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, factor) = UNITS
            .iter()
            .find(|(_, factor)| self.0 >= *factor && self.0.is_multiple_of(*factor))
            .unwrap_or(&("B", 1));
        write!(f, "{} {unit}", self.0 / factor)
    }
}

/// A span of time from `LOW_MS` to `HIGH_MS` milliseconds: text such as `"30s"`, `"250ms"` or `"1m 30s"`.
///
/// A bare number is refused: its unit would be a guess.
pub(super) fn duration<'de, D, const LOW_MS: u64, const HIGH_MS: u64>(
    input: D,
) -> Result<Duration, D::Error>
where
    D: Deserializer<'de>,
{
    struct Span<const LOW_MS: u64, const HIGH_MS: u64>;

    impl<const LOW_MS: u64, const HIGH_MS: u64> Visitor<'_> for Span<LOW_MS, HIGH_MS> {
        type Value = Duration;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let (low, high) = (Friendly(LOW_MS), Friendly(HIGH_MS));
            write!(
                f,
                "a duration such as \"30s\" or \"250ms\", from {low} to {high}"
            )
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Duration, E> {
            text.parse::<SignedDuration>()
                .ok()
                .and_then(|span| Duration::try_from(span).ok())
                .filter(|span| *span >= Duration::from_millis(LOW_MS))
                .filter(|span| *span <= Duration::from_millis(HIGH_MS))
                .ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
        }
    }

    input.deserialize_str(Span::<LOW_MS, HIGH_MS>)
}

/// Prints milliseconds the way [`duration`] reads them.
struct Friendly(u64);

impl fmt::Display for Friendly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match SignedDuration::try_from(Duration::from_millis(self.0)) {
            Ok(span) => write!(f, "{span:#}"),
            Err(_) => write!(f, "{}ms", self.0),
        }
    }
}

/// A path; an empty text means that there is none.
pub(super) fn optional_path<'de, D>(input: D) -> Result<Option<PathBuf>, D::Error>
where
    D: Deserializer<'de>,
{
    let text = String::deserialize(input)?;
    if text.contains('\0') {
        return Err(Error::invalid_value(
            Unexpected::Str(&text),
            &"a path without a NUL character",
        ));
    }
    Ok((!text.is_empty()).then(|| PathBuf::from(text)))
}

/// An address of the loopback interface with a port; an empty text means that there is none.
pub(super) fn loopback<'de, D>(input: D) -> Result<Option<SocketAddr>, D::Error>
where
    D: Deserializer<'de>,
{
    let text = String::deserialize(input)?;
    if text.is_empty() {
        return Ok(None);
    }
    let address: Option<SocketAddr> = text.parse().ok();
    address
        .filter(|address| address.ip().is_loopback())
        .map(Some)
        .ok_or_else(|| {
            Error::invalid_value(
                Unexpected::Str(&text),
                &"an address of the loopback interface with a port, such as \"127.0.0.1:9464\"",
            )
        })
}

/// The path of a log file; an empty text means that there is none.
///
/// The names of database files are refused. The log file is opened and closed like any file, and closing one of those would
/// drop the locks that SQLite holds on it for the whole process.
pub(super) fn log_file<'de, D>(input: D) -> Result<Option<PathBuf>, D::Error>
where
    D: Deserializer<'de>,
{
    let path = optional_path(input)?;
    let text = path
        .as_deref()
        .map(|path| path.to_string_lossy())
        .unwrap_or_default();
    if [".db", ".db-wal", ".db-shm", ".db-journal"]
        .iter()
        .any(|end| text.ends_with(end))
    {
        return Err(Error::invalid_value(
            Unexpected::Str(&text),
            &"a file that is not a database, such as \"log/baristad.log\"",
        ));
    }
    Ok(path)
}

/// The words that say how much is logged.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Directives of the log filter.
pub(super) fn log_level<'de, D>(input: D) -> Result<String, D::Error>
where
    D: Deserializer<'de>,
{
    let text = String::deserialize(input)?;
    // A bare word that is no level would name a part of the program: `loud` would log nothing but a part of that name.
    let is_nonsense = |directive: &str| {
        let word = directive.trim().to_ascii_lowercase();
        !word.contains(['=', '[', ':']) && !LEVELS.contains(&word.as_str())
    };
    let valid = tracing_subscriber::EnvFilter::builder()
        .parse(&text)
        .is_ok();
    if valid && !text.trim().is_empty() && !text.split(',').any(is_nonsense) {
        return Ok(text);
    }
    Err(Error::invalid_value(
        Unexpected::Str(&text),
        &"off, error, warn, info, debug or trace, or directives such as \"info,barista::store=debug\"",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_take_binary_units_only() {
        assert_eq!(parse_size("4 MiB"), Some(4 << 20));
        assert_eq!(parse_size("1KiB"), Some(1024));
        assert_eq!(parse_size("12 B"), Some(12));
        for text in [
            "",
            "4",
            "MiB",
            "4 MB",
            "-1 B",
            "4.5 MiB",
            "99999999999999 GiB",
            "4 MiB x",
        ] {
            assert_eq!(parse_size(text), None, "{text:?}");
        }
    }

    #[test]
    fn sizes_and_durations_print_as_they_are_read() {
        assert_eq!(Size(64 << 20).to_string(), "64 MiB");
        assert_eq!(Size(1025).to_string(), "1025 B");
        assert_eq!(Size(0).to_string(), "0 B");
        assert_eq!(Friendly(600_000).to_string(), "10m");
        assert_eq!(Friendly(250).to_string(), "250ms");
    }
}
