//! What retention removed, or would remove.

use barista_client::pb::admin::v1::{RetentionAmount, RetentionClass, RetentionReport};

use crate::render::status::bytes;
use crate::text;

/// The whole report, for people.
pub(crate) fn report(report: &RetentionReport, dry_run: bool) -> String {
    let verb = if dry_run { "would go" } else { "removed" };
    let mut page = String::new();
    for amount in &report.amounts {
        page.push_str(&format!(
            "{:<22} {:>9} {verb}, {}\n",
            name(amount),
            amount.rows,
            bytes(amount.bytes)
        ));
    }
    for hold in &report.holds {
        page.push_str(&format!(
            "{} holds back {} changes: it has acknowledged those up to {}\n",
            text::line(&hold.consumer),
            hold.held_changes,
            hold.acknowledged_sequence
        ));
    }
    for consumer in &report.left_behind {
        let consumer = text::line(consumer);
        let loses = if dry_run { "would lose" } else { "has lost" };
        page.push_str(&format!(
            "{consumer} is too far behind and {loses} changes: barista consumer reset {consumer} --since oldest\n"
        ));
    }
    page.push_str(&format!(
        "The journal begins with change {}; {} of the file are free.\n",
        report.oldest_sequence,
        bytes(report.free_bytes)
    ));
    if report.returned_bytes > 0 {
        page.push_str(&format!(
            "The file is {} smaller.\n",
            bytes(report.returned_bytes)
        ));
    }
    if !report.shrinks {
        page.push_str("This file only reuses its free space. To make it smaller: barista daemon stop, then barista db retain --vacuum\n");
    }
    page
}

fn name(amount: &RetentionAmount) -> &'static str {
    match amount.retention_class() {
        RetentionClass::Journal => "changes",
        RetentionClass::Contents => "earlier contents",
        RetentionClass::Closed => "closed notifications",
        RetentionClass::Unspecified => "other rows",
    }
}

#[cfg(test)]
mod tests {
    use barista_client::pb::admin::v1::RetentionHold;

    use super::*;

    #[test]
    fn whoever_holds_back_or_loses_is_named() {
        let sample = RetentionReport {
            amounts: vec![RetentionAmount {
                retention_class: RetentionClass::Journal.into(),
                rows: 12,
                bytes: 2_048,
            }],
            holds: vec![RetentionHold {
                consumer: "bell".to_owned(),
                acknowledged_sequence: 3,
                held_changes: 7,
            }],
            left_behind: vec!["lamp".to_owned()],
            shrinks: true,
            oldest_sequence: 4,
            ..Default::default()
        };
        let page = report(&sample, true);
        assert!(page.contains("12 would go, 2.0 KiB"), "{page}");
        assert!(page.contains("bell holds back 7 changes"), "{page}");
        assert!(page.contains("barista consumer reset lamp"), "{page}");
        assert!(!page.contains("--vacuum"), "{page}");
        let rigid = RetentionReport::default();
        assert!(report(&rigid, false).contains("barista db retain --vacuum"));
    }
}
