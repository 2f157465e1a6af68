//! What every store must do about lists.

use super::*;

pub(crate) async fn lists_have_every_order_and_no_duplicates_across_pages(store: Store) {
    let mut expected = Vec::new();
    for index in 0..30 {
        let priority = [
            Priority::Low,
            Priority::Critical,
            Priority::Normal,
            Priority::High,
        ][index % 4];
        let id = create(
            &store,
            Draft {
                priority,
                ..question("list")
            },
        )
        .await
        .id;
        expected.push((index, id));
    }
    let oldest: Vec<i64> = expected.iter().map(|(_, id)| *id).collect();
    let newest: Vec<i64> = oldest.iter().rev().copied().collect();
    let urgent: Vec<i64> = [1, 3, 2, 0]
        .iter()
        .flat_map(|rank| expected.iter().filter(move |(index, _)| index % 4 == *rank))
        .map(|(_, id)| *id)
        .collect();
    let open = Filter {
        states: Selection {
            values: vec![State::Pending, State::Read],
            others: false,
        },
        ..Filter::default()
    };
    for id in [oldest[3], oldest[4], oldest[17]] {
        store
            .transition(change(id, Transition::Read), call(1))
            .await
            .expect("read");
    }
    for filter in [Filter::default(), open] {
        for size in [1, 7, 29, 30, 31] {
            let list = |order| ListQuery {
                filter: filter.clone(),
                order,
                size,
                after: None,
            };
            assert_eq!(ids(&store, list(Order::OldestFirst)).await, oldest);
            assert_eq!(ids(&store, list(Order::NewestFirst)).await, newest);
            assert_eq!(ids(&store, list(Order::MostUrgentFirst)).await, urgent);
        }
    }
}

pub(crate) async fn filters_choose_by_every_field(store: Store) {
    let base = create(&store, question("base")).await.id;
    let info = Draft {
        kind: NotificationType::Info,
        agent: "other".to_owned(),
        ..question("info")
    };
    let info = create(&store, info).await.id;
    store
        .transition(change(info, Transition::Dismiss), call(1))
        .await
        .expect("dismissed");
    let filtered = async |filter: Filter| {
        ids(
            &store,
            ListQuery {
                filter,
                ..everything(10)
            },
        )
        .await
    };
    let agent = Filter {
        agent: "other".to_owned(),
        ..Filter::default()
    };
    assert_eq!(filtered(agent).await, [info]);
    let questions = Selection {
        values: vec![NotificationType::Question],
        others: false,
    };
    assert_eq!(
        filtered(Filter {
            kinds: questions,
            ..Filter::default()
        })
        .await,
        [base]
    );
    let dismissed = Selection {
        values: vec![State::Dismissed],
        others: false,
    };
    assert_eq!(
        filtered(Filter {
            states: dismissed,
            ..Filter::default()
        })
        .await,
        [info]
    );
    let others = Selection {
        values: Vec::new(),
        others: true,
    };
    assert!(
        filtered(Filter {
            states: others,
            ..Filter::default()
        })
        .await
        .is_empty()
    );
    let nobody = Filter {
        session: "nobody".to_owned(),
        ..Filter::default()
    };
    assert!(filtered(nobody).await.is_empty());
}

pub(crate) async fn a_page_key_beyond_the_end_is_an_empty_page(store: Store) {
    create(&store, question("one")).await;
    for order in [Order::OldestFirst, Order::MostUrgentFirst] {
        let after = Some(PageKey {
            rank: u8::MAX,
            id: i64::MAX,
        });
        let page = store
            .list(ListQuery {
                order,
                after,
                ..everything(5)
            })
            .await
            .expect("a page");
        assert!(page.notifications.is_empty() && page.next.is_none());
    }
}

pub(crate) async fn open_notifications_are_counted_up_to_a_limit(store: Store) {
    for _ in 0..5 {
        create(&store, question("count")).await;
    }
    store
        .transition(change(1, Transition::Cancel), call(1))
        .await
        .expect("cancelled");
    assert_eq!(store.count_open(10).await.expect("a count"), 4);
    assert_eq!(store.count_open(3).await.expect("a count"), 3);
}
