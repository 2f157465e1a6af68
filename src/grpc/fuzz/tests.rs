//! The targets with bytes drawn at random: nonsense, and messages that were once good.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use super::*;

/// How many inputs each target gets; `tests/run --long` tries more.
fn cases() -> u32 {
    if std::env::var_os("BARISTA_LONG").is_some() {
        1_000_000
    } else {
        5_000
    }
}

/// Good messages, to begin with.
fn corpus() -> Vec<Vec<u8>> {
    let create = pb::CreateNotificationRequest {
        request_id: "0190a6c1-7c4e-7d3b-9d1e-2f6a5b8c0d1e".into(),
        r#type: 1,
        priority: 2,
        title: "Deploy?".into(),
        message: "Now".into(),
        context: "{\"a\": [1, {}]}".into(),
        tags: vec!["a".into(), "b".into()],
        options: vec![option("yes"), option("no")],
        allow_text: true,
        expiration: Some(pb::create_notification_request::Expiration::Ttl(
            prost_types::Duration {
                seconds: 60,
                nanos: 1,
            },
        )),
        default_response: "yes".into(),
        ..Default::default()
    };
    let filter = pb::NotificationFilter {
        types: vec![1, 2],
        states: vec![0, 1, 6],
        agent: "a".into(),
        ..Default::default()
    };
    let key = PageKey { rank: 1, id: 7 };
    let token = Scope::consumers().encode(Some(key));
    let list = pb::ListNotificationsRequest {
        filter: Some(filter.clone()),
        order: 2,
        page_size: 10,
        page_token: token.clone(),
    };
    let watch = pb::WatchNotificationsRequest {
        filter: Some(filter),
        kinds: vec![1, 8],
        after: Some(pb::Cursor {
            epoch: "e".into(),
            sequence: 3,
        }),
        ..Default::default()
    };
    let timeout = Some(prost_types::Duration {
        seconds: 5,
        nanos: 0,
    });
    let wait = pb::WaitNotificationRequest { id: 1, timeout };
    vec![
        create.encode_to_vec(),
        list.encode_to_vec(),
        watch.encode_to_vec(),
        wait.encode_to_vec(),
        token.into_bytes(),
        Vec::new(),
    ]
}

fn option(name: &str) -> pb::Option {
    pb::Option {
        name: name.into(),
        description: String::new(),
    }
}

/// One change of some bytes.
#[derive(Debug, Clone)]
enum Edit {
    Set(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    Cut(Index),
}

fn edit() -> impl Strategy<Value = Edit> {
    // What often matters: the ends of ranges, unfinished numbers, what UTF-8 never holds, and the digits of a token.
    let telling: Vec<Vec<u8>> = vec![
        vec![0],
        vec![0xff],
        vec![0x7f],
        vec![0x80; 10],
        vec![0xff; 9],
        b"0".to_vec(),
        b"F".to_vec(),
        b"\n".to_vec(),
        "\u{202e}".as_bytes().to_vec(),
    ];
    prop_oneof![
        4 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Edit::Set(at, byte)),
        2 => (any::<Index>(), select(telling)).prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        2 => (any::<Index>(), 1..20_usize).prop_map(|(at, count)| Edit::Remove(at, count)),
        1 => any::<Index>().prop_map(Edit::Cut),
    ]
}

fn edited(mut bytes: Vec<u8>, edits: &[Edit]) -> Vec<u8> {
    for edit in edits {
        match edit {
            Edit::Set(at, byte) if !bytes.is_empty() => {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            Edit::Set(..) => {}
            Edit::Insert(at, more) => {
                let at = at.index(bytes.len() + 1);
                bytes.splice(at..at, more.iter().copied());
            }
            Edit::Remove(at, count) => {
                let at = at.index(bytes.len() + 1);
                let end = bytes.len().min(at + count);
                bytes.drain(at..end);
            }
            Edit::Cut(at) => {
                let at = at.index(bytes.len() + 1);
                bytes.truncate(at);
            }
        }
    }
    bytes
}

fn inputs() -> impl Strategy<Value = Vec<u8>> {
    let spoilt = (select(corpus()), vec(edit(), 0..6));
    prop_oneof![
        1 => vec(any::<u8>(), 0..200),
        4 => spoilt.prop_map(|(bytes, edits)| edited(bytes, &edits)),
    ]
}

/// Fails, for example, when `page_token::hex_digit` takes capitals too, or `draft::line` lets a line break through. The input that is
/// printed is the shortest found that still fails.
#[test]
fn whatever_comes_is_refused_by_its_field_or_keeps_the_limits() {
    for (name, target) in TARGETS {
        for good in corpus() {
            target(&good);
        }
        let config = Config {
            cases: cases(),
            failure_persistence: None,
            ..Config::default()
        };
        let outcome = TestRunner::new(config).run(&inputs(), |bytes| {
            target(&bytes);
            Ok::<(), TestCaseError>(())
        });
        if let Err(error) = outcome {
            panic!("{name}: {error}");
        }
    }
}
