//! Which responses a notification takes.

use super::super::error::{Error, Result};
use super::draft::{MAX_LABEL, MAX_MESSAGE, MAX_NAME, line, text};
use super::{Choice, Notification};

/// Who does something to a notification, and through what. Empty where unknown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Actor {
    /// The person or agent.
    pub name: String,
    /// "cli", "slack", …
    pub surface: String,
}

impl Actor {
    /// Checks the lengths.
    ///
    /// # Errors
    ///
    /// `InvalidField` for `surface`, or for the field that holds the name, called `field`.
    pub fn validate(&self, field: &str) -> Result<()> {
        line(field, &self.name, 0, MAX_NAME)?;
        line("surface", &self.surface, 0, MAX_LABEL)
    }
}

/// A response as it will be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// The text that direct tooling reads: the free text, or the names of the options separated by ", ".
    pub text: String,
    /// The names of the chosen options, in the asker's order.
    pub options: Vec<String>,
}

/// What a notification takes as a response.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// The notification, for errors.
    pub id: i64,
    /// The options; none means any text.
    pub options: &'a [Choice],
    /// Whether several may be chosen.
    pub allow_multiple: bool,
    /// Whether free text is taken beside options.
    pub allow_text: bool,
}

impl<'a> Rules<'a> {
    /// The rules of a stored notification.
    #[must_use]
    pub fn of(notification: &'a Notification) -> Self {
        Self {
            id: notification.id,
            options: &notification.options,
            allow_multiple: notification.allow_multiple,
            allow_text: notification.allow_text,
        }
    }

    /// Checks a response of free text, options, or both, and brings it into the form that is stored. `field` is the name of the field
    /// that holds the text.
    ///
    /// # Errors
    ///
    /// `InvalidField` where it is empty or too long, `ResponseNotAllowed` where the notification does not take it.
    pub fn choose(&self, field: &str, free: &str, names: &[String]) -> Result<Chosen> {
        text(field, free, MAX_MESSAGE)?;
        // Blanks alone would close the question with an answer that nobody can see.
        if free.trim().is_empty() && (names.is_empty() || !free.is_empty()) {
            return Err(Error::invalid(field, "must not be empty"));
        }
        for (index, name) in names.iter().enumerate() {
            self.check_option(index, name, &names[..index])?;
        }
        if names.is_empty() && self.has(free) {
            return Ok(Chosen {
                text: free.to_owned(),
                options: vec![free.to_owned()],
            });
        }
        if !free.is_empty() && !self.options.is_empty() && !self.allow_text {
            return Err(self.refusal(field, self.rule()));
        }
        let options: Vec<String> = self
            .options
            .iter()
            .filter(|option| names.contains(&option.name))
            .map(|option| option.name.clone())
            .collect();
        let text = match (options.is_empty(), free.is_empty()) {
            (true, _) => free.to_owned(),
            (false, true) => options.join(", "),
            (false, false) => format!("{}: {free}", options.join(", ")),
        };
        Ok(Chosen { text, options })
    }

    fn check_option(&self, index: usize, name: &str, before: &[String]) -> Result<()> {
        let field = format!("options[{index}]");
        if !self.has(name) {
            return Err(self.refusal(&field, self.rule()));
        }
        if before.iter().any(|other| other == name) {
            return Err(Error::invalid(field, "is chosen twice"));
        }
        if index > 0 && !self.allow_multiple {
            return Err(self.refusal(&field, "only one option may be chosen".to_owned()));
        }
        Ok(())
    }

    fn has(&self, name: &str) -> bool {
        self.options.iter().any(|option| option.name == name)
    }

    /// What a response must be, where it is none of the options.
    fn rule(&self) -> String {
        if self.options.is_empty() {
            return "must be left out, as this notification offers no options; give text"
                .to_owned();
        }
        format!("must be one of: {}", self.names().join(", "))
    }

    fn names(&self) -> Vec<String> {
        self.options
            .iter()
            .map(|option| option.name.clone())
            .collect()
    }

    fn refusal(&self, field: &str, rule: String) -> Error {
        Error::ResponseNotAllowed {
            id: self.id,
            field: field.to_owned(),
            rule,
            options: self.names(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(names: &[&str]) -> Vec<Choice> {
        names
            .iter()
            .map(|name| Choice {
                name: (*name).to_owned(),
                description: String::new(),
            })
            .collect()
    }

    fn choose(rules: Rules<'_>, free: &str, names: &[&str]) -> Result<(String, Vec<String>)> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        rules
            .choose("text", free, &names)
            .map(|chosen| (chosen.text, chosen.options))
    }

    #[test]
    fn without_options_any_text_answers_and_none_is_refused() {
        let rules = Rules {
            id: 1,
            options: &[],
            allow_multiple: false,
            allow_text: false,
        };
        assert!(
            matches!(choose(rules, "as you like", &[]), Ok((text, none)) if text == "as you like" && none.is_empty())
        );
        for nothing in ["", " ", " \t\n"] {
            let refused = choose(rules, nothing, &[]);
            assert!(
                matches!(&refused, Err(Error::InvalidField { field, .. }) if field == "text"),
                "{refused:?}"
            );
        }
        assert!(matches!(
            choose(rules, "", &["yes"]),
            Err(Error::ResponseNotAllowed { .. })
        ));
    }

    #[test]
    fn the_text_of_an_option_chooses_it() {
        let options = options(&["yes", "no"]);
        let rules = Rules {
            id: 1,
            options: &options,
            allow_multiple: false,
            allow_text: false,
        };
        let expected = ("yes".to_owned(), vec!["yes".to_owned()]);
        assert!(matches!(choose(rules, "yes", &[]), Ok(chosen) if chosen == expected));
        assert!(matches!(choose(rules, "", &["yes"]), Ok(chosen) if chosen == expected));
        assert!(matches!(
            choose(rules, "Yes", &[]),
            Err(Error::ResponseNotAllowed { .. })
        ));
        assert!(matches!(
            choose(rules, "", &["yes", "no"]),
            Err(Error::ResponseNotAllowed { .. })
        ));
    }

    #[test]
    fn several_options_are_stored_in_the_askers_order() {
        let options = options(&["a", "b", "c"]);
        let rules = Rules {
            id: 1,
            options: &options,
            allow_multiple: true,
            allow_text: false,
        };
        let (text, chosen) = choose(rules, "", &["c", "a"]).expect("allowed");
        assert_eq!(
            (text.as_str(), chosen),
            ("a, c", vec!["a".to_owned(), "c".to_owned()])
        );
        assert!(matches!(
            choose(rules, "", &["a", "a"]),
            Err(Error::InvalidField { .. })
        ));
    }

    #[test]
    fn free_text_stands_beside_options_only_where_allowed() {
        let options = options(&["yes", "no"]);
        let rules = Rules {
            id: 1,
            options: &options,
            allow_multiple: false,
            allow_text: true,
        };
        assert!(
            matches!(choose(rules, "later", &[]), Ok((text, none)) if text == "later" && none.is_empty())
        );
        assert!(
            matches!(choose(rules, "but slowly", &["yes"]), Ok((text, _)) if text == "yes: but slowly")
        );
    }
}
