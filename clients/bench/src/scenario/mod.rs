//! What is measured, one file per scenario.

mod batch;
mod cli;
mod create;
mod dataset;
mod footprint;
mod foreign;
mod inbox;
mod logging;
mod respond;
mod resume;
mod start;
pub(crate) mod watch;

use clap::ValueEnum;

use crate::lab::Lab;
use crate::report::Round;

/// A scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// Durable creates, one per call, and the same in the legacy way
    Create,
    /// Durable creates, 100 per call
    Batch,
    /// From a create to watchers
    Watch,
    /// From another program's write to a watcher
    Foreign,
    /// From a response to who waits for it
    Respond,
    /// A page of a small and of a large inbox
    Inbox,
    /// Catching up after an absence
    Resume,
    /// Starting the daemon
    Start,
    /// Whole processes of the command line
    Cli,
    /// Memory and processor time
    Footprint,
    /// What the log costs
    Logging,
}

impl Scenario {
    /// Measures once.
    ///
    /// # Errors
    ///
    /// Something does not work; how fast it is never fails.
    pub(crate) async fn measure(self, lab: &Lab, round: &mut Round) -> anyhow::Result<()> {
        match self {
            Self::Create => create::measure(lab, round).await,
            Self::Batch => batch::measure(lab, round).await,
            Self::Watch => watch::measure(lab, round).await,
            Self::Foreign => foreign::measure(lab, round).await,
            Self::Respond => respond::measure(lab, round).await,
            Self::Inbox => inbox::measure(lab, round).await,
            Self::Resume => resume::measure(lab, round).await,
            Self::Start => start::measure(lab, round).await,
            Self::Cli => cli::measure(lab, round).await,
            Self::Footprint => footprint::measure(lab, round).await,
            Self::Logging => logging::measure(lab, round).await,
        }
    }
}
