//! How a question ended, in the terms of a script.

use barista_client::pb::notification::v1::{Notification, NotificationState};

use crate::exit::Exit;
use crate::{text, words};

/// Responses that mean no, whatever their case.
const REFUSALS: [&str; 4] = ["deny", "decline", "no", "reject"];

/// The exit code for `notification` as it is.
pub(crate) fn exit(notification: &Notification) -> Exit {
    match &notification.response {
        Some(response) if is_refusal(&response.text) => Exit::No,
        Some(_) => Exit::Done,
        None if is_closed(notification) => Exit::Unanswered,
        None => Exit::StillOpen,
    }
}

/// Whether nothing more can come of it. A row that direct tooling put into a state of its own is closed once it has a response.
pub(crate) fn is_closed(notification: &Notification) -> bool {
    notification.state().is_end() || notification.response.is_some()
}

/// Whether `response` says no.
fn is_refusal(response: &str) -> bool {
    REFUSALS
        .iter()
        .any(|word| response.trim().eq_ignore_ascii_case(word))
}

/// What to tell about a question that ended otherwise than by a person's response; `None` where the response says it all.
pub(crate) fn remark(notification: &Notification) -> Option<String> {
    let id = notification.id;
    if let Some(response) = &notification.response {
        return response.is_default.then(|| {
            format!("#{id} expired without a response; this is the default that its asker set.")
        });
    }
    let by = match notification.closed_by.as_str() {
        "" => String::new(),
        closed_by => format!(" by {}", text::line(closed_by)),
    };
    match notification.state() {
        NotificationState::Expired => Some(format!("#{id} expired without a response.")),
        NotificationState::Dismissed | NotificationState::Cancelled => Some(format!(
            "#{id} was {} without a response{by}.",
            words::state(notification)
        )),
        NotificationState::Responded => Some(format!("#{id} was closed{by} without a response.")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use barista_client::pb::notification::v1::Response;

    use super::*;

    fn ended(state: NotificationState, response: Option<&str>) -> Notification {
        Notification {
            id: 12,
            state: state.into(),
            response: response.map(|text| Response {
                text: text.to_owned(),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    #[test]
    fn a_refusal_has_its_own_code_whatever_its_case() {
        for no in ["deny", "Decline", "NO", " reject\n"] {
            assert_eq!(
                exit(&ended(NotificationState::Responded, Some(no))),
                Exit::No,
                "{no}"
            );
        }
        for yes in ["approve", "no problem", "", "yes, no"] {
            assert_eq!(
                exit(&ended(NotificationState::Responded, Some(yes))),
                Exit::Done,
                "{yes}"
            );
        }
    }

    #[test]
    fn silence_is_never_an_answer() {
        for state in [
            NotificationState::Expired,
            NotificationState::Dismissed,
            NotificationState::Cancelled,
        ] {
            assert_eq!(exit(&ended(state, None)), Exit::Unanswered);
        }
        assert_eq!(
            exit(&ended(NotificationState::Pending, None)),
            Exit::StillOpen
        );
        assert_eq!(
            exit(&ended(NotificationState::Expired, Some("deny"))),
            Exit::No
        );
        assert_eq!(
            exit(&ended(NotificationState::Expired, Some("wait"))),
            Exit::Done
        );
    }

    #[test]
    fn what_is_not_a_response_is_told() {
        let mut dismissed = ended(NotificationState::Dismissed, None);
        dismissed.closed_by = "ann".to_owned();
        assert_eq!(
            remark(&dismissed).as_deref(),
            Some("#12 was dismissed without a response by ann.")
        );
        assert_eq!(
            remark(&ended(NotificationState::Responded, Some("yes"))),
            None
        );
        let mut default = ended(NotificationState::Expired, Some("deny"));
        if let Some(response) = &mut default.response {
            response.is_default = true;
        }
        assert!(remark(&default).is_some_and(|text| text.contains("default")));
    }
}
