//! How long a caller waits.

use std::time::{Duration, Instant};

use http::HeaderMap;
use tonic::Request;

/// The share of the caller's time that is kept for the way back: one part in this many.
const MARGIN_SHARE: u32 = 10;
/// The most that is kept.
const MAX_MARGIN: Duration = Duration::from_millis(20);

/// When a call has to be answered.
///
/// tonic ends a call when its `grpc-timeout` has passed, and then says CANCELLED without a reason. Both limits here come earlier, so
/// that the caller hears from the store what became of a write, or at least gets a typed error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Deadline {
    /// When the store has to answer.
    pub(super) work: Instant,
    /// When the call is answered without it.
    pub(super) answer: Instant,
}

impl Deadline {
    /// The deadline of a call that came at `now`; `None` where the caller waits for as long as it takes.
    pub(super) fn of(headers: &HeaderMap, now: Instant) -> Option<Self> {
        let timeout = parse(headers.get("grpc-timeout")?.to_str().ok()?)?;
        let margin = (timeout / MARGIN_SHARE).min(MAX_MARGIN);
        let answer = now.checked_add(timeout - margin)?;
        Some(Self {
            work: now.checked_add(timeout - margin - margin)?,
            answer,
        })
    }
}

/// When the store has to answer `request`, as the layer around the services found out.
pub(super) fn of_work<T>(request: &Request<T>) -> Option<Instant> {
    let deadline: Option<&Deadline> = request.extensions().get();
    deadline.map(|deadline| deadline.work)
}

/// Parses a `grpc-timeout`: at most eight digits and a unit. Others are ignored, as tonic does.
fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(value * 3_600)),
        "M" => Some(Duration::from_secs(value * 60)),
        "S" => Some(Duration::from_secs(value)),
        "m" => Some(Duration::from_millis(value)),
        "u" => Some(Duration::from_micros(value)),
        "n" => Some(Duration::from_nanos(value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn every_unit_is_understood_and_everything_else_ignored() {
        let known = [
            ("1H", 3_600_000_000_000),
            ("2M", 120_000_000_000),
            ("30S", 30_000_000_000),
            ("00000250m", 250_000_000),
            ("7u", 7_000),
            ("99999999n", 99_999_999),
        ];
        for (text, nanos) in known {
            assert_eq!(parse(text), Some(Duration::from_nanos(nanos)), "{text}");
        }
        for text in [
            "",
            "S",
            "1",
            "1s",
            "-1S",
            "+1S",
            "1.5S",
            " 1S",
            "123456789S",
            "1é",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_store_answers_before_the_call_is_and_both_before_the_caller_gives_up() {
        let now = Instant::now();
        for text in ["10m", "1S", "50S", "99999999H"] {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", HeaderValue::from_static(text));
            let deadline = Deadline::of(&headers, now).expect("a deadline");
            let limit = now + parse(text).expect("a timeout");
            assert!(now < deadline.work, "{text}");
            assert!(deadline.work < deadline.answer, "{text}");
            assert!(deadline.answer < limit, "{text}");
        }
        assert_eq!(Deadline::of(&HeaderMap::new(), now), None);
    }
}
