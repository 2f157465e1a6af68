//! What programs read: `--json`, in the names of proto3 JSON.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::home::Home;
use crate::program::Running;

fn keys(value: &Value) -> BTreeSet<&str> {
    value
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect()
}

/// A home with an answered question that has every field.
fn answered() -> Home {
    let home = Home::new();
    let mut ask = home.barista([
        "ask",
        "Deploy?",
        "--message",
        "Now",
        "--agent",
        "bot",
        "--no-wait",
    ]);
    ask.args([
        "--session",
        "s",
        "--project",
        "p",
        "--tag",
        "t",
        "--priority",
        "high",
        "--text",
    ])
    .args([
        "--option",
        "approve:Ship it",
        "--multiple",
        "--expires",
        "2h",
        "--default",
        "approve",
    ])
    .env("HOME", home.path());
    Running::start(&mut ask).end().with(0);
    home.run(["read", "1"]).with(0);
    home.run(["respond", "1", "-o", "approve"]).with(0);
    home
}

const NOTIFICATION: [&str; 21] = [
    "agent",
    "allowMultiple",
    "allowText",
    "closeTime",
    "closedBy",
    "createTime",
    "defaultResponse",
    "expireTime",
    "id",
    "message",
    "options",
    "priority",
    "project",
    "readTime",
    "response",
    "sequence",
    "session",
    "state",
    "tags",
    "title",
    "type",
];

#[test]
fn a_notification_has_the_names_of_the_api() {
    let home = answered();
    let mut expected = BTreeSet::from(NOTIFICATION);
    expected.insert("updateTime");
    let shown = home.run(["show", "1", "--json"]).with(0).json();
    assert_eq!(keys(&shown), BTreeSet::from(["events", "notification"]));
    let notification = &shown["notification"];
    assert_eq!(keys(notification), expected);
    assert_eq!(notification["id"], "1");
    assert_eq!(notification["state"], "NOTIFICATION_STATE_RESPONDED");
    assert_eq!(notification["priority"], "PRIORITY_HIGH");
    assert_eq!(notification["options"][0]["description"], "Ship it");
    let response = BTreeSet::from(["options", "respondTime", "responder", "surface", "text"]);
    assert_eq!(keys(&notification["response"]), response);
    let list = home.run(["inbox", "--all", "--json"]).with(0).json();
    assert_eq!(keys(&list), BTreeSet::from(["cursor", "notifications"]));
    assert_eq!(&list["notifications"][0], notification);
}

#[test]
fn an_event_has_the_names_of_the_api_and_the_notification_as_it_was() {
    let home = answered();
    let watch = home.start(["watch", "--since", "all", "--json"]);
    let events: Vec<Value> = (0..3)
        .map(|number| serde_json::from_str(&watch.stdout.line(number)).expect("JSON"))
        .collect();
    let of = |name: &str| {
        events
            .iter()
            .map(|event| event[name].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(of("sequence"), ["1", "2", "3"]);
    assert_eq!(
        of("kind"),
        [
            "CHANGE_KIND_CREATED",
            "CHANGE_KIND_READ",
            "CHANGE_KIND_RESPONDED"
        ]
    );
    assert_eq!(of("actor"), ["bot", "ann", "ann"]);
    let expected = [
        "actor",
        "kind",
        "notification",
        "sequence",
        "surface",
        "time",
    ];
    assert_eq!(keys(&events[0]), BTreeSet::from(expected));
    assert_eq!(
        events[0]["notification"]["state"],
        "NOTIFICATION_STATE_PENDING"
    );
    assert_eq!(events[1]["notification"].get("response"), None);
    let shown = home.run(["show", "1", "--json"]).with(0).json();
    assert_eq!(shown["events"], Value::Array(events));
}

#[test]
fn an_empty_inbox_is_an_empty_list() {
    let home = Home::new();
    let list = home.run(["inbox", "--json"]).with(0).json();
    assert_eq!(list["notifications"], serde_json::json!([]));
}

#[test]
fn the_status_says_who_serves_and_how_it_goes() {
    let home = Home::new();
    home.run(["notify", "Hello"]).with(0);
    let status = home.status();
    assert_eq!(
        keys(&status),
        BTreeSet::from(["consumers", "info", "status"])
    );
    assert_eq!(status["consumers"], serde_json::json!([]));
    let info = [
        "agentSocket",
        "authority",
        "backend",
        "build",
        "dataDir",
        "epoch",
        "pid",
        "protocolMax",
        "protocolMin",
        "socket",
        "startTime",
        "version",
    ];
    assert_eq!(keys(&status["info"]), BTreeSet::from(info));
    let database = &status["status"]["databases"][0];
    assert_eq!(database["name"], "notifications.db");
    assert_eq!(database["headSequence"], "1");
    assert_eq!(database["writable"], true);
    assert_eq!(status["status"]["openNotifications"], "1");
    let version = home.run(["version", "--json"]).with(0).json();
    assert_eq!(version["daemon"], status["info"]);
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn a_question_answered_with_json_is_one_line_of_it() {
    let home = Home::new();
    let asked = home.start(["ask", "Deploy?", "-o", "approve", "--json"]);
    home.run(["respond", &asked.question(), "approve"]).with(0);
    let answered = asked.end().with(0);
    assert_eq!(answered.stdout.lines().count(), 1);
    assert_eq!(answered.json()["response"]["text"], "approve");
}
