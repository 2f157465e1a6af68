//! What every store of telemetry must do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::domain::clock::{Clock, Timestamp};
use crate::domain::error::Error;
use crate::domain::forgetting::{Forgetting, Policy};
use crate::domain::hourly::{Hourly, HourlyKey, Totals};
use crate::domain::notification::store::Call;
use crate::domain::observation::draft::{Draft, Report};
use crate::domain::observation::store::{
    Forget, ObservationChangeKind, ObservationFilter, Outcome, PageQuery, TelemetryStore,
    TraceFilter,
};
use crate::domain::observation::testing::{at, log_of_a_call, report, span, span_of_a_call, trace};
use crate::domain::observation::usage::NanoDollars;
use crate::domain::observation::{Facts, Level, Observation, ObservationKind, Source};

/// A store under test.
pub(crate) type Store = Arc<dyn TelemetryStore>;

/// All hours.
const EVER: std::ops::Range<i64> = i64::MIN..i64::MAX;

fn call() -> Call {
    Call {
        now: at(0),
        deadline: None,
    }
}

/// Runs every case, each on a store of its own that `fresh` makes.
pub(crate) async fn run(fresh: impl Fn() -> Store) {
    what_is_recorded_comes_back(&fresh()).await;
    the_same_again_changes_nothing(&fresh()).await;
    span_and_log_become_one_row_in_either_order(&fresh).await;
    a_third_report_makes_two_rows_one(&fresh()).await;
    a_trace_has_its_tree_and_its_sums(&fresh()).await;
    pages_show_everything_once(&fresh()).await;
    the_journal_tells_every_change(&fresh()).await;
    what_is_forgotten_leaves_nothing_behind(&fresh()).await;
}

/// Records drafts, and returns what became of them.
pub(crate) async fn record(store: &Store, drafts: Vec<Draft>) -> Vec<Outcome> {
    record_reports(store, drafts.into_iter().map(report).collect()).await
}

/// Records reports, and returns what became of them.
pub(crate) async fn record_reports(store: &Store, reports: Vec<Report>) -> Vec<Outcome> {
    let recorded = store.record(reports, call()).await.expect("recorded");
    recorded
        .into_iter()
        .map(|recorded| recorded.outcome)
        .collect()
}

/// Everything in the store.
pub(crate) async fn all(store: &Store) -> Vec<Observation> {
    let mut query = PageQuery {
        filter: ObservationFilter::default(),
        size: 7,
        after: None,
    };
    let mut found = Vec::new();
    loop {
        let page = store.observations(query.clone()).await.expect("a page");
        for observation in page.items {
            found.push(store.observation(observation.id).await.expect("whole"));
        }
        match page.next {
            Some(next) => query.after = Some(next),
            None => return found,
        }
    }
}

/// What is known about each observation, in an order that does not depend on how it came.
pub(crate) async fn facts(store: &Store) -> BTreeMap<String, Facts> {
    let key = |facts: &Facts| format!("{:?} {:?}", facts.spans, facts.request_ids);
    let all = all(store).await;
    all.into_iter()
        .map(|observation| (key(&observation.facts), observation.facts))
        .collect()
}

/// Checks that the sums are those of the rows.
pub(crate) async fn check_sums(store: &Store) {
    let mut expected: BTreeMap<HourlyKey, Totals> = BTreeMap::new();
    for observation in all(store).await {
        let totals = expected
            .entry(HourlyKey::of(&observation.facts))
            .or_default();
        totals.add(&Totals::of(&observation.facts));
    }
    let read = |sums: Vec<Hourly>| -> BTreeMap<HourlyKey, Totals> {
        sums.into_iter()
            .map(|hourly| (hourly.key, hourly.totals))
            .collect()
    };
    let kept = read(store.hourly(EVER).await.expect("sums"));
    assert_eq!(kept, expected);
    store.rebuild_hourly(call()).await.expect("rebuilt");
    assert_eq!(read(store.hourly(EVER).await.expect("sums")), expected);
}

