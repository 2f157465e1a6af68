//! What a command reads besides its arguments.

use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::span;

/// More than any field takes; the daemon says the exact limit.
const MAX_BYTES: u64 = 4 << 20;

/// The argument itself, or for `-` all of stdin without its last line break.
pub(crate) fn text(argument: String) -> Result<String> {
    if argument != "-" {
        return Ok(argument);
    }
    let mut text = read(io::stdin().lock(), "stdin")?;
    if text.ends_with('\n') {
        text.truncate(text.trim_end_matches('\n').len().max(text.len() - 1));
    }
    Ok(text)
}

/// The content of a file, or of stdin for `-`.
pub(crate) fn file(path: &Path) -> Result<String> {
    if path.as_os_str() == "-" {
        return read(io::stdin().lock(), "stdin");
    }
    let name = path.display().to_string();
    let file = std::fs::File::open(path).map_err(|error| {
        let failure = Failure::io(format!("cannot read {name}"), &error);
        // The file was named on the command line, so what is not found is not what the command is about.
        if error.kind() == io::ErrorKind::NotFound {
            let next = "name a file that is there, or - for what comes from a pipe".to_owned();
            return failure.with(Exit::Usage).next(next);
        }
        failure
    })?;
    if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        let what = format!("cannot read {name}");
        return Err(Failure::usage(what, "it is a directory").next("name a file in it".to_owned()));
    }
    read(file, &name)
}

fn read(source: impl Read, name: &str) -> Result<String> {
    let mut bytes = Vec::new();
    source
        .take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::io(format!("cannot read {name}"), &error))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Failure::usage(
            format!("cannot use {name}"),
            "it is larger than 4 MiB",
        ));
    }
    String::from_utf8(bytes)
        .map_err(|_invalid| Failure::usage(format!("cannot use {name}"), "it is not UTF-8 text"))
}

/// A notification's id, with or without the `#` under which it is shown.
pub(crate) fn id(typed: &str) -> Result<i64, String> {
    match typed.strip_prefix('#').unwrap_or(typed).parse() {
        Ok(id) if id > 0 => Ok(id),
        _ => Err(format!(
            "{typed:?} is not the id of a notification, such as 12"
        )),
    }
}

/// A span of time for the wire.
pub(crate) fn duration(span: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(span.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(span.subsec_nanos()).unwrap_or(0),
    }
}

/// A time limit from the command line.
pub(crate) fn limit(typed: &str) -> Result<Duration, String> {
    span::parse(typed)
}

/// What to say when a prompt is needed and there is nobody to ask.
pub(crate) fn nobody_to_ask(what: &str, next: &str) -> Failure {
    Failure::new(
        Exit::Usage,
        what,
        "stdin and stderr are not both terminals, so nobody can be asked",
    )
    .next(next.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_may_carry_the_sign_they_are_shown_with() {
        assert_eq!(id("12"), Ok(12));
        assert_eq!(id("#12"), Ok(12));
        for wrong in ["", "#", "0", "-1", "twelve", "99999999999999999999"] {
            assert!(id(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_no_text_or_too_much_is_refused() {
        assert!(read(&b"\xff\xfe"[..], "x").is_err());
        assert!(read(io::repeat(b'x').take(MAX_BYTES + 1), "x").is_err());
        assert_eq!(read(&b"ok"[..], "x").ok().as_deref(), Some("ok"));
    }

    #[test]
    fn spans_reach_the_wire_whole() {
        let span = duration(Duration::from_millis(1_500));
        assert_eq!((span.seconds, span.nanos), (1, 500_000_000));
    }
}
