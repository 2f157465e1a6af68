//! Text as a shell reads it.

/// The text as one word of a shell, so that a command with it can be pasted.
pub(crate) fn word(text: &str) -> String {
    let plain = |char: char| char.is_ascii_alphanumeric() || "-_./:@%+,".contains(char);
    if !text.is_empty() && !text.starts_with('-') && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// `text` with `place`, the words that were typed to name a daemon, in each command of this program that begins a line or follows `next: `.
/// Without them a command that is pasted would reach another daemon.
pub(crate) fn placed(text: &str, place: &str) -> String {
    const PROGRAM: &str = "barista ";
    if place.is_empty() {
        return text.to_owned();
    }
    let lines = text.split('\n').map(|line| {
        let command = line.trim_start();
        let command = command.strip_prefix("next: ").unwrap_or(command);
        match command.strip_prefix(PROGRAM) {
            // One that names a place itself means that one.
            Some(rest)
                if !["--data-dir", "--socket"]
                    .iter()
                    .any(|own| rest.contains(own)) =>
            {
                let start = &line[..line.len() - command.len()];
                format!("{start}{PROGRAM}{place} {rest}")
            }
            _ => line.to_owned(),
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_to_paste_names_the_same_daemon() {
        let text = "barista: no daemon\nnext: barista consumer reset b --since oldest\n      barista daemon start";
        let placed_text = "barista: no daemon\nnext: barista --data-dir /d consumer reset b --since oldest\n      barista --data-dir /d daemon start";
        assert_eq!(placed(text, "--data-dir /d"), placed_text);
        assert_eq!(placed(placed_text, "--data-dir /d"), placed_text);
        assert_eq!(placed(text, ""), text);
    }

    #[test]
    fn only_what_a_shell_would_read_otherwise_is_quoted() {
        assert_eq!(word("eu-west/1.2"), "eu-west/1.2");
        assert_eq!(word("go ahead"), "'go ahead'");
        assert_eq!(word("don't; rm"), r"'don'\''t; rm'");
        assert_eq!(word("-x"), "'-x'");
        assert_eq!(word(""), "''");
    }
}
