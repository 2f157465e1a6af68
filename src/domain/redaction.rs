//! What of a report may be stored: no secrets, and of what people and models say no more than is wanted.

use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde_json::{Map, Value};

use super::observation::draft::Draft;

/// What stands in the place of a secret.
const REDACTED: &str = "[redacted]";
/// The most bytes that are kept of a content that is to be shortened.
const TRUNCATED: usize = 2 * 1024;
/// What ends a content that was shortened.
const ELLIPSIS: &str = "…";
/// How deep a JSON value may be nested: as deep as its parser goes.
const DEPTH: usize = 128;

/// How much is kept of what goes into models, and comes out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ContentPolicy {
    /// Nothing.
    #[default]
    Off,
    /// The beginning.
    Truncated,
    /// All.
    Full,
}

/// Text that is a secret whatever it stands in. The named groups `before` and `after` stay.
static SECRETS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let patterns = [
        // Keys of OpenAI, Anthropic and others; GitHub; GitLab; AWS; Slack; Google; Stripe.
        r"\bsk-[A-Za-z0-9_-]{16,}",
        r"\bgh[pousr]_[A-Za-z0-9]{20,}",
        r"\bgithub_pat_[A-Za-z0-9_]{20,}",
        r"\bglpat-[A-Za-z0-9_-]{16,}",
        r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
        r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}",
        r"\bAIza[0-9A-Za-z_-]{30,}",
        r"\b[rs]k_live_[0-9A-Za-z]{16,}",
        // Tokens that say of themselves what they are.
        r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+",
        r"(?P<before>\b(?i:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{16,}",
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?s:.*?)(?:-----END [A-Z ]*PRIVATE KEY-----|\z)",
        // The password in a URL.
        r"(?P<user>\b[A-Za-z][A-Za-z0-9+.-]*://[^\s/:@]*:)[^\s/@]+(?P<after>@)",
    ];
    Regex::new(&patterns.join("|")).ok()
});

/// Names whose values are secrets, whatever these look like.
static SECRET_NAMES: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let name = r"(?i)(?:^|[._\-])(?:authorization|cookie|set-cookie|password|passwd|api[_\-]?key|x-api-key|client[_\-]?secret|secret[_\-]?key|access[_\-]?token|refresh[_\-]?token|private[_\-]?key)$";
    Regex::new(name).ok()
});

/// Attributes that hold what people and models say, by the beginnings of their names.
const CONTENT: [&str; 22] = [
    "ai.prompt",
    "ai.response.text",
    "ai.response.object",
    "ai.response.toolCalls",
    "ai.toolCall.args",
    "ai.toolCall.result",
    "all_messages_events",
    "body",
    "gen_ai.completion",
    "gen_ai.content",
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "gen_ai.prompt",
    "gen_ai.system_instructions",
    "gen_ai.tool.call.arguments",
    "gen_ai.tool.call.result",
    "input.value",
    "langfuse.observation.input",
    "langfuse.observation.output",
    "llm.input_messages",
    "llm.output_messages",
    "output.value",
];
/// The same, where the whole name has to be this one: as the beginning of a name it could be that of a number.
const CONTENT_NAMES: [&str; 14] = [
    "arguments",
    "events",
    "final_result",
    "input",
    "langfuse.trace.input",
    "langfuse.trace.output",
    "output",
    "prompt",
    "prompt_text",
    "request_text",
    "response_text",
    "tool_input",
    "traceloop.entity.input",
    "traceloop.entity.output",
];

/// Takes out of `draft` what may not be stored. What may be recorded at all has to be checked afterwards.
pub fn redact(draft: &mut Draft, policy: ContentPolicy) {
    for label in draft.labels.all_mut() {
        redact_text(label);
    }
    redact_text(&mut draft.status_message);
    redact_attributes(&mut draft.attributes, policy);
    let trace = &mut draft.trace;
    for name in [
        &mut trace.name,
        &mut trace.user,
        &mut trace.session,
        &mut trace.release,
        &mut trace.environment,
    ] {
        redact_text(name);
    }
    trace.tags = std::mem::take(&mut trace.tags)
        .into_iter()
        .map(|mut tag| {
            redact_text(&mut tag);
            tag
        })
        .collect();
    for (key, value) in &mut trace.metadata {
        redact_json(key, value);
    }
    for content in [
        &mut draft.input,
        &mut draft.output,
        &mut trace.input,
        &mut trace.output,
    ] {
        limit(content, policy);
    }
}

