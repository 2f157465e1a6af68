use proptest::prelude::*;

use super::super::testing::{any_report, at, log_of_a_call, report, span, span_of_a_call};
use super::super::usage::{Amount, Computed, Cost, NanoDollars, Tokens};
use super::super::{Facts, draft::Draft};
use super::*;

fn facts(draft: Draft) -> Facts {
    report(draft).facts().clone()
}

fn joined(facts: &[Facts]) -> Facts {
    let (first, rest) = facts.split_first().expect("at least one");
    let mut sum = first.clone();
    for other in rest {
        join(&mut sum, other);
    }
    sum
}

proptest! {
    #[test]
    fn any_order_gives_the_same_and_twice_is_once(
        reports in prop::collection::vec(any_report(), 1..6),
        seed in any::<prop::sample::Index>(),
    ) {
        let facts: Vec<Facts> = reports.iter().map(|report| report.facts().clone()).collect();
        let straight = joined(&facts);
        let mut turned = facts.clone();
        turned.rotate_left(seed.index(facts.len()));
        prop_assert_eq!(&joined(&turned), &straight);
        turned.reverse();
        prop_assert_eq!(&joined(&turned), &straight);
        let mut again = straight.clone();
        for one in &facts {
            prop_assert!(!join(&mut again, one), "{one:?} is news");
        }
        // In groups, as when two rows turn out to be one.
        let (left, right) = facts.split_at(seed.index(facts.len()));
        if !left.is_empty() {
            let mut groups = joined(right);
            join(&mut groups, &joined(left));
            prop_assert_eq!(&groups, &straight);
        }
    }
}

#[test]
fn the_span_says_when_and_where_and_the_log_what_it_cost() {
    let span_first = joined(&[facts(span_of_a_call("r")), facts(log_of_a_call("r"))]);
    let log_first = joined(&[facts(log_of_a_call("r")), facts(span_of_a_call("r"))]);
    assert_eq!(span_first, log_first);
    assert_eq!(
        (span_first.times.start, span_first.times.end),
        (at(0), Some(at(1)))
    );
    assert_eq!(span_first.place.span, Some(span("00f067aa0ba902b7")));
    assert_eq!(span_first.labels.name, "llm_request");
    assert_eq!(span_first.labels.session, "s-1", "only the log knows it");
    assert_eq!(
        span_first.usage.as_ref().map(|usage| usage.tokens.total()),
        Some(130_213)
    );
    assert_eq!(span_first.cost().total(), Some(NanoDollars(43_400_000)));
    assert_eq!(span_first.attributes.span, r#"{"from":"span"}"#);
    assert_eq!(span_first.attributes.log, r#"{"from":"log"}"#);
}

#[test]
fn tokens_of_the_span_go_before_those_of_the_log() {
    let mut span = span_of_a_call("r");
    span.tokens = Some(Tokens {
        input: 7,
        ..Tokens::default()
    });
    let sum = joined(&[facts(log_of_a_call("r")), facts(span)]);
    assert_eq!(sum.usage.map(|usage| usage.tokens.total()), Some(7));
}

#[test]
fn a_provided_cost_goes_before_a_computed_one_and_an_older_table_before_a_newer_one() {
    let computed = |table: &str, total| Computed {
        table: table.to_owned(),
        rule: "base".to_owned(),
        amount: Amount {
            total: NanoDollars(total),
            ..Amount::default()
        },
    };
    let priced = |computed_cost| {
        let mut draft = span_of_a_call("r");
        draft.tokens = Some(Tokens {
            input: 7,
            ..Tokens::default()
        });
        draft.computed_cost = Some(computed_cost);
        facts(draft)
    };
    let sum = joined(&[
        priced(computed("2025-11", 9)),
        priced(computed("2025-10", 4)),
    ]);
    assert_eq!(sum.cost(), Cost::Computed(&computed("2025-10", 4)));
    let sum = joined(&[sum, facts(log_of_a_call("r"))]);
    assert_eq!(sum.cost().total(), Some(NanoDollars(43_400_000)));
    assert!(matches!(sum.cost(), Cost::Provided(_)));
}

#[test]
fn an_aggregate_stays_one() {
    let mut aggregate = span_of_a_call("r");
    aggregate.counts = false;
    let sum = joined(&[facts(span_of_a_call("r")), facts(aggregate)]);
    assert!(!sum.counts);
}
