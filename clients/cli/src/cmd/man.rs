//! `barista man`: writes the manual pages.

use std::path::PathBuf;

use clap::{Args, CommandFactory};

use crate::app::App;
use crate::args::Cli;
use crate::exit::Exit;
use crate::failure::{Failure, Result};

/// Write the manual pages into a directory: barista.1, barista-ask.1, and so on.
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Where to; it is created where it is missing
    #[arg(value_hint = clap::ValueHint::DirPath)]
    dir: PathBuf,
}

impl Man {
    pub(crate) fn run(self, app: &App) -> Result<Exit> {
        let what = format!("cannot write the manual into {}", self.dir.display());
        std::fs::create_dir_all(&self.dir).map_err(|error| Failure::io(&what, &error))?;
        clap_mangen::generate_to(Cli::command(), &self.dir)
            .map_err(|error| Failure::io(&what, &error))?;
        app.output.note(&format!(
            "Read it with: man {}",
            self.dir.join("barista.1").display()
        ));
        Ok(Exit::Done)
    }
}
