//! What `doctor` found.

use crate::doctor::finding::{Finding, Level};
use crate::style::{self, paint};
use crate::text;

/// What was put right, each finding with its remedy beneath, and a last line that sums up.
pub(crate) fn render(fixed: &[String], findings: &[Finding], columns: usize) -> String {
    let mut page = String::new();
    for what in fixed {
        push(&mut page, &paint(style::GOOD, "fixed  "), what, columns);
    }
    let mut told = None;
    for finding in findings {
        let (style, mark) = match finding.level {
            Level::Good => (style::GOOD, "ok     "),
            Level::Note => (style::DIM, "note   "),
            Level::Warning => (style::WARNING, "warning"),
            Level::Problem => (style::ALARM, "problem"),
        };
        let text = format!("{}: {}", finding.check, finding.text);
        push(&mut page, &paint(style, mark), &text, columns);
        // What helps against several findings in a row stands beneath the first.
        let is_told =
            std::mem::replace(&mut told, finding.remedy.as_ref()) == finding.remedy.as_ref();
        if let Some(remedy) = finding.remedy.as_ref().filter(|_| !is_told) {
            // A remedy of several commands has a line for each.
            for (number, line) in remedy.lines().enumerate() {
                let line = if number == 0 {
                    format!("next: {line}")
                } else {
                    format!("      {line}")
                };
                push(&mut page, "       ", &line, columns);
            }
        }
    }
    let count = |level| {
        findings
            .iter()
            .filter(|finding| finding.level == level)
            .count()
    };
    let summary = match (count(Level::Problem), count(Level::Warning)) {
        (0, 0) => "No problems.".to_owned(),
        (problems, warnings) => format!("{problems} problem(s), {warnings} warning(s)."),
    };
    page.push_str(&format!("\n{}\n", paint(style::HEADING, &summary)));
    let curable = findings.iter().filter(|finding| finding.fix.is_some());
    match curable.count() {
        0 => {}
        1 => page.push_str("1 of them is put right by: barista doctor --fix\n"),
        count => page.push_str(&format!(
            "{count} of them are put right by: barista doctor --fix\n"
        )),
    }
    page
}

/// Adds a text that hangs behind its mark, which is seven columns wide.
fn push(page: &mut String, mark: &str, text: &str, columns: usize) {
    for (number, line) in text::wrap(&text::line(text), columns.saturating_sub(9))
        .iter()
        .enumerate()
    {
        let start = if number == 0 { mark } else { "       " };
        page.push_str(&format!("{start}  {line}\n"));
    }
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;

    use super::*;
    use crate::doctor::fix::Fix;

    #[test]
    fn findings_hang_behind_their_marks() {
        let findings = [
            Finding::good("daemon", "answers"),
            Finding::problem(
                "data directory",
                "everybody may write into /home/ann/projects/shop/data, so nothing in it can be trusted",
                "chmod go-w /home/ann/projects/shop/data",
            )
            .fixed_by(Fix::StartDaemon),
            Finding::problem("integrity", "page 6", "a cure\nof two lines"),
            Finding::problem("integrity", "page 7", "a cure\nof two lines"),
        ];
        let fixed = ["chmod 600 /home/ann/projects/shop/data/notifications.db".to_owned()];
        let expected = "\
fixed    chmod 600 /home/ann/projects/shop/data/notifications.db
ok       daemon: answers
problem  data directory: everybody may write into /home/ann/projects/shop/data,
         so nothing in it can be trusted
         next: chmod go-w /home/ann/projects/shop/data
problem  integrity: page 6
         next: a cure
               of two lines
problem  integrity: page 7

3 problem(s), 0 warning(s).
1 of them is put right by: barista doctor --fix
";
        assert_eq!(
            strip_str(&render(&fixed, &findings, 80)).to_string(),
            expected
        );
    }
}
