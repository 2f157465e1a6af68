//! Money, counts and shares in few characters.

/// Billionths of a dollar, to the cent from a dollar on and to the hundredth of a cent below, rounded half to even.
pub(crate) fn dollars(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let nanos = nanos.unsigned_abs();
    if nanos == 0 {
        return "$0".to_owned();
    }
    // The last digit that is shown, in billionths; a cost that would look like none keeps its digits.
    let (unit, digits) = match nanos {
        995_000_000.. => (10_000_000, 2),
        50_001.. => (100_000, 4),
        _ => (1, 9),
    };
    let rounded = half_to_even(nanos, unit);
    let whole = 10_u64.pow(digits);
    let width = digits as usize;
    format!("{sign}${}.{:0width$}", rounded / whole, rounded % whole)
}

fn half_to_even(value: u64, unit: u64) -> u64 {
    let (whole, rest) = (value / unit, value % unit);
    let up = rest * 2 > unit || (rest * 2 == unit && whole % 2 == 1);
    whole + u64::from(up)
}

/// A count in at most six characters: as it is below ten thousand, then in thousands, millions and so on, rounded down.
pub(crate) fn compact(count: i64) -> String {
    let sign = if count < 0 { "-" } else { "" };
    let count = count.unsigned_abs();
    let units = [
        (1_000_000_000_000, "T"),
        (1_000_000_000, "G"),
        (1_000_000, "M"),
        (10_000, "k"),
    ];
    let Some((from, name)) = units.into_iter().find(|(from, _)| count >= *from) else {
        return format!("{sign}{count}");
    };
    let unit = if name == "k" { 1_000 } else { from };
    let tenths = u128::from(count) * 10 / u128::from(unit);
    format!("{sign}{}.{}{name}", tenths / 10, tenths % 10)
}

/// A part of 0 to 1 as a percentage with one digit.
pub(crate) fn percent(part: f64) -> String {
    format!("{:.1}%", part * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_rounded_to_what_matters() {
        let texts = [
            0,
            1,
            43_400_000,
            50_001,
            994_999_999,
            995_000_000,
            1_235_000_000,
            -2_345_000_000,
        ]
        .map(dollars);
        assert_eq!(
            texts,
            [
                "$0",
                "$0.000000001",
                "$0.0434",
                "$0.0001",
                "$0.9950",
                "$1.00",
                "$1.24",
                "-$2.34"
            ]
        );
        assert_eq!(dollars(i64::MIN), "-$9223372036.85");
    }

    #[test]
    fn counts_stay_short() {
        let texts = [
            0,
            9_999,
            10_000,
            128_955,
            999_999,
            1_000_000,
            130_213_000,
            12_000_000_000,
        ]
        .map(compact);
        assert_eq!(
            texts,
            [
                "0", "9999", "10.0k", "128.9k", "999.9k", "1.0M", "130.2M", "12.0G"
            ]
        );
        assert_eq!(compact(i64::MIN), "-9223372.0T");
        assert_eq!(percent(0.055), "5.5%");
    }
}
