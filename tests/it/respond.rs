//! Answers: the first one wins, and only an allowed one counts.

use barista_client::pb::notification::v1::{
    CreateNotificationRequest, NotificationState, Option as Choice, RespondNotificationRequest,
};
use barista_client::{Code, ErrorReason};

use crate::support::{TestDaemon, answer, question, soon, uuid};

fn choice(title: &str, names: &[&str]) -> CreateNotificationRequest {
    let option = |name: &&str| Choice {
        name: (*name).to_owned(),
        description: String::new(),
    };
    CreateNotificationRequest {
        options: names.iter().map(option).collect(),
        ..question(title)
    }
}

#[tokio::test]
async fn first_response_wins() {
    let daemon = TestDaemon::start().await;
    let id = daemon.ask("Deploy?").await.id;
    let answered = daemon.respond(id, "yes").await.expect("the first");
    assert_eq!(answered.state(), NotificationState::Responded);
    let error = daemon.respond(id, "no").await.expect_err("the second");
    assert_eq!(error.reason(), ErrorReason::NotificationClosed);
    let rpc = error.rpc().expect("from the daemon");
    assert_eq!(rpc.code, Code::FailedPrecondition);
    let known = |name: &str| rpc.metadata.get(name).map(String::as_str);
    assert_eq!(known("responder"), Some("ann"));
    assert_eq!(known("surface"), Some("test"));
    assert_eq!(known("response"), Some("yes"));
    assert_eq!(daemon.get(id).await, answered);
}

#[tokio::test]
async fn the_same_response_by_the_same_responder_again_is_a_success_and_no_change() {
    let daemon = TestDaemon::start().await;
    let id = daemon.ask("Deploy?").await.id;
    let answered = daemon.respond(id, "yes").await.expect("the first");
    let again = daemon.respond(id, "yes").await.expect("the same");
    assert_eq!(again, answered);
    let by_another = RespondNotificationRequest {
        responder: "bob".into(),
        ..answer(id, "yes")
    };
    let error = soon(daemon.client().respond_notification(by_another))
        .await
        .expect_err("another responder");
    assert_eq!(error.reason(), ErrorReason::NotificationClosed);
}

#[tokio::test]
async fn the_same_request_id_again_is_a_success_whatever_it_says() {
    let daemon = TestDaemon::start().await;
    let id = daemon.ask("Deploy?").await.id;
    let request = RespondNotificationRequest {
        request_id: uuid(),
        ..answer(id, "yes")
    };
    let client = daemon.client();
    let first = soon(client.respond_notification(request.clone()))
        .await
        .expect("the first");
    let again = soon(client.respond_notification(request))
        .await
        .expect("again");
    assert_eq!(again, first);
}

/// Whoever loses a race hears who won it, and what is stored is what the winner said.
#[tokio::test]
async fn of_two_responders_at_once_one_wins() {
    let daemon = TestDaemon::start().await;
    let other = daemon.connect().await;
    for round in 0..20 {
        let id = daemon.ask(&format!("Round {round}")).await.id;
        let mine = RespondNotificationRequest {
            responder: "bob".into(),
            ..answer(id, "no")
        };
        let (ann, bob) = tokio::join!(daemon.respond(id, "yes"), other.respond_notification(mine));
        let (winner, loser) = match (ann, bob) {
            (Ok(winner), Err(loser)) | (Err(loser), Ok(winner)) => (winner, loser),
            (ann, bob) => panic!("not one winner: {ann:?} {bob:?}"),
        };
        assert_eq!(loser.reason(), ErrorReason::NotificationClosed);
        let response = daemon.get(id).await.response.expect("a response");
        assert_eq!(Some(&response), winner.response.as_ref());
        let metadata = &loser.rpc().expect("from the daemon").metadata;
        assert_eq!(metadata.get("responder"), Some(&response.responder));
        assert_eq!(metadata.get("response"), Some(&response.text));
    }
}

#[tokio::test]
async fn only_an_option_answers_where_free_text_is_not_allowed() {
    let daemon = TestDaemon::start().await;
    let client = daemon.client();
    let id = soon(client.create_notification(choice("Which?", &["red", "blue"])))
        .await
        .expect("created")
        .id;
    let both = RespondNotificationRequest {
        options: vec!["red".into(), "blue".into()],
        ..answer(id, "")
    };
    let wrong = [
        answer(id, "green"),
        answer(id, "Red"),
        both,
        RespondNotificationRequest {
            options: vec!["green".into()],
            ..answer(id, "")
        },
    ];
    for request in wrong {
        let error = soon(client.respond_notification(request))
            .await
            .expect_err("not allowed");
        assert_eq!(error.reason(), ErrorReason::ResponseNotAllowed);
        assert_eq!(error.rpc().map(|rpc| rpc.code), Some(Code::InvalidArgument));
    }
    assert_eq!(daemon.get(id).await.state(), NotificationState::Pending);
    let answered = daemon.respond(id, "blue").await.expect("an option");
    let response = answered.response.expect("a response");
    assert_eq!(response.options, ["blue"]);
    assert_eq!(response.text, "blue");
}

#[tokio::test]
async fn several_options_and_text_answer_where_both_are_allowed() {
    let daemon = TestDaemon::start().await;
    let client = daemon.client();
    let open = CreateNotificationRequest {
        allow_multiple: true,
        allow_text: true,
        ..choice("Toppings?", &["ham", "olives", "cheese"])
    };
    let id = soon(client.create_notification(open))
        .await
        .expect("created")
        .id;
    let request = RespondNotificationRequest {
        options: vec!["cheese".into(), "ham".into()],
        ..answer(id, "well done")
    };
    let answered = soon(client.respond_notification(request))
        .await
        .expect("allowed");
    let response = answered.response.expect("a response");
    assert_eq!(response.options, ["ham", "cheese"], "in the asker's order");
    assert!(response.text.contains("well done"), "{}", response.text);
}
