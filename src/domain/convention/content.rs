//! What people and models wrote, taken out of the attributes.

use serde_json::Value;

use super::record::Attributes;
use super::table;

/// Content, each as the text that it is, or as JSON where it is several things.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) input: Option<String>,
    pub(super) output: Option<String>,
}

/// Takes the content out of `attributes`.
pub(super) fn take(attributes: &mut Attributes) -> Content {
    let (mut input, mut output) = (Attributes::new(), Attributes::new());
    let all = std::mem::take(attributes);
    for (name, value) in all {
        let place = if is_named(table::INPUT, &name) {
            &mut input
        } else if is_named(table::OUTPUT, &name) {
            &mut output
        } else {
            &mut *attributes
        };
        place.insert(name, value);
    }
    Content {
        input: one(input),
        output: one(output),
    }
}

fn is_named(names: &[&str], name: &str) -> bool {
    names.iter().any(|listed| {
        if listed.ends_with('.') {
            name.starts_with(listed)
        } else {
            name == *listed
        }
    })
}

fn one(content: Attributes) -> Option<String> {
    let mut values = content.values();
    match (values.next(), values.next()) {
        (None, _) => None,
        (Some(Value::String(text)), None) => Some(text.clone()),
        (Some(value), None) => Some(value.to_string()),
        _ => Some(Value::Object(content).to_string()),
    }
}
