//! What is measured, one file per scenario.

mod batch;
mod callers;
mod cli;
mod create;
mod dataset;
mod footprint;
mod foreign;
mod inbox;
mod limits;
mod logging;
mod respond;
mod resume;
mod start;
#[cfg(feature = "opponents")]
mod versus;
pub(crate) mod watch;
mod watchers;

use clap::ValueEnum;

use crate::lab::Lab;
use crate::report::Round;

/// A scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// Durable creates, one per call, and the same in the legacy way
    Create,
    /// Durable creates by PostgreSQL, in turn with ours
    Postgres,
    /// Durable messages by NATS JetStream, in turn with our creates
    Nats,
    /// Durable entries by Redis Streams, in turn with our creates
    Redis,
    /// Durable creates, 100 per call
    Batch,
    /// How the cost grows with the callers
    Callers,
    /// What a create cannot do without here: a call, a sync
    Limits,
    /// From a create to watchers
    Watch,
    /// How the cost grows with the watchers, one of them stalled
    Watchers,
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
            #[cfg(feature = "opponents")]
            Self::Postgres => versus::measure::<crate::opponent::Postgres>(lab, round).await,
            #[cfg(feature = "opponents")]
            Self::Nats => versus::measure::<crate::opponent::Nats>(lab, round).await,
            #[cfg(feature = "opponents")]
            Self::Redis => versus::measure::<crate::opponent::Redis>(lab, round).await,
            #[cfg(not(feature = "opponents"))]
            Self::Postgres | Self::Nats | Self::Redis => {
                round.note(
                    "PostgreSQL, NATS JetStream and Redis Streams were not measured: this program was built without them; build it with \
                     `cargo build --release -p barista-bench --features opponents`.",
                );
                Ok(())
            }
            Self::Callers => callers::measure(lab, round).await,
            Self::Batch => batch::measure(lab, round).await,
            Self::Limits => limits::measure(lab, round).await,
            Self::Watch => watch::measure(lab, round).await,
            Self::Watchers => watchers::measure(lab, round).await,
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
