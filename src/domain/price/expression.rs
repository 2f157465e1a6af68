//! What a name must look like to mean a model or a provider.

/// How deep expressions may be nested. The deepest of the embedded table has four levels.
const MAX_DEPTH: u32 = 16;
/// Stands for any digit in the text of [`Expression::Digits`].
const ANY_DIGIT: u8 = b'#';

/// A condition on a name in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expression {
    Equals(Box<str>),
    Begins(Box<str>),
    Ends(Box<str>),
    Contains(Box<str>),
    /// Equals, where each `#` stands for a digit.
    Digits(Box<str>),
    Not(Box<Self>),
    All(Box<[Self]>),
    Any(Box<[Self]>),
}

impl Expression {
    /// Whether `name`, which is in lower case, meets the condition.
    pub(super) fn matches(&self, name: &str) -> bool {
        match self {
            Self::Equals(text) => name == &**text,
            Self::Begins(text) => name.starts_with(&**text),
            Self::Ends(text) => name.ends_with(&**text),
            Self::Contains(text) => name.contains(&**text),
            Self::Digits(text) => {
                let same = |(mine, its): (u8, u8)| {
                    mine == its || (mine == ANY_DIGIT && its.is_ascii_digit())
                };
                text.len() == name.len() && text.bytes().zip(name.bytes()).all(same)
            }
            Self::Not(inner) => !inner.matches(name),
            Self::All(parts) => parts.iter().all(|part| part.matches(name)),
            Self::Any(parts) => parts.iter().any(|part| part.matches(name)),
        }
    }

    /// Reads an expression in prefix notation, one token in each item; see `generate.py`. `None` for one that is not well-formed, or
    /// goes on after its end.
    pub(super) fn parse<'a>(tokens: impl Iterator<Item = &'a str>) -> Option<Self> {
        let mut tokens = tokens;
        let parsed = Self::take(&mut tokens, MAX_DEPTH)?;
        tokens.next().is_none().then_some(parsed)
    }

    fn take<'a>(tokens: &mut impl Iterator<Item = &'a str>, depth: u32) -> Option<Self> {
        let depth = depth.checked_sub(1)?;
        let token = tokens.next()?;
        let (kind, rest) = token.split_at_checked(1)?;
        let mut parts = || {
            let count: u32 = rest.parse().ok()?;
            (0..count)
                .map(|_| Self::take(tokens, depth))
                .collect::<Option<Box<[Self]>>>()
        };
        Some(match kind {
            "=" => Self::Equals(rest.into()),
            "^" => Self::Begins(rest.into()),
            "$" => Self::Ends(rest.into()),
            "*" => Self::Contains(rest.into()),
            "#" => Self::Digits(rest.into()),
            "&" => Self::All(parts()?),
            "|" => Self::Any(parts()?),
            "!" if rest.is_empty() => Self::Not(Box::new(Self::take(tokens, depth)?)),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<Expression> {
        Expression::parse(text.split(' '))
    }

    #[test]
    fn each_condition_decides_as_it_is_called() {
        let cases = [
            ("=gpt-5", "gpt-5", "gpt-5-mini"),
            ("^gpt-5", "gpt-5-mini", "my-gpt-5"),
            ("$-tts", "a-tts", "a-tts-1"),
            ("*claude", "us.anthropic.claude-2", "gpt"),
            ("#gpt-####", "gpt-2026", "gpt-20x6"),
            ("#gpt-####", "gpt-2026", "gpt-20266"),
            ("! *x", "abc", "axc"),
            ("&2 ^a $c", "abc", "abcd"),
            ("|2 =a =b", "b", "c"),
            ("&2 ^a ! |2 $z =ab", "ac", "ab"),
        ];
        for (text, yes, no) in cases {
            let expression = parse(text).expect(text);
            assert!(expression.matches(yes), "{text} {yes}");
            assert!(!expression.matches(no), "{text} {no}");
        }
    }

    #[test]
    fn what_is_not_well_formed_is_refused() {
        let endless = "! ".repeat(100) + "=a";
        for text in ["", "a", "&2 =a", "=a =b", "|x =a", "!a", "!", "é", &endless] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
