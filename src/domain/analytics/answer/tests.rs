use super::*;

fn sum(bucket: usize, name: &str, kind: ObservationKind, failed: bool, cost: i64) -> Sum {
    let mut tokens = [0; Tokens::BUCKETS];
    (tokens[0], tokens[1], tokens[5]) = (cost / 2, cost / 2, 10);
    Sum {
        bucket,
        names: vec![name.to_owned()],
        kind,
        failed,
        totals: Totals {
            observations: 2,
            tokens,
            cost,
            ..Totals::default()
        },
    }
}

#[test]
fn the_cheapest_groups_are_told_together() {
    let call = ObservationKind::Generation;
    let sums = [
        sum(0, "a", call, false, 100),
        sum(2, "a", call, true, 30),
        sum(0, "b", call, false, 500),
        sum(2, "c", ObservationKind::Tool, false, 0),
    ];
    let usage = usage(&sums, 3, 2);
    let names: Vec<&str> = usage
        .groups
        .iter()
        .map(|group| group.names[0].as_str())
        .collect();
    assert_eq!(names, ["b", "a"]);
    assert_eq!(usage.groups[1].figures.cost, 130);
    assert_eq!((usage.other_groups, usage.others.observations), (1, 2));
    assert_eq!(
        (
            usage.total.cost,
            usage.total.calls,
            usage.total.failed_calls
        ),
        (630, 6, 2)
    );
    assert_eq!(usage.buckets[1], Bucket::default(), "an empty one is there");
    assert_eq!(usage.buckets[2].groups.keys().collect::<Vec<_>>(), [&1]);
    assert_eq!(usage.buckets[2].others.observations, 2);
    for bucket in &usage.buckets {
        let mut parts = bucket.others;
        bucket
            .groups
            .values()
            .for_each(|figures| parts.merge(figures));
        assert_eq!(parts, bucket.total);
    }
}

#[test]
fn ratios_are_absent_where_nobody_knows() {
    let mut figures = Figures::default();
    assert_eq!(figures.cost_per_call(), None);
    assert_eq!(figures.error_rate(), None);
    assert_eq!(figures.cache_hit_rate(), None);
    figures.add(
        ObservationKind::Generation,
        false,
        &sum(0, "a", ObservationKind::Generation, false, 5).totals,
    );
    assert_eq!(figures.cost_per_call(), Some(2), "half to even");
    assert_eq!(figures.cost_per_1000_output_tokens(), Some(500));
    assert_eq!(figures.cache_hit_rate(), Some(0.5));
    figures.unknown_costs = 1;
    assert_eq!(
        figures.cost_per_call(),
        Some(5),
        "over those that have a cost"
    );
    assert_eq!(figures.cost_per_1000_output_tokens(), None);
    figures.unknown_costs = 2;
    assert_eq!(figures.cost_per_call(), None);
}

#[test]
fn averages_are_rounded_half_to_even() {
    let halves =
        [(1, 2), (3, 2), (5, 2), (-1, 2), (7, 3)].map(|(sum, count)| divided(sum, 1, count));
    assert_eq!(halves, [0, 2, 2, 0, 2].map(Some));
    assert_eq!(divided(i64::MAX, 1_000, 1), None);
}

#[test]
fn only_what_fails_is_told_of_with_the_worst_first() {
    let (call, tool) = (ObservationKind::Generation, ObservationKind::Tool);
    let sums = [
        sum(0, "a", call, false, 1),
        sum(0, "a", call, true, 1),
        sum(0, "b", call, false, 1),
        sum(0, "b", tool, true, 1),
        sum(1, "b", tool, true, 1),
    ];
    let failures = failures(&sums);
    let told: Vec<_> = failures
        .iter()
        .map(|failures| {
            (
                failures.names[0].as_str(),
                failures.kind,
                failures.figures.errors,
                failures.figures.observations,
            )
        })
        .collect();
    assert_eq!(told, [("b", tool, 4, 4), ("a", call, 2, 4)]);
}

#[test]
fn a_comparison_adds_distributions() {
    let mut slow = sum(0, "a", ObservationKind::Generation, false, 1);
    slow.totals.latency.record(2_000_000);
    let mut fast = sum(0, "b", ObservationKind::Generation, false, 2);
    fast.totals.latency.record(1_000);
    let compared = comparison(vec![slow, fast], 1);
    assert_eq!((compared.groups.len(), compared.other_groups), (1, 1));
    assert_eq!(compared.groups[0].names, ["b"]);
    assert_eq!(compared.total.latency.count(), 2);
    assert_eq!(compared.groups[0].latency.count(), 1);
}
