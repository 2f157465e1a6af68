//! Text as a shell reads it.

/// The text as one word of a shell, so that a command with it can be pasted.
pub(crate) fn word(text: &str) -> String {
    let plain = |char: char| char.is_ascii_alphanumeric() || "-_./:@%+,".contains(char);
    if !text.is_empty() && !text.starts_with('-') && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_shell_would_read_otherwise_is_quoted() {
        assert_eq!(word("eu-west/1.2"), "eu-west/1.2");
        assert_eq!(word("go ahead"), "'go ahead'");
        assert_eq!(word("don't; rm"), r"'don'\''t; rm'");
        assert_eq!(word("-x"), "'-x'");
        assert_eq!(word(""), "''");
    }
}