async fn what_is_recorded_comes_back(store: &Store) {
    let mut draft = log_of_a_call("r");
    draft.trace_id = Some(trace("a trace that is no number"));
    draft.parent_id = Some(span("a parent"));
    draft.level = Level::Error;
    draft.status_message = "overloaded".to_owned();
    draft.input = Some("a question ".repeat(100));
    draft.output = Some("an answer".to_owned());
    draft.completion_start_time = Some(at(4));
    draft.labels.prompt_version = "7".to_owned();
    let report = report(draft);
    let recorded = store
        .record(vec![report.clone()], call())
        .await
        .expect("recorded");
    let found = store.observation(recorded[0].id).await.expect("there");
    assert_eq!(&found.facts, report.facts());
    assert_eq!(
        found.facts.place.trace.map(|id| id.to_string()).as_deref(),
        Some("a trace that is no number")
    );
    let missing = store.observation(99).await;
    assert!(matches!(
        missing,
        Err(Error::ObservationNotFound { id: 99 })
    ));
    check_sums(store).await;
}

async fn the_same_again_changes_nothing(store: &Store) {
    let mut anonymous = log_of_a_call("");
    anonymous.labels.name = "no id at all".to_owned();
    let drafts = || vec![span_of_a_call("r"), log_of_a_call("r"), anonymous.clone()];
    let first = record(store, drafts()).await;
    assert_eq!(first, [Outcome::Stored, Outcome::Merged, Outcome::Stored]);
    let (before, bounds) = (all(store).await, store.bounds().await.expect("bounds"));
    let again = record(store, drafts()).await;
    assert_eq!(again, [Outcome::Duplicate; 3]);
    assert_eq!(all(store).await, before);
    assert_eq!(
        store.bounds().await.expect("bounds"),
        bounds,
        "nothing happened"
    );
    check_sums(store).await;
}

async fn span_and_log_become_one_row_in_either_order(fresh: &impl Fn() -> Store) {
    let (one, other) = (fresh(), fresh());
    record(&one, vec![span_of_a_call("r"), log_of_a_call("r")]).await;
    record(&other, vec![log_of_a_call("r")]).await;
    record(&other, vec![span_of_a_call("r")]).await;
    let (one_row, other_row) = (facts(&one).await, facts(&other).await);
    assert_eq!(one_row, other_row);
    assert_eq!(one_row.len(), 1);
    let sums = one.hourly(EVER).await.expect("sums");
    assert_eq!(sums.len(), 1);
    assert_eq!(
        (sums[0].totals.observations, sums[0].totals.cost),
        (1, 43_400_000)
    );
    check_sums(&one).await;
    check_sums(&other).await;
}

/// A span without a request id and a log with one are two, until a report has both.
async fn a_third_report_makes_two_rows_one(store: &Store) {
    record(store, vec![span_of_a_call(""), log_of_a_call("r")]).await;
    assert_eq!(all(store).await.len(), 2);
    let outcome = record(store, vec![span_of_a_call("r")]).await;
    assert_eq!(outcome, [Outcome::Merged]);
    let left = all(store).await;
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].facts.cost().total(), Some(NanoDollars(43_400_000)));
    check_sums(store).await;
    // Another span of the same request is another name of the same row.
    let mut second = span_of_a_call("r");
    second.span_id = Some(span("00f067aa0ba902b8"));
    assert_eq!(record(store, vec![second.clone()]).await, [Outcome::Merged]);
    second.request_id = String::new();
    assert_eq!(record(store, vec![second]).await, [Outcome::Duplicate]);
    assert_eq!(all(store).await.len(), 1);
    check_sums(store).await;
}

