//! Spans of time as people type and read them.

use std::time::Duration;

const SECOND: u64 = 1;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const WEEK: u64 = 7 * DAY;

/// Parses `90`, `90s`, `500ms`, `10m`, `1h30m`, `2d` or `1w`; a number without a unit is in seconds.
///
/// # Errors
///
/// A sentence for the person who typed it.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    if text.starts_with('-') {
        return Err(format!(
            "{text:?} is in the past; give a span from now on, such as 10m"
        ));
    }
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(Duration::from_secs(seconds));
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let (part, after) = part(rest).ok_or_else(|| usage(text))?;
        total = total
            .checked_add(part)
            .ok_or_else(|| format!("{text:?} is too long"))?;
        rest = after;
    }
    if text.is_empty() {
        Err(usage(text))
    } else {
        Ok(total)
    }
}

/// Takes one number with its unit from the front.
fn part(text: &str) -> Option<(Duration, &str)> {
    let digits = text
        .find(|char: char| !char.is_ascii_digit())
        .filter(|at| *at > 0)?;
    let (number, rest) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let unit_end = rest
        .find(|char: char| !char.is_ascii_alphabetic())
        .unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(unit_end);
    let seconds = match unit {
        "ms" => return Some((Duration::from_millis(number), rest)),
        "s" => SECOND,
        "m" | "min" => MINUTE,
        "h" => HOUR,
        "d" => DAY,
        "w" => WEEK,
        _ => return None,
    };
    Some((Duration::from_secs(number.checked_mul(seconds)?), rest))
}

fn usage(text: &str) -> String {
    format!("{text:?} is not a span of time; write it as 30s, 10m, 1h30m or 2d")
}

/// The span in its largest unit, in at most four columns up to a thousand weeks: `now`, `45s`, `3m`, `2h`, `5d`, `12w`.
pub(crate) fn short(seconds: u64) -> String {
    match seconds {
        0 => "now".to_owned(),
        1..MINUTE => format!("{seconds}s"),
        MINUTE..HOUR => format!("{}m", seconds / MINUTE),
        HOUR..DAY => format!("{}h", seconds / HOUR),
        DAY..WEEK => format!("{}d", seconds / DAY),
        _ => format!("{}w", seconds / WEEK),
    }
}

/// The span in its two largest units, as in `1h 30m`; below ten seconds with tenths, below one in milliseconds.
pub(crate) fn long(span: Duration) -> String {
    let seconds = span.as_secs();
    match span.as_millis() {
        0 => return "0s".to_owned(),
        millis @ 1..1_000 => return format!("{millis}ms"),
        1_000..10_000 => return format!("{:.1}s", span.as_secs_f64()),
        _ => {}
    }
    let units = [(DAY, "d"), (HOUR, "h"), (MINUTE, "m"), (SECOND, "s")];
    let mut left = seconds;
    let mut parts = Vec::new();
    for (unit, name) in units {
        if left >= unit && parts.len() < 2 {
            parts.push(format!("{}{name}", left / unit));
            left %= unit;
        } else if !parts.is_empty() {
            break;
        }
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_with_their_units() {
        let seconds = |text: &str| parse(text).map(|span| span.as_secs());
        assert_eq!(seconds("90"), Ok(90));
        assert_eq!(seconds("90s"), Ok(90));
        assert_eq!(seconds("10m"), Ok(600));
        assert_eq!(seconds("1h30m"), Ok(5_400));
        assert_eq!(seconds("2d"), Ok(172_800));
        assert_eq!(seconds("1w"), Ok(604_800));
        assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(seconds("0"), Ok(0));
    }

    #[test]
    fn nonsense_is_refused_with_an_example() {
        for text in [
            "",
            "m",
            "1x",
            "h1",
            "-5m",
            "1.5h",
            "10m!",
            "99999999999999999999s",
            "5 m",
        ] {
            let error = parse(text).expect_err(text);
            assert!(
                error.contains("10m") || error.contains("too long"),
                "{error}"
            );
        }
        assert!(parse("18446744073709551615w").is_err());
    }

    #[test]
    fn ages_stay_short() {
        let ages = [
            0,
            1,
            59,
            60,
            3_599,
            3_600,
            86_399,
            86_400,
            604_799,
            604_800,
            52 * 604_800,
        ];
        let texts: Vec<String> = ages.into_iter().map(short).collect();
        assert_eq!(
            texts,
            [
                "now", "1s", "59s", "1m", "59m", "1h", "23h", "1d", "6d", "1w", "52w"
            ]
        );
    }

    #[test]
    fn long_spans_have_two_units() {
        let texts = [0, 125, 3_600, 5_430, 90_000, 86_401].map(|s| long(Duration::from_secs(s)));
        assert_eq!(texts, ["0s", "2m 5s", "1h", "1h 30m", "1d 1h", "1d"]);
        let texts = [4, 1_250, 9_000].map(|ms| long(Duration::from_millis(ms)));
        assert_eq!(texts, ["4ms", "1.2s", "9.0s"]);
    }
}
