//! `barista completions`: the script that completes commands and ids in a shell.

use clap::Args;
use clap_complete::env::Shells;

use crate::app::App;
use crate::complete::VARIABLE;
use crate::exit::Exit;
use crate::failure::{Failure, Result};

/// Print the script that completes commands, and the ids of open notifications, in a shell.
///
/// bash: echo 'source <(barista completions bash)' >> ~/.bashrc.  zsh: echo 'source <(barista completions zsh)' >> ~/.zshrc.
/// fish: barista completions fish > ~/.config/fish/completions/barista.fish
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// Which shell
    #[arg(value_parser = ["bash", "zsh", "fish"])]
    shell: String,
}

impl Completions {
    pub(crate) fn run(self, app: &App) -> Result<Exit> {
        let what = "cannot write the script";
        let shells = Shells::builtins();
        let shell = shells
            .completer(&self.shell)
            .ok_or_else(|| Failure::usage(what, format!("{} is not known", self.shell)))?;
        let mut script = Vec::new();
        shell
            .write_registration(VARIABLE, "barista", "barista", "barista", &mut script)
            .map_err(|error| Failure::io(what, &error))?;
        app.output.print(&String::from_utf8_lossy(&script))?;
        Ok(Exit::Done)
    }
}
