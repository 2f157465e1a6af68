//! Who asks, and who answers.

use std::ffi::OsString;

use clap::Args;

/// What the journal records as the way a change came.
pub(crate) const SURFACE: &str = "cli";

/// Reads a variable of the environment; a test passes its own.
pub(crate) type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// The agent on whose behalf something is asked or told.
#[derive(Debug, Args)]
#[command(next_help_heading = "Identity")]
pub(crate) struct AgentArgs {
    /// The agent it comes from [default: BARISTA_AGENT]
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// The agent's session [default: BARISTA_SESSION or CLAUDE_CODE_SESSION_ID]
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// The project it is about [default: BARISTA_PROJECT]
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
}

/// The person who answers.
#[derive(Debug, Args)]
pub(crate) struct ResponderArgs {
    /// Your name [default: BARISTA_USER, else the login name]
    #[arg(long = "as", value_name = "NAME", value_parser = name)]
    name: Option<String>,
}

/// Reads a name: an answer of nobody would leave people guessing who gave it.
fn name(typed: &str) -> Result<String, String> {
    if typed.trim().is_empty() {
        return Err("give a name, as in --as ann, or leave --as out".to_owned());
    }
    Ok(typed.to_owned())
}

/// Whom a new notification comes from. Empty where unknown.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Agent {
    pub(crate) agent: String,
    pub(crate) session: String,
    pub(crate) project: String,
}

impl AgentArgs {
    /// What was typed, else what the environment says, else nothing.
    pub(crate) fn resolve(&self, environment: Environment<'_>) -> Agent {
        let session = ["BARISTA_SESSION", "CLAUDE_CODE_SESSION_ID"];
        Agent {
            agent: first(self.agent.as_deref(), &["BARISTA_AGENT"], environment),
            session: first(self.session.as_deref(), &session, environment),
            project: first(self.project.as_deref(), &["BARISTA_PROJECT"], environment),
        }
    }
}

impl ResponderArgs {
    /// Who answers: what was typed, else what the environment says, else the name under which the system knows the user of this process.
    pub(crate) fn name(&self) -> String {
        self.resolve(&system, login)
    }

    fn resolve(
        &self,
        environment: Environment<'_>,
        login: impl FnOnce() -> Option<String>,
    ) -> String {
        let variables = ["BARISTA_USER", "USER", "LOGNAME"];
        let known = first(self.name.as_deref(), &variables, environment);
        if known.is_empty() {
            return login().unwrap_or_default();
        }
        known
    }
}

/// The name in the system's list of users: a service or a container often has no USER. `None` where the list does not have the user.
fn login() -> Option<String> {
    let user = nix::unistd::User::from_uid(nix::unistd::getuid());
    user.ok().flatten().map(|user| user.name)
}

/// The environment of this process.
pub(crate) fn system(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// `typed`, else the first of `variables` that is set and not empty. Bytes that are no text are replaced: a name is only shown.
fn first(typed: Option<&str>, variables: &[&str], environment: Environment<'_>) -> String {
    if let Some(typed) = typed {
        return typed.to_owned();
    }
    variables
        .iter()
        .filter_map(|name| environment(name))
        .find(|value| !value.is_empty())
        .map_or_else(String::new, |value| value.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment<'a>(pairs: &'a [(&str, &str)]) -> impl Fn(&str) -> Option<OsString> + 'a {
        move |name| {
            pairs
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.into())
        }
    }

    #[test]
    fn flags_win_over_the_environment() {
        let args = AgentArgs {
            agent: Some("typed".to_owned()),
            session: None,
            project: None,
        };
        let variables = environment(&[
            ("BARISTA_AGENT", "variable"),
            ("BARISTA_SESSION", ""),
            ("CLAUDE_CODE_SESSION_ID", "abc"),
        ]);
        let expected = Agent {
            agent: "typed".to_owned(),
            session: "abc".to_owned(),
            project: String::new(),
        };
        assert_eq!(args.resolve(&variables), expected);
    }

    #[test]
    fn the_responder_is_the_login_unless_named() {
        let login = || Some("root".to_owned());
        let unnamed = ResponderArgs { name: None };
        let variables = environment(&[("USER", "ann")]);
        assert_eq!(unnamed.resolve(&variables, login), "ann");
        let variables = environment(&[("USER", "ann"), ("BARISTA_USER", "Ann B.")]);
        assert_eq!(unnamed.resolve(&variables, login), "Ann B.");
        let named = ResponderArgs {
            name: Some("bob".to_owned()),
        };
        assert_eq!(named.resolve(&variables, login), "bob");
        assert_eq!(unnamed.resolve(&|_| None, login), "root");
        assert_eq!(unnamed.resolve(&|_| None, || None), "");
    }

    #[test]
    fn an_empty_name_is_refused() {
        assert!(name("").is_err() && name(" ").is_err());
        assert_eq!(name("ann").as_deref(), Ok("ann"));
    }
}
