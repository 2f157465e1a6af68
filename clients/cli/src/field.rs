//! The fields of the API, as whoever typed a command knows them.

use barista_client::RpcError;

use crate::text;

/// A field of a request.
struct Field {
    /// Its name in the API; `[]` stands for the place in a list.
    name: &'static str,
    /// What was typed to fill it.
    typed: &'static str,
    /// What to do where it breaks its rule.
    next: &'static str,
}

const fn field(name: &'static str, typed: &'static str, next: &'static str) -> Field {
    Field { name, typed, next }
}

const ONE_LINE: &str = "give a TITLE of one short line, and the rest as --message TEXT";
const IDENTITY: &str = "give a short name of one line, or leave it out";
const OPTIONS: &str =
    "give each --option a short name of its own, as in --option approve:'Ship it' --option deny";
const LABELS: &str = "give a short label after the name, as in --option approve:'Ship it'";
const TAGS: &str = "give short words, as in --tag release, or leave it out";
const EXPIRES: &str = "give a span such as --expires 2h";
const RESPONSE: &str = "answer with text, or with the name of an option";

/// Every field that a command fills with what was typed. What is not here, such as a field of a later daemon, is shown as it is.
const FIELDS: &[Field] = &[
    field("name", "NAME", "give a name such as bell, or eu-west.1"),
    field("title", "TITLE", ONE_LINE),
    field(
        "message",
        "the message",
        "keep the message to what a person reads, and name a file for the rest",
    ),
    field(
        "context",
        "--context",
        r#"give a file that holds an object, such as {"commit": "abc"}"#,
    ),
    field("agent", "--agent (or BARISTA_AGENT)", IDENTITY),
    field("session", "--session (or BARISTA_SESSION)", IDENTITY),
    field("project", "--project (or BARISTA_PROJECT)", IDENTITY),
    field(
        "barista-session-key",
        "BARISTA_SESSION_KEY",
        "set it to the same 32 to 128 random letters and digits each time",
    ),
    field("filter.agent", "--agent", IDENTITY),
    field("filter.session", "--session", IDENTITY),
    field("filter.project", "--project", IDENTITY),
    field("responder", "--as (or BARISTA_USER)", IDENTITY),
    field("actor", "--as (or BARISTA_USER)", IDENTITY),
    field("tags", "--tag", TAGS),
    field("tags[]", "--tag", TAGS),
    field("options", "--option", OPTIONS),
    field("options[].name", "--option", OPTIONS),
    field("options[].description", "--option", LABELS),
    field(
        "options[]",
        "--option",
        "give each --option once, and only one where the question takes only one",
    ),
    field(
        "allow_multiple",
        "--multiple",
        "give an --option for each answer to choose from",
    ),
    field("ttl", "--expires", EXPIRES),
    field("expire_time", "--expires", EXPIRES),
    field(
        "default_response",
        "--default",
        "give the name of an --option, or allow any text with --text",
    ),
    field(
        "request_id",
        "--request-id",
        "leave it out, or make one with uuidgen",
    ),
    field("text", "RESPONSE", RESPONSE),
    field("id", "ID", "barista inbox --all"),
    field("after.sequence", "--since", "barista watch --since all"),
    field("timeout", "--timeout", "give a span such as 10m"),
];

/// Places in a list, as people say them.
const ORDINALS: [&str; 10] = [
    "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth",
];

/// Each rule that was broken, after what was typed; `None` where the error names no field.
pub(crate) fn violations(error: &RpcError) -> Option<String> {
    let violations: Vec<String> = error
        .field_violations
        .iter()
        .map(|violation| {
            let rule = text::line(&violation.description);
            format!("{}: {rule}", typed(&violation.field))
        })
        .collect();
    (!violations.is_empty()).then(|| violations.join("; "))
}

/// What to do about the first rule that was broken; `None` where nothing is known about the field.
pub(crate) fn advice(error: &RpcError) -> Option<&'static str> {
    let violation = error.field_violations.first()?;
    Some(find(&violation.field)?.0.next)
}

/// The field as it was typed: `--expires` for `ttl`, `the second --option` for `options[1].name`.
fn typed(name: &str) -> String {
    let Some((field, place)) = find(name) else {
        return text::line(name);
    };
    match place {
        None => field.typed.to_owned(),
        Some(place) => match ORDINALS.get(place) {
            Some(ordinal) => format!("the {ordinal} {}", field.typed),
            None => format!("{} number {}", field.typed, place + 1),
        },
    }
}

/// The row of the table, and the place in the list where the name has one.
fn find(name: &str) -> Option<(&'static Field, Option<usize>)> {
    let (general, place) = match name.split_once('[').zip(name.split_once(']')) {
        Some(((list, _), (before, rest))) => {
            let place = before.get(list.len() + 1..)?.parse().ok()?;
            (format!("{list}[]{rest}"), Some(place))
        }
        None => (name.to_owned(), None),
    };
    let field = FIELDS.iter().find(|field| field.name == general)?;
    Some((field, place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_called_as_they_were_typed() {
        assert_eq!(typed("ttl"), "--expires");
        assert_eq!(typed("default_response"), "--default");
        assert_eq!(typed("text"), "RESPONSE");
        assert_eq!(typed("responder"), "--as (or BARISTA_USER)");
        assert_eq!(typed("options[1].name"), "the second --option");
        assert_eq!(typed("options[0]"), "the first --option");
        assert_eq!(typed("tags[30]"), "--tag number 31");
    }

    #[test]
    fn an_unknown_field_is_shown_as_it_is() {
        for name in ["brand_new", "options[x].name", "options[0].colour", "]["] {
            assert_eq!(typed(name), name);
        }
        assert_eq!(typed("a\x1b"), r"a\u{1b}");
    }

    #[test]
    fn no_field_is_in_the_table_twice() {
        let mut names: Vec<&str> = FIELDS.iter().map(|field| field.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FIELDS.len());
    }
}