fn limit(content: &mut Option<String>, policy: ContentPolicy) {
    if policy == ContentPolicy::Off {
        *content = None;
    }
    if let Some(content) = content {
        // First, as half a secret looks like none.
        redact_text(content);
        if policy == ContentPolicy::Truncated {
            shorten(content);
        }
    }
}

fn shorten(content: &mut String) {
    if content.len() > TRUNCATED {
        content.truncate(content.floor_char_boundary(TRUNCATED));
        content.push_str(ELLIPSIS);
    }
}

fn redact_text(text: &mut String) {
    let Some(secrets) = &*SECRETS else {
        // A pattern that is none would be a defect, which a test finds; nothing may slip through because of it.
        REDACTED.clone_into(text);
        return;
    };
    let keep = |found: &Captures<'_>| {
        let part = |name| found.name(name).map_or("", |part| part.as_str());
        format!(
            "{}{}{REDACTED}{}",
            part("before"),
            part("user"),
            part("after")
        )
    };
    if let std::borrow::Cow::Owned(clean) = secrets.replace_all(text, keep) {
        *text = clean;
    }
}

fn is_secret_name(name: &str) -> bool {
    SECRET_NAMES
        .as_ref()
        .is_none_or(|names| names.is_match(name))
}

fn is_content(name: &str) -> bool {
    CONTENT.iter().any(|start| name.starts_with(start)) || CONTENT_NAMES.contains(&name)
}

/// Cleans a JSON object in text; what is none is left for whoever checks it.
fn redact_attributes(text: &mut String, policy: ContentPolicy) {
    if text.is_empty() {
        return;
    }
    let Ok(mut attributes) = serde_json::from_str::<Map<String, Value>>(text) else {
        return;
    };
    let before = attributes.clone();
    match policy {
        ContentPolicy::Off => attributes.retain(|name, _| !is_content(name)),
        ContentPolicy::Full | ContentPolicy::Truncated => {}
    }
    for (name, value) in &mut attributes {
        redact_value(name, value, DEPTH);
        if policy == ContentPolicy::Truncated
            && is_content(name)
            && let Value::String(content) = value
        {
            shorten(content);
        }
    }
    // As it was written, where nothing had to be changed.
    if attributes != before {
        *text = Value::Object(attributes).to_string();
    }
}

/// Cleans a JSON value in text, or any other text.
fn redact_json(name: &str, text: &mut String) {
    match serde_json::from_str::<Value>(text) {
        Ok(mut value) => {
            let before = value.clone();
            redact_value(name, &mut value, DEPTH);
            if value != before {
                *text = value.to_string();
            }
        }
        Err(_) => redact_text(text),
    }
}

