//! `barista status`: how the daemon is doing.

use clap::Args;
use serde_json::json;

use crate::app::App;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::time::Clock;
use crate::{json, render};

/// Say how the daemon is doing: open notifications, watchers, consumers in trouble, databases, and who pins their write-ahead logs.
///
/// Starts nothing: exit code 69 says that the daemon is not running.
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Print what the daemon counts instead, in the text format of Prometheus
    #[arg(long, conflicts_with = "json")]
    metrics: bool,
}

impl Status {
    pub(crate) async fn run(self, app: &App) -> Result<Exit> {
        let client = app.running_client().await?;
        if self.metrics {
            let metrics = client.get_metrics().await;
            let text = metrics.map_err(|error| Failure::call("cannot get the metrics", &error))?;
            app.output.print(&text)?;
            return Ok(Exit::Done);
        }
        let status = client
            .get_status()
            .await
            .map_err(|error| Failure::call("cannot get the status", &error))?;
        let info = client.server_info();
        // What an older daemon, or one that is asked from a sandbox, does not tell is left out.
        let consumers = client.list_consumers().await.unwrap_or_default();
        if app.output.json {
            let consumers: Vec<_> = consumers.iter().map(json::value).collect::<Result<_>>()?;
            let value = json!({
                "info": json::value(&*info)?,
                "status": json::value(&status)?,
                "consumers": consumers,
            });
            app.output.json_value(&value)?;
        } else {
            let clock = Clock::system();
            app.output
                .print(&render::status::render(&info, &status, &consumers, &clock))?;
        }
        Ok(Exit::Done)
    }
}
