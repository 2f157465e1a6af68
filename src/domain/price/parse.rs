//! Reads a table of prices from text; `generate.py` explains the format.

use jiff::civil::{Date, Time};

use super::expression::Expression;
use super::rate::Rates;
use super::table::{Model, Period, Provider, Table, Variant, When};

/// Why a text is no table of prices.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the table of prices is not well-formed")]
pub struct ParseError {
    /// The line, from 1.
    pub line: usize,
}

impl Table {
    /// Reads a table of prices.
    ///
    /// # Errors
    ///
    /// [`ParseError`] for the first line that is not well-formed.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let mut table = Self::default();
        for (index, line) in text.lines().enumerate() {
            if !line.is_empty() && !line.starts_with('#') {
                let error = ParseError { line: index + 1 };
                table.add(line).ok_or(error)?;
            }
        }
        Ok(table)
    }

    /// Adds a record to what came before it; `None` where it is not well-formed, or does not belong there.
    fn add(&mut self, line: &str) -> Option<()> {
        let mut fields = line.split('\t');
        let kind = fields.next()?;
        if kind == "T" {
            self.version = fields.next()?.into();
            return fields.next().is_none().then_some(());
        }
        if kind == "P" {
            self.providers.push(provider(fields)?);
            return Some(());
        }
        let provider = self.providers.last_mut()?;
        match kind {
            "m" => provider.by_model = Some(Expression::parse(fields)?),
            "p" => provider.by_name = Some(Expression::parse(fields)?),
            "M" => provider.models.push(model(fields)?),
            "R" => provider.models.last_mut()?.periods.push(period(fields)?),
            "V" => {
                let (property, value) = fields.next()?.split_once('=')?;
                let variant = Variant {
                    property: property.into(),
                    value: value.into(),
                    period: period(fields)?,
                };
                provider.models.last_mut()?.variants.push(variant);
            }
            _ => return None,
        }
        Some(())
    }
}

fn provider<'a>(mut fields: impl Iterator<Item = &'a str>) -> Option<Provider> {
    let id = fields.next()?.into();
    let fallbacks = fields.next().unwrap_or_default().split(',');
    let named = fallbacks.filter(|fallback| !fallback.is_empty());
    Some(Provider {
        id,
        fallbacks: named.map(Into::into).collect(),
        by_model: None,
        by_name: None,
        models: Vec::new(),
    })
}

fn model<'a>(fields: impl Iterator<Item = &'a str>) -> Option<Model> {
    let mut fields = fields.peekable();
    let id = fields.next()?;
    let known_as = match fields.peek() {
        Some(_) => Expression::parse(fields)?,
        None => Expression::Equals(id.to_lowercase().into()),
    };
    Some(Model {
        id: id.into(),
        known_as,
        periods: Vec::new(),
        variants: Vec::new(),
    })
}

/// Reads when a price applies, and the rates, which are left out where there are none.
fn period<'a>(mut fields: impl Iterator<Item = &'a str>) -> Option<Period> {
    let when = when(fields.next().unwrap_or_default())?;
    let rates = Rates::parse(fields.next().unwrap_or_default())?;
    fields.next().is_none().then_some(Period { when, rates })
}

fn when(text: &str) -> Option<When> {
    if text.is_empty() {
        return Some(When::Always);
    }
    if let Ok(date) = text.parse::<Date>() {
        return Some(When::From(date));
    }
    let (start, end) = text.split_once('-')?;
    let seconds = |text: &str| {
        // Without its colons a time could be mistaken for a year.
        let time: Time = text.contains(':').then(|| text.parse().ok())??;
        Some(time.duration_since(Time::midnight()).as_secs())
    };
    Some(When::Daily {
        start: seconds(start)?,
        end: seconds(end)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_at_fault_is_named() {
        let bad = [
            ("T\ta\nX", 2),
            ("T\ta\tb", 1),
            ("M\ta", 1),
            ("P\ta\nR\t\ti1", 2),
            ("P\ta\n\n# b\nM\tc\t?", 4),
            ("P\ta\nM\tb\nR\t2026-13-01\ti1", 3),
            ("P\ta\nM\tb\nR\t25:00:00-01:00:00\ti1", 3),
            ("P\ta\nM\tb\nR\t\ti1\tx", 3),
            ("P\ta\nM\tb\nV\tbatch\t\ti1", 3),
        ];
        for (text, line) in bad {
            assert_eq!(Table::parse(text), Err(ParseError { line }), "{text}");
        }
    }
}