async fn a_trace_has_its_tree_and_its_sums(store: &Store) {
    let mut root = Draft::new(Source::Span, ObservationKind::Agent, at(-10));
    root.trace_id = span_of_a_call("").trace_id;
    root.span_id = Some(span("00000000000000aa"));
    root.end_time = Some(at(20));
    root.labels.name = "fix the bug".to_owned();
    root.trace.tags = BTreeSet::from(["ci".to_owned()]);
    root.trace.metadata.insert("k".to_owned(), "1".to_owned());
    root.counts = false;
    root.tokens = log_of_a_call("").tokens;
    let mut child = span_of_a_call("r");
    child.parent_id = Some(span("00000000000000aa"));
    child.trace.session = "s-9".to_owned();
    record(store, vec![child, root.clone(), log_of_a_call("r")]).await;
    let id = root.trace_id.expect("a trace");
    let tree = store.trace(id.clone(), 10).await.expect("a tree");
    assert!(!tree.truncated);
    let names: Vec<&str> = tree
        .observations
        .iter()
        .map(|o| o.facts.labels.name.as_str())
        .collect();
    assert_eq!(names, ["fix the bug", "llm_request"]);
    let found = tree.trace;
    assert_eq!(found.facts.name, "fix the bug", "by its root");
    assert_eq!(found.facts.session, "s-9");
    assert_eq!(
        (found.facts.tags, found.facts.metadata),
        (root.trace.tags, root.trace.metadata)
    );
    assert_eq!((found.start_time, found.end_time), (at(-10), Some(at(20))));
    assert_eq!((found.observations, found.errors), (2, 0));
    assert_eq!(
        found.tokens.total(),
        130_213,
        "the aggregate does not count"
    );
    assert_eq!(found.cost, NanoDollars(43_400_000));
    assert!(store.trace(id, 1).await.expect("a tree").truncated);
    let missing = store.trace(trace("none"), 1).await;
    assert!(matches!(missing, Err(Error::TraceNotFound { id }) if id == "none"));
}

/// Twenty observations, three to a trace, and two and two at the same moment.
async fn record_twenty(store: &Store) {
    let draft = |number: i64| {
        let mut draft = span_of_a_call("");
        draft.trace_id = Some(trace(&format!("trace {}", number / 3)));
        draft.span_id = Some(span(&format!("span {number}")));
        draft.start_time = at(number / 2);
        draft.end_time = None;
        draft.labels.agent = if number % 2 == 0 { "even" } else { "odd" }.to_owned();
        draft
    };
    record(store, (0..20).map(draft).collect()).await;
}

/// Filters, with how many of the twenty they let through.
fn filters() -> Vec<(usize, ObservationFilter)> {
    let any = ObservationFilter::default;
    let agent = |name: &str| ObservationFilter {
        agent: name.to_owned(),
        ..any()
    };
    let model = ObservationFilter {
        model: "claude-sonnet-4-5".to_owned(),
        ..any()
    };
    let one_trace = ObservationFilter {
        trace: Some(trace("trace 2")),
        ..any()
    };
    let tools = ObservationFilter {
        kinds: vec![ObservationKind::Tool],
        ..any()
    };
    let usual = ObservationFilter {
        levels: vec![Level::Default],
        ..any()
    };
    let two_seconds = ObservationFilter {
        start: Some(at(2)),
        end: Some(at(4)),
        ..any()
    };
    vec![
        (10, agent("even")),
        (0, agent("nobody")),
        (20, model),
        (3, one_trace),
        (0, tools),
        (20, usual),
        (4, two_seconds),
    ]
}

async fn pages_show_everything_once(store: &Store) {
    record_twenty(store).await;
    let found = all(store).await;
    let ids: BTreeSet<i64> = found.iter().map(|observation| observation.id).collect();
    assert_eq!((found.len(), ids.len()), (20, 20));
    assert!(found.is_sorted_by_key(|o| std::cmp::Reverse((o.facts.times.start, o.id))));
    for (expected, filter) in filters() {
        let matching = found.iter().filter(|o| filter.matches(o)).count();
        assert_eq!(matching, expected, "{filter:?}");
        let query = PageQuery {
            filter: filter.clone(),
            size: 100,
            after: None,
        };
        let page = store.observations(query).await.expect("a page");
        assert_eq!(page.items.len(), expected, "{filter:?}");
    }
    let mut query = PageQuery {
        filter: TraceFilter::default(),
        size: 2,
        after: None,
    };
    let mut traces = BTreeSet::new();
    loop {
        let page = store.traces(query.clone()).await.expect("a page");
        traces.extend(page.items.into_iter().map(|trace| trace.id));
        match page.next {
            Some(next) => query.after = Some(next),
            None => break,
        }
    }
    assert_eq!(traces.len(), 7);
}