fn redact_value(name: &str, value: &mut Value, depth: usize) {
    match value {
        Value::String(text) if is_secret_name(name) => REDACTED.clone_into(text),
        Value::String(text) => redact_text(text),
        Value::Array(items) if depth > 0 => {
            items
                .iter_mut()
                .for_each(|item| redact_value(name, item, depth - 1));
        }
        Value::Object(fields) if depth > 0 => {
            for (name, value) in fields {
                redact_value(name, value, depth - 1);
            }
        }
        Value::Array(_) | Value::Object(_) => *value = Value::Null,
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::observation::testing::span_of_a_call;
    use super::*;

    /// Secrets as they look; put together here so that no scanner takes this file for a leak.
    fn secrets() -> Vec<String> {
        let body = "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8";
        vec![
            format!("sk-ant-{body}"),
            format!("ghp_{body}"),
            format!("github_pat_{body}"),
            format!("glpat-{body}"),
            format!("AKIA{}", "ABCDEFGHIJ234567"),
            format!("xoxb-{body}"),
            format!("AIza{body}"),
            format!("sk_live_{body}"),
            format!("eyJ{body}.{body}.{body}"),
            format!(
                "-----BEGIN RSA {}-----\n{body}\n{body}\n-----END RSA PRIVATE KEY-----",
                "PRIVATE KEY"
            ),
            format!("-----BEGIN {}-----\ncut off {body}", "PRIVATE KEY"),
        ]
    }

    fn clean(text: &str) -> String {
        let mut text = text.to_owned();
        redact_text(&mut text);
        text
    }

    #[test]
    fn secrets_go_wherever_they_stand() {
        for secret in secrets() {
            assert_eq!(clean(&secret), REDACTED, "{secret}");
            let cleaned = clean(&format!("before\n{secret}"));
            assert_eq!(cleaned, format!("before\n{REDACTED}"));
        }
        assert_eq!(
            clean("Authorization: Bearer abcdefghijklmnop1234"),
            "Authorization: Bearer [redacted]"
        );
        assert_eq!(
            clean("git clone https://me:hunter2@host/x and postgres://u:p@h/d"),
            "git clone https://me:[redacted]@host/x and postgres://u:[redacted]@h/d"
        );
    }

    #[test]
    fn what_only_looks_alike_stays() {
        for text in [
            "task-abcdefghijklmnopqrst",
            "sk-short",
            "the bearer of news",
            "https://host:8080/path@x",
            "claude-sonnet-4-5-20250929",
            "0af7651916cd43dd8448eb211c80319c",
            "",
        ] {
            assert_eq!(clean(text), text);
        }
    }

    fn attributes(text: &str, policy: ContentPolicy) -> String {
        let mut draft = span_of_a_call("r");
        draft.attributes = text.to_owned();
        redact(&mut draft, policy);
        draft.attributes
    }

    #[test]
    fn attributes_lose_secrets_by_form_and_by_name_and_stay_json() {
        let secret = &secrets()[0];
        let text = format!(
            r#"{{"n":[1,{{"deep":"say\n{secret} \"quoted\""}}],"http.request.header.authorization":["tok"],"db.password":"x","llm.token_count.total":7}}"#
        );
        let cleaned = attributes(&text, ContentPolicy::Full);
        assert!(!cleaned.contains(secret.as_str()), "{cleaned}");
        let value: Value = serde_json::from_str(&cleaned).expect("JSON");
        assert_eq!(value["n"][1]["deep"], "say\n[redacted] \"quoted\"");
        assert_eq!(value["http.request.header.authorization"][0], REDACTED);
        assert_eq!(value["db.password"], REDACTED);
        assert_eq!(value["llm.token_count.total"], 7);
        let untouched = r#"{ "b" : 1,  "a" : "x" }"#;
        assert_eq!(attributes(untouched, ContentPolicy::Full), untouched);
    }

    #[test]
    fn content_is_kept_as_far_as_it_is_wanted() {
        let long = "word ".repeat(1_000);
        let kept = |policy| {
            let mut draft = span_of_a_call("r");
            draft.input = Some(format!("{} {long}", secrets()[0]));
            draft.trace.output = Some("short".to_owned());
            draft.attributes =
                format!(r#"{{"gen_ai.prompt.0.content":"{long}","gen_ai.usage.input_tokens":7}}"#);
            redact(&mut draft, policy);
            let input = draft.input.map(|input| input.len());
            (input, draft.trace.output, draft.attributes.len())
        };
        let (input, output, attributes) = kept(ContentPolicy::Off);
        assert_eq!((input, output, attributes), (None, None, 31));
        let (input, output, attributes) = kept(ContentPolicy::Truncated);
        assert_eq!(
            (input, output.as_deref()),
            (Some(TRUNCATED + 3), Some("short"))
        );
        assert!(
            (TRUNCATED..TRUNCATED + 100).contains(&attributes),
            "{attributes}"
        );
        let (input, _, attributes) = kept(ContentPolicy::Full);
        assert_eq!(input, Some(long.len() + 1 + REDACTED.len()));
        assert!(attributes > long.len());
    }
}
