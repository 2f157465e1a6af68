//! The environment variables that begin with `BARISTA_`: a mistyped one must not pass for one that was never set.

/// How every variable of Barista begins.
pub const PREFIX: &str = "BARISTA_";

/// The variables that are no configuration keys of the daemon, yet may be in its environment, because a client started it: those that clients read,
/// those that `barista watch --exec` sets for its command, and those of the project's own tests.
pub const CLIENT_VARIABLES: &[&str] = &[
    super::DATA_DIR_VARIABLE,
    "BARISTA_AGENT",
    "BARISTA_SESSION",
    "BARISTA_SESSION_KEY",
    "BARISTA_SOCKET",
    "BARISTA_PROJECT",
    "BARISTA_USER",
    "BARISTA_COMPLETE",
    "BARISTA_SEQUENCE",
    "BARISTA_ATTEMPT",
    "BARISTA_CONSUMER",
    "BARISTA_KIND",
    "BARISTA_ID",
    "BARISTA_TYPE",
    "BARISTA_PRIORITY",
    "BARISTA_STATE",
    "BARISTA_TITLE",
    "BARISTA_MESSAGE",
    "BARISTA_RESPONSE",
    "BARISTA_RESPONDER",
    "BARISTA_BIN_DIR",
    "BARISTA_BUF",
    "BARISTA_LONG",
];

/// How whole families of variables begin that the daemon does not read: the Slack bridge's, and those of tests.
pub const CLIENT_PREFIXES: &[&str] = &["BARISTA_SLACK_", "BARISTA_TEST_", "BARISTA_CLIENT_TEST_"];

/// Whether a client, and not the daemon, gives the variable `name` its meaning.
#[must_use]
pub fn is_of_clients(name: &str) -> bool {
    CLIENT_VARIABLES.contains(&name)
        || CLIENT_PREFIXES
            .iter()
            .any(|prefix| name.starts_with(prefix))
}

/// The one of `known` that `word` was probably meant to be; `None` where nothing is close enough.
#[must_use]
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A third of the letters may be wrong: more, and the suggestion would be a guess.
    let limit = (word.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_leads_to_what_was_meant() {
        assert_eq!(nearest("DATADIR", ["DATA_DIR", "AGENT"]), Some("DATA_DIR"));
        assert_eq!(nearest("AGNET", ["DATA_DIR", "AGENT"]), Some("AGENT"));
        assert_eq!(nearest("COFFEE", ["DATA_DIR", "AGENT"]), None);
        assert_eq!(nearest("loud", ["info", "debug"]), None);
        assert_eq!(nearest("kep", ["keep", "level"]), Some("keep"));
    }

    #[test]
    fn the_variables_of_clients_are_told_from_the_daemon_s() {
        assert!(is_of_clients("BARISTA_AGENT") && is_of_clients("BARISTA_SLACK_TOKEN"));
        assert!(!is_of_clients("BARISTA_LOG_LEVEL") && !is_of_clients("BARISTA_DATADIR"));
    }
}