async fn the_journal_tells_every_change(store: &Store) {
    let start = store.bounds().await.expect("bounds");
    assert_eq!((start.head, start.oldest), (0, 1));
    record(store, vec![span_of_a_call(""), log_of_a_call("r")]).await;
    record(store, vec![span_of_a_call("r")]).await;
    let changes = store.changes_after(0, 100).await.expect("changes");
    let kinds: Vec<_> = changes
        .iter()
        .map(|change| (change.sequence, change.id, change.kind))
        .collect();
    let expected = [
        (1, 1, ObservationChangeKind::Stored),
        (2, 2, ObservationChangeKind::Stored),
        (3, 2, ObservationChangeKind::Deleted),
        (4, 1, ObservationChangeKind::Merged),
    ];
    assert_eq!(kinds, expected);
    assert_eq!(*store.head().await.expect("a head").borrow(), 4);
    assert!(changes[0].observation.is_some() && changes[1].observation.is_none());
    let rest = store.changes_after(3, 100).await.expect("changes");
    assert_eq!(rest.len(), 1);
    let ahead = store.changes_after(5, 100).await;
    assert!(
        matches!(ahead, Err(Error::UnknownCursor { .. })),
        "{ahead:?}"
    );
    let gone = store
        .forget(Forget::Journal { through: 99 }, 100, call())
        .await
        .expect("gone");
    assert_eq!(gone, 3, "the last one stays");
    let compacted = store.changes_after(0, 100).await;
    assert!(
        matches!(compacted, Err(Error::SequenceCompacted { after: 0, bounds }) if bounds.oldest == 4)
    );
    record(store, vec![log_of_a_call("other")]).await;
    assert_eq!(store.bounds().await.expect("bounds").head, 5);
}

struct Later(Timestamp);

impl Clock for Later {
    fn now(&self) -> Timestamp {
        self.0
    }
}

async fn what_is_forgotten_leaves_nothing_behind(store: &Store) {
    let mut later = span_of_a_call("later");
    later.trace_id = Some(trace("later"));
    later.start_time = at(30);
    later.end_time = None;
    record(store, vec![span_of_a_call("r"), log_of_a_call("r"), later]).await;
    let payloads = Forget::Payloads { before: at(10) };
    assert_eq!(store.forget(payloads, 10, call()).await.expect("gone"), 1);
    assert_eq!(store.forget(payloads, 10, call()).await.expect("gone"), 0);
    let stripped = facts(store).await;
    assert_eq!(
        stripped
            .values()
            .filter(|facts| facts.attributes.span.is_empty())
            .count(),
        1
    );
    let observations = Forget::Observations { before: at(10) };
    assert_eq!(
        store.forget(observations, 10, call()).await.expect("gone"),
        1
    );
    assert_eq!(all(store).await.len(), 1);
    let id = span_of_a_call("").trace_id.expect("a trace");
    assert!(matches!(
        store.trace(id, 1).await,
        Err(Error::TraceNotFound { .. })
    ));
    check_sums(store).await;
    let policy = Policy {
        observations_max_age: Some(Duration::from_secs(60)),
        payloads_max_age: None,
        journal_max_events: 2,
    };
    let hour = Duration::from_secs(3_600);
    let later = Arc::new(Later(at(100)));
    let forgetting = Forgetting::new(Arc::clone(store), later, policy, hour);
    let forgotten = forgetting.apply().await.expect("forgotten");
    assert_eq!((forgotten.observations, forgotten.payloads), (1, 0));
    let bounds = store.bounds().await.expect("bounds");
    assert_eq!(bounds.head - bounds.oldest, 1, "two changes are kept");
    assert_eq!(all(store).await.len(), 0);
    // It can be recorded again, under the same names, as something new.
    assert_eq!(
        record(store, vec![span_of_a_call("r")]).await,
        [Outcome::Stored]
    );
    check_sums(store).await;
}
