//! `barista doctor`: looks for problems and says what helps.

use clap::Args;
use serde_json::json;

use crate::app::App;
use crate::doctor::finding::{Finding, Level};
use crate::doctor::{daemon, directory, tools};
use crate::exit::Exit;
use crate::failure::Result;
use crate::render;

/// Look for problems with the data directory, the daemon and other tools, and say what helps. Changes nothing and starts nothing.
///
/// Exit code 1: there is a problem. Warnings leave it at 0.
#[derive(Debug, Args)]
pub(crate) struct Doctor {}

impl Doctor {
    pub(crate) async fn run(self, app: &App) -> Result<Exit> {
        let located = app.located();
        let mut findings = match (&app.socket, &located) {
            // With a socket of its own there may be no data directory in sight, as in a sandbox.
            (Some(socket), _) => vec![Finding::note("socket", socket.display().to_string())],
            (None, Ok(located)) => directory::examine(located),
            (None, Err(failure)) => {
                let text = failure.report().unwrap_or_default();
                vec![Finding::problem(
                    "data directory",
                    text,
                    "name one with --data-dir",
                )]
            }
        };
        let data_dir = located
            .ok()
            .filter(|_| app.socket.is_none())
            .map(|located| located.path);
        findings.extend(daemon::examine(app, data_dir.as_deref()).await);
        findings.extend(tools::examine().await);
        if app.output.json {
            let findings: Vec<_> = findings.iter().map(Finding::json).collect();
            app.output.json_value(&json!({ "findings": findings }))?;
        } else {
            app.output
                .print(&render::findings::render(&findings, app.output.columns()))?;
        }
        let sick = findings
            .iter()
            .any(|finding| finding.level == Level::Problem);
        Ok(if sick { Exit::Failed } else { Exit::Done })
    }
}
