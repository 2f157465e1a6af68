use super::*;

fn refused<T: std::fmt::Debug>(result: Result<T>) -> String {
    match result {
        Err(Error::InvalidField { field, .. }) => field,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

fn round_trip<T: WireEnum + std::fmt::Debug>(highest: i32) {
    assert_eq!(i32::try_from(T::ALL.len()), Ok(highest));
    for value in T::ALL {
        assert_eq!(T::from_number(value.number()), Some(*value));
    }
    for number in [0, -1, highest + 1, i32::MIN, i32::MAX] {
        assert_eq!(T::from_number(number), None, "{number}");
    }
}

#[test]
fn every_vocabulary_has_the_values_of_its_enum() {
    round_trip::<NotificationType>(5);
    round_trip::<Priority>(4);
    round_trip::<State>(6);
    round_trip::<ChangeKind>(8);
}

#[test]
fn a_word_outside_the_vocabulary_is_unspecified_and_kept() {
    assert_eq!(to_word(Word::Known(State::Read)), (2, String::new()));
    let other = Word::<State>::Other("approved".to_owned());
    assert_eq!(to_word(other), (0, "approved".to_owned()));
}

#[test]
fn points_in_time_come_back_as_they_went() {
    for micros in [
        Timestamp::MIN.as_micros(),
        -1_000_001,
        -1,
        0,
        1,
        1_760_000_000_123_456,
        Timestamp::MAX.as_micros(),
    ] {
        let time = Timestamp::from_micros(micros).expect("in range");
        let wire = to_timestamp(time);
        assert!((0..NANOS_PER_SECOND).contains(&wire.nanos), "{wire:?}");
        assert_eq!(timestamp("t", wire).expect("valid"), time);
    }
}

#[test]
fn points_outside_the_calendar_are_refused() {
    for (seconds, nanos) in [
        (i64::MIN, 0),
        (i64::MAX, 999_999_999),
        (-62_135_596_801, 0),
        (253_402_300_800, 0),
        (0, -1),
        (0, 1_000_000_000),
        (0, i32::MIN),
        (0, i32::MAX),
    ] {
        let wire = prost_types::Timestamp { seconds, nanos };
        assert_eq!(refused(timestamp("expire_time", wire)), "expire_time");
    }
}

#[test]
fn spans_are_zero_or_more_and_within_the_wires_range() {
    let span = |seconds, nanos| prost_types::Duration { seconds, nanos };
    assert_eq!(
        duration("ttl", span(1, 500_000_000)).expect("valid"),
        Duration::from_millis(1_500)
    );
    assert_eq!(duration("ttl", span(0, 0)).expect("valid"), Duration::ZERO);
    assert!(duration("ttl", span(MAX_DURATION_SECONDS, 999_999_999)).is_ok());
    for (seconds, nanos) in [
        (-1, 0),
        (0, -1),
        (1, -1),
        (i64::MIN, i32::MIN),
        (i64::MAX, i32::MAX),
        (MAX_DURATION_SECONDS + 1, 0),
        (0, 1_000_000_000),
    ] {
        assert_eq!(refused(duration("ttl", span(seconds, nanos))), "ttl");
    }
}

#[test]
fn a_request_id_is_a_uuid_or_nothing() {
    assert_eq!(request_id("").expect("none"), None);
    let id = Uuid::from_u128(7);
    assert_eq!(request_id(&id.to_string()).expect("a UUID"), Some(id));
    for text in ["1", "not-a-uuid", "\0", &"é".repeat(36)] {
        assert_eq!(refused(request_id(text)), "request_id", "{text:?}");
    }
}

#[test]
fn a_filter_selects_values_in_one_order_and_words_outside_with_unspecified() {
    let wire = pb::NotificationFilter {
        states: vec![2, 1, 2, 0],
        agent: "a".to_owned(),
        ..Default::default()
    };
    let parsed = filter(Some(wire), Authority::Person).expect("valid");
    assert_eq!(parsed.states.values, [State::Pending, State::Read]);
    assert!(parsed.states.others);
    assert!(parsed.kinds.is_any());
    assert_eq!(
        filter(None, Authority::Person).expect("all"),
        Filter::default()
    );
}

#[test]
fn unknown_numbers_are_refused_with_their_place() {
    let wire = pb::NotificationFilter {
        priorities: vec![1, 99],
        ..Default::default()
    };
    assert_eq!(
        refused(filter(Some(wire), Authority::Person)),
        "filter.priorities[1]"
    );
    assert_eq!(refused(change_kinds(&[1, 0])), "kinds[1]");
    assert_eq!(refused(change_kinds(&[-5])), "kinds[0]");
    assert_eq!(refused(order(4)), "order");
}

#[test]
fn a_draft_needs_a_type_and_is_normal_unless_told_otherwise() {
    let question = pb::CreateNotificationRequest {
        r#type: 1,
        ..Default::default()
    };
    let parsed = draft(question.clone(), Authority::Person).expect("valid");
    assert_eq!(parsed.kind, NotificationType::Question);
    assert_eq!(parsed.priority, Priority::Normal);
    assert_eq!(parsed.expiration, None);
    assert_eq!(
        refused(draft(Default::default(), Authority::Person)),
        "type"
    );
    let urgent = pb::CreateNotificationRequest {
        priority: 5,
        ..question
    };
    assert_eq!(refused(draft(urgent, Authority::Person)), "priority");
}

#[test]
fn a_page_size_has_a_default_and_a_limit() {
    assert_eq!(page_size(0, 50, 1_000).expect("default"), 50);
    assert_eq!(page_size(7, 50, 1_000).expect("given"), 7);
    assert_eq!(page_size(i32::MAX, 50, 1_000).expect("clamped"), 1_000);
    assert_eq!(refused(page_size(-1, 50, 1_000)), "page_size");
    assert_eq!(refused(page_size(i32::MIN, 50, 1_000)), "page_size");
}
