//! Amounts of money as programs write them.

use serde_json::Value;

use crate::domain::observation::usage::NanoDollars;

/// Digits after the point of a nano-dollar.
const DECIMALS: usize = 9;

/// Dollars as nano-dollars, rounded half to even. A binary fraction counts as the shortest decimal that stands for it, which is what the
/// program meant: 0.1 is a tenth. `None` for what is no amount, is negative, or is larger than any real one.
pub(super) fn nano_dollars(dollars: &Value) -> Option<NanoDollars> {
    match dollars {
        Value::Number(number) => from_text(&number.to_string()),
        Value::String(text) => from_text(text.trim()),
        _ => None,
    }
}

/// `count` parts of which `per_dollar` are a dollar: 1,000,000 for micro-dollars.
pub(super) fn from_parts(count: u64, per_dollar: u64) -> Option<NanoDollars> {
    let nanos = u128::from(count) * 1_000_000_000 / u128::from(per_dollar.max(1));
    i64::try_from(nanos).ok().map(NanoDollars)
}

fn from_text(text: &str) -> Option<NanoDollars> {
    if let Some(nanos) = from_decimal(text) {
        return Some(nanos);
    }
    // Such as 1e-05. Printed, it is a plain decimal again.
    let number: f64 = text.parse().ok()?;
    number
        .is_finite()
        .then(|| from_decimal(&number.to_string()))?
}

fn from_decimal(text: &str) -> Option<NanoDollars> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_number(whole) || !is_number(decimals) {
        return None;
    }
    let (kept, rest) = decimals.split_at(decimals.len().min(DECIMALS));
    let nanos: i64 = format!("{whole}{kept:0<DECIMALS$}").parse().ok()?;
    let rest = rest.trim_end_matches('0');
    let rounds_up = match rest.as_bytes() {
        [] | [b'0'..=b'4', ..] => false,
        [b'5'] => nanos % 2 == 1,
        _ => true,
    };
    nanos.checked_add(i64::from(rounds_up)).map(NanoDollars)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_decimal_is_what_it_says() {
        let cases = [
            (json!(0.1), Some(100_000_000)),
            (json!(0.043_400_25), Some(43_400_250)),
            (json!(1e-5), Some(10_000)),
            (json!(3), Some(3_000_000_000)),
            (json!("0.0434"), Some(43_400_000)),
            (json!(" 1e-05 "), Some(10_000)),
            (json!("0.0000000005"), Some(0)),
            (json!("0.0000000015"), Some(2)),
            (json!("0.0000000025"), Some(2)),
            (json!("0.00000000250"), Some(2)),
            (json!("0.00000000250001"), Some(3)),
            (json!("0.00000000149"), Some(1)),
            (json!(-1), None),
            (json!("-0.1"), None),
            (json!("nan"), None),
            (json!("inf"), None),
            (json!(""), None),
            (json!("."), None),
            (json!(1e30), None),
            (json!(null), None),
            (json!([1]), None),
        ];
        for (dollars, nanos) in cases {
            assert_eq!(nano_dollars(&dollars), nanos.map(NanoDollars), "{dollars}");
        }
        assert_eq!(from_parts(43_400, 1_000_000), Some(NanoDollars(43_400_000)));
        assert_eq!(from_parts(u64::MAX, 1), None);
    }
}
