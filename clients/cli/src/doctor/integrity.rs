//! What a daemon that runs finds in its databases: nobody else should look into them meanwhile.

use barista_client::pb::admin::v1::{
    CheckIntegrityRequest, CheckIntegrityResponse, IntegrityDepth, IntegrityFinding,
    IntegrityFindingKind,
};
use barista_client::{Client, Error, ErrorReason};

use crate::doctor::check::Depth;
use crate::doctor::finding::Finding;
use crate::text;

/// Asks the daemon to check.
pub(crate) async fn examine(client: &Client, depth: Depth) -> Vec<Finding> {
    let depth = match depth {
        Depth::Config => return Vec::new(),
        Depth::Quick => IntegrityDepth::Quick,
        Depth::Full => IntegrityDepth::Full,
    };
    let request = CheckIntegrityRequest {
        depth: depth.into(),
        ..Default::default()
    };
    match client.check_integrity(request).await {
        Ok(found) => judge(&found),
        Err(error) => vec![unchecked(&error)],
    }
}

fn unchecked(error: &Error) -> Finding {
    if error.reason() == ErrorReason::MethodNotFound {
        let text = "the daemon is of an older release, and cannot check its databases";
        return Finding::warning("integrity", text, "barista daemon restart");
    }
    let text = format!("was not checked: {}", text::line(&error.to_string()));
    Finding::problem("integrity", text, "barista daemon logs says more")
}

fn judge(found: &CheckIntegrityResponse) -> Vec<Finding> {
    let mut findings: Vec<Finding> = found.findings.iter().map(tell).collect();
    if !found.complete {
        let text = "not everything was checked: the time or the number of findings ran out";
        findings.push(Finding::warning("integrity", text, "barista doctor --full"));
    }
    if findings.is_empty() {
        let names: Vec<String> = found
            .databases
            .iter()
            .map(|name| text::line(name))
            .collect();
        let text = format!("{}: sound, with all triggers", names.join(", "));
        findings.push(Finding::good("integrity", text));
    }
    findings
}

fn tell(finding: &IntegrityFinding) -> Finding {
    let (check, remedy) = match finding.kind() {
        IntegrityFindingKind::ForeignKey => (
            "foreign keys",
            "add the missing row, or delete the one that refers to it",
        ),
        IntegrityFindingKind::Schema => (
            "schema",
            "barista doctor, again: the daemon restores it within a second; if not, barista daemon restart",
        ),
        IntegrityFindingKind::Clock => (
            "clock",
            "set this machine's clock (date shows it); questions expire by it",
        ),
        IntegrityFindingKind::Damage
        | IntegrityFindingKind::Unusable
        | IntegrityFindingKind::Unspecified => (
            "integrity",
            "barista daemon stop, then barista db restore FILE puts a backup in its place and keeps what was there; without one, barista doctor says then how to salvage it",
        ),
    };
    let text = format!(
        "{}: {}",
        text::line(&finding.database),
        text::line(&finding.text)
    );
    Finding::problem(check, text, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Level;

    #[test]
    fn what_the_daemon_found_is_a_problem_and_what_it_left_out_a_warning() {
        let found = CheckIntegrityResponse {
            findings: vec![IntegrityFinding {
                database: "notifications.db".to_owned(),
                kind: IntegrityFindingKind::Damage.into(),
                text: "Tree 5\npage 7".to_owned(),
            }],
            complete: false,
            ..Default::default()
        };
        let levels: Vec<Level> = judge(&found).iter().map(|found| found.level).collect();
        assert_eq!(levels, [Level::Problem, Level::Warning]);
        let sound = CheckIntegrityResponse {
            complete: true,
            databases: vec!["notifications.db".to_owned()],
            ..Default::default()
        };
        assert_eq!(judge(&sound)[0].level, Level::Good);
    }
}
