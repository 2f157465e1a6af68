//! Whether durable watchers do their work: a daemon is sound while one of them is not.

use barista_client::{Client, ErrorReason};

use crate::doctor::finding::Finding;
use crate::render::consumer::troubles;
use crate::text;

const CHECK: &str = "consumers";

/// Asks the daemon for them.
pub(crate) async fn examine(client: &Client) -> Vec<Finding> {
    let consumers = match client.list_consumers().await {
        Ok(consumers) => consumers,
        // Nobody can look from inside a sandbox, and older daemons have none: what else is wrong then is told elsewhere.
        Err(error)
            if matches!(
                error.reason(),
                ErrorReason::AgentNotAllowed | ErrorReason::MethodNotFound
            ) =>
        {
            return Vec::new();
        }
        Err(error) => {
            let text = format!("were not looked at: {}", text::line(&error.to_string()));
            return vec![Finding::warning(
                CHECK,
                text,
                "barista daemon logs says more",
            )];
        }
    };
    let findings: Vec<Finding> = troubles(&consumers)
        .into_iter()
        .map(|trouble| Finding::warning(CHECK, trouble.text, trouble.remedy))
        .collect();
    if findings.is_empty() && !consumers.is_empty() {
        let text = format!("{} keep up", consumers.len());
        return vec![Finding::good(CHECK, text)];
    }
    findings
}
