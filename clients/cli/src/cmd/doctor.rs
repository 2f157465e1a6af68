//! `barista doctor`: looks for problems and says what helps.

use barista_client::pb::admin::v1::Authority;
use clap::Args;
use serde_json::json;

use crate::app::App;
use crate::doctor::check::{self, Depth};
use crate::doctor::daemon::Contact;
use crate::doctor::finding::{Finding, Level};
use crate::doctor::{consumers, daemon, directory, fix, integrity, tools};
use crate::exit::Exit;
use crate::failure::Result;
use crate::render;
use crate::service::plan;

/// Look for problems with the configuration, the data directory, the databases, the daemon and other tools, and say what helps.
///
/// Changes nothing and starts nothing, unless --fix says so. Exit code 1: there is a problem. Warnings leave it at 0.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Put right what is safe to put right: permissions, stale files of a daemon that has ended, and triggers that are missing while no
    /// daemon runs, for which one is started. Then look again
    #[arg(long)]
    fix: bool,
    /// Also check that every index agrees with its table; takes longer
    #[arg(long)]
    full: bool,
}

impl Doctor {
    pub(crate) async fn run(self, app: &App) -> Result<Exit> {
        let depth = if self.full { Depth::Full } else { Depth::Quick };
        let mut findings = examine(app, depth).await;
        let mut fixed = Vec::new();
        if self.fix && findings.iter().any(|finding| finding.fix.is_some()) {
            let (done, failed) = fix::apply(app, &findings).await;
            fixed = done;
            findings = examine(app, depth).await;
            findings.extend(failed);
        }
        for remedy in findings
            .iter_mut()
            .filter_map(|found| found.remedy.as_mut())
        {
            *remedy = app.output.placed(remedy);
        }
        if app.output.json {
            let findings: Vec<_> = findings.iter().map(Finding::json).collect();
            let report = json!({ "findings": findings, "fixed": fixed });
            app.output.json_value(&report)?;
        } else {
            let columns = app.output.columns();
            let page = render::findings::render(&fixed, &findings, columns);
            app.output.print(&page)?;
        }
        let sick = findings
            .iter()
            .any(|finding| finding.level == Level::Problem);
        Ok(if sick { Exit::Failed } else { Exit::Done })
    }
}

/// Looks at everything, and changes nothing.
async fn examine(app: &App, depth: Depth) -> Vec<Finding> {
    let contact = Contact::make(app, depth).await;
    let mut findings = Vec::new();
    let mut data_dir = None;
    match (&app.socket, app.located()) {
        // With a socket of its own there may be no data directory in sight, as in a sandbox.
        (Some(socket), _) => {
            findings.push(Finding::note("socket", socket.display().to_string()));
            findings.push(Finding::note(
                "configuration",
                "was not checked: only the socket was named",
            ));
        }
        (None, Ok(located)) => {
            let absent = matches!(contact, Contact::Absent);
            findings.extend(directory::examine(&located, absent));
            findings.extend(checked(app, &contact, depth, &findings).await);
            data_dir = Some(located.path);
        }
        (None, Err(failure)) => {
            let text = failure.report().unwrap_or_default();
            let remedy = "name one with --data-dir";
            findings.push(Finding::problem("data directory", text, remedy));
        }
    }
    let told = daemon::examine(&contact, data_dir.as_deref(), &findings).await;
    findings.extend(told);
    if let Contact::Answers(client) = &contact
        && client.server_info().authority() != Authority::Agent
    {
        findings.extend(daemon::consumers(client).await);
        findings.extend(integrity::examine(client, depth).await);
        findings.extend(consumers::examine(client).await);
    }
    findings.extend(plan::finding().await);
    findings.extend(tools::examine().await);
    findings
}

/// What the daemon's own check adds to `findings`. It looks into the databases only where no daemon does: one that runs is asked.
async fn checked(app: &App, contact: &Contact, depth: Depth, findings: &[Finding]) -> Vec<Finding> {
    let depth = match contact {
        Contact::Answers(_) => Depth::Config,
        Contact::Absent | Contact::Failed(_) => depth,
    };
    // It looks at the directory's owner and permissions, too, by the same rules.
    let known = |check: &str| {
        let problem = |known: &Finding| known.level == Level::Problem && known.check == check;
        findings.iter().any(problem)
    };
    let mut told = check::run(app, depth).await.findings();
    told.retain(|finding| match &*finding.check {
        "data directory" => finding.level == Level::Problem && !known(&finding.check),
        _ => true,
    });
    told
}
