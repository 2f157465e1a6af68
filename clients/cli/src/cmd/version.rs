//! `barista version`: the versions of this program and of the daemon.

use clap::Args;
use serde_json::json;

use crate::app::App;
use crate::exit::Exit;
use crate::failure::Result;
use crate::{json, text};

/// Print the versions of this program and of the daemon, if it runs.
#[derive(Debug, Args)]
pub(crate) struct Version {}

impl Version {
    pub(crate) async fn run(self, app: &App) -> Result<Exit> {
        let own = env!("CARGO_PKG_VERSION");
        let info = app
            .running_client()
            .await
            .ok()
            .map(|client| client.server_info());
        if app.output.json {
            let daemon = info.map(|info| json::value(&*info)).transpose()?;
            app.output
                .json_value(&json!({ "version": own, "daemon": daemon }))?;
            return Ok(Exit::Done);
        }
        let daemon = info.map_or_else(
            || "baristad is not running".to_owned(),
            |info| {
                // Agents are not told which process it is.
                let process = match info.pid {
                    0 => String::new(),
                    pid => format!(", process {pid}"),
                };
                format!(
                    "baristad {} ({}, {}, protocol {} to {}{process})",
                    text::line(&info.version),
                    text::line(&info.build),
                    text::line(&info.backend),
                    info.protocol_min,
                    info.protocol_max,
                )
            },
        );
        app.output.print(&format!(
            "barista {own} (protocol {})\n{daemon}\n",
            barista_client::PROTOCOL
        ))?;
        Ok(Exit::Done)
    }
}
