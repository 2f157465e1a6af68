//! From a row of an observation to what it means, and back.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row};

use super::pack;
use super::words::{Dictionary, Words};
use crate::domain::clock::Timestamp;
use crate::domain::observation::id::{SpanId, SpanKey, TraceId};
use crate::domain::observation::merge::FieldSet;
use crate::domain::observation::usage::{Amount, Computed, NanoDollars, Tokens};
use crate::domain::observation::{
    Attributes, Facts, Labels, Level, Observation, ObservationKind, Place, Times, Usage,
};
use crate::domain::word::Vocabulary;

/// The columns of an observation but for its id, in the order of [`encode`] and [`decode`].
pub(super) const COLUMNS: [&str; 41] = [
    "trace",
    "span",
    "span_text",
    "parent",
    "parent_text",
    "kind",
    "level",
    "name",
    "model_requested",
    "model_responded",
    "provider",
    "agent",
    "project",
    "session",
    "user",
    "prompt_name",
    "prompt_version",
    "status_message",
    "start_us",
    "end_us",
    "first_token_us",
    "input",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "audio_input",
    "output",
    "reasoning",
    "audio_output",
    "provided_cost",
    "provided_input_cost",
    "provided_output_cost",
    "computed_cost",
    "computed_input_cost",
    "computed_output_cost",
    "price_table",
    "price_rule",
    "counts",
    "from_log",
    "request_id",
    "seq",
];

const KIND: usize = 5;
const LEVEL: usize = 6;
const LABELS: usize = 7;
const STATUS: usize = 17;
const START: usize = 18;
const TOKENS: usize = 21;
const PROVIDED: usize = 29;
const COMPUTED: usize = 32;
const PRICE: usize = 35;
const COUNTS: usize = 37;
const REQUEST: usize = 39;
const SEQUENCE: usize = 40;
/// Behind the columns of an observation in [`SELECT`].
const ID: usize = 41;
const TRACE_BYTES: usize = 42;
const TRACE_TEXT: usize = 43;

/// Reads observations with the ids of their traces; a condition follows.
pub(super) static SELECT: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {}, o.id, t.trace, t.trace_text
           FROM telemetry_observations o LEFT JOIN telemetry_traces t ON t.id = o.trace",
        super::super::row::columns("o", &COLUMNS)
    )
});
static BY_ID: LazyLock<String> = LazyLock::new(|| format!("{} WHERE o.id = ?1", *SELECT));

/// The number of the span with this id in the index.
pub(super) fn span_number(id: &SpanId) -> i64 {
    i64::from_be_bytes(*id.as_bytes())
}

/// A word of a vocabulary as a number: its rank.
fn rank<T: Vocabulary>(word: T) -> i64 {
    let rank = T::ALL.iter().position(|other| *other == word);
    i64::try_from(rank.unwrap_or(0)).unwrap_or(0)
}

/// The word of this rank, or `other` where there is none.
fn ranked<T: Vocabulary>(rank: i64, other: T) -> T {
    let rank = usize::try_from(rank).ok();
    rank.and_then(|rank| T::ALL.get(rank))
        .copied()
        .unwrap_or(other)
}

/// The number of a kind in the database.
pub(super) fn kind_number(kind: ObservationKind) -> i64 {
    rank(kind)
}

/// The kind with this number.
pub(super) fn numbered_kind(number: i64) -> ObservationKind {
    ranked(number, ObservationKind::Span)
}

/// Whether the level with this number is that of a failure.
pub(super) fn is_failed(level: i64) -> bool {
    ranked(level, Level::Default) == Level::Error
}

fn optional<T: Into<Value>>(value: Option<T>) -> Value {
    value.map_or(Value::Null, Into::into)
}

fn text(value: &str) -> Value {
    optional((!value.is_empty()).then(|| value.to_owned()))
}

/// The columns of `facts` in trace number `trace`, last changed by `sequence`.
pub(super) fn encode(
    connection: &Connection,
    words: &mut Words,
    facts: &Facts,
    trace: Option<i64>,
    sequence: i64,
) -> rusqlite::Result<[Value; COLUMNS.len()]> {
    let mut columns = [const { Value::Null }; COLUMNS.len()];
    let place = &facts.place;
    let id_text = |id: &Option<SpanId>| {
        let text = id.as_ref().and_then(SpanId::text);
        optional(text.map(str::to_owned))
    };
    columns[0] = optional(trace);
    columns[1] = optional(place.span.as_ref().map(span_number));
    columns[2] = id_text(&place.span);
    columns[3] = optional(place.parent.as_ref().map(span_number));
    columns[4] = id_text(&place.parent);
    columns[KIND] = rank(facts.kind).into();
    columns[LEVEL] = rank(facts.level).into();
    for (column, label) in columns[LABELS..].iter_mut().zip(facts.labels.all()) {
        *column = optional(words.number(connection, label)?);
    }
    columns[STATUS] = text(&facts.status_message);
    let times = &facts.times;
    let times = [Some(times.start), times.end, times.completion_start];
    for (column, time) in columns[START..].iter_mut().zip(times) {
        *column = optional(time.map(Timestamp::as_micros));
    }
    encode_usage(connection, words, facts, &mut columns)?;
    columns[COUNTS] = i64::from(facts.counts).into();
    columns[COUNTS + 1] = i64::from(facts.from_log.bits()).into();
    columns[REQUEST] = optional(facts.request_ids.first().cloned());
    columns[SEQUENCE] = sequence.into();
    Ok(columns)
}

fn encode_usage(
    connection: &Connection,
    words: &mut Words,
    facts: &Facts,
    columns: &mut [Value; COLUMNS.len()],
) -> rusqlite::Result<()> {
    let mut amount = |first: usize, amount: &Amount| {
        columns[first] = amount.total.0.into();
        columns[first + 1] = optional(amount.input.map(|nanos| nanos.0));
        columns[first + 2] = optional(amount.output.map(|nanos| nanos.0));
    };
    if let Some(provided) = &facts.provided_cost {
        amount(PROVIDED, provided);
    }
    let Some(usage) = &facts.usage else {
        return Ok(());
    };
    if let Some(computed) = &usage.computed {
        amount(COMPUTED, &computed.amount);
        columns[PRICE] = optional(words.number(connection, &computed.table)?);
        columns[PRICE + 1] = optional(words.number(connection, &computed.rule)?);
    }
    for (column, tokens) in columns[TOKENS..].iter_mut().zip(usage.tokens.buckets()) {
        *column = i64::try_from(tokens).unwrap_or(i64::MAX).into();
    }
    Ok(())
}

/// An integer; 0 for anything else.
fn integer(row: &Row<'_>, column: usize) -> rusqlite::Result<i64> {
    Ok(optional_integer(row, column)?.unwrap_or(0))
}

fn optional_integer(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<i64>> {
    Ok(match row.get_ref(column)? {
        ValueRef::Integer(number) => Some(number),
        _ => None,
    })
}

fn optional_text(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<String>> {
    Ok(match row.get_ref(column)? {
        ValueRef::Text(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        _ => None,
    })
}

fn span_id(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<SpanId>> {
    let number = optional_integer(row, column)?;
    let text = optional_text(row, column + 1)?;
    Ok(number.and_then(|number| SpanId::from_stored(&number.to_be_bytes(), text)))
}

fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    Ok(optional_integer(row, column)?.and_then(Timestamp::from_micros))
}

fn amount(row: &Row<'_>, first: usize) -> rusqlite::Result<Option<Amount>> {
    let nanos = |column| Ok::<_, rusqlite::Error>(optional_integer(row, column)?.map(NanoDollars));
    let Some(total) = nanos(first)? else {
        return Ok(None);
    };
    Ok(Some(Amount {
        total,
        input: nanos(first + 1)?,
        output: nanos(first + 2)?,
    }))
}

fn usage(row: &Row<'_>, words: &mut Dictionary<'_>) -> rusqlite::Result<Option<Usage>> {
    if optional_integer(row, TOKENS)?.is_none() {
        return Ok(None);
    }
    let mut buckets = [0; Tokens::BUCKETS];
    for (index, bucket) in buckets.iter_mut().enumerate() {
        *bucket = integer(row, TOKENS + index)?.unsigned_abs();
    }
    let computed = match amount(row, COMPUTED)? {
        None => None,
        Some(amount) => Some(Computed {
            table: words.word(optional_integer(row, PRICE)?)?,
            rule: words.word(optional_integer(row, PRICE + 1)?)?,
            amount,
        }),
    };
    Ok(Some(Usage {
        tokens: Tokens::from_buckets(buckets),
        computed,
    }))
}

/// The id of a trace in the columns `bytes` and the next.
pub(super) fn trace_id(row: &Row<'_>, bytes: usize) -> rusqlite::Result<Option<TraceId>> {
    let text = optional_text(row, bytes + 1)?;
    Ok(match row.get_ref(bytes)? {
        ValueRef::Blob(bytes) => TraceId::from_stored(bytes, text),
        _ => None,
    })
}

/// The observation in a row of [`SELECT`], without attributes, content, and the further names under which it was reported.
pub(super) fn decode(row: &Row<'_>, words: &mut Dictionary<'_>) -> rusqlite::Result<Observation> {
    debug_assert_eq!(TRACE_TEXT, TRACE_BYTES + 1);
    let mut labels = Labels::default();
    for (index, label) in labels.all_mut().into_iter().enumerate() {
        *label = words.word(optional_integer(row, LABELS + index)?)?;
    }
    let place = Place {
        span: span_id(row, 1)?,
        trace: trace_id(row, TRACE_BYTES)?,
        parent: span_id(row, 3)?,
    };
    let key = place.trace.clone().zip(place.span.clone());
    let from_log = u32::try_from(integer(row, COUNTS + 1)?).unwrap_or(0);
    let facts = Facts {
        spans: key
            .map(|(trace, span)| SpanKey { trace, span })
            .into_iter()
            .collect(),
        place,
        request_ids: optional_text(row, REQUEST)?.into_iter().collect(),
        kind: numbered_kind(integer(row, KIND)?),
        level: ranked(integer(row, LEVEL)?, Level::Default),
        labels,
        status_message: optional_text(row, STATUS)?.unwrap_or_default(),
        times: Times {
            start: time(row, START)?.unwrap_or(Timestamp::MIN),
            end: time(row, START + 1)?,
            completion_start: time(row, START + 2)?,
        },
        usage: usage(row, words)?,
        provided_cost: amount(row, PROVIDED)?,
        counts: integer(row, COUNTS)? != 0,
        attributes: Attributes::default(),
        input: None,
        output: None,
        from_log: FieldSet::from_stored(from_log),
    };
    Ok(Observation {
        id: integer(row, ID)?,
        facts,
        sequence: integer(row, SEQUENCE)?,
    })
}

/// Whether the filterable columns of a row of [`SELECT`] are these numbers; `None` matches every one.
pub(super) fn label_is(row: &Row<'_>, label: usize, wanted: Option<i64>) -> rusqlite::Result<bool> {
    Ok(wanted.is_none() || optional_integer(row, LABELS + label)? == wanted)
}

/// The kind, level and start in a row of [`SELECT`].
pub(super) fn essence(row: &Row<'_>) -> rusqlite::Result<(ObservationKind, Level, i64, i64)> {
    Ok((
        numbered_kind(integer(row, KIND)?),
        ranked(integer(row, LEVEL)?, Level::Default),
        integer(row, START)?,
        integer(row, ID)?,
    ))
}

/// Everything about observation `id`.
pub(super) fn load(connection: &Connection, id: i64) -> rusqlite::Result<Option<Observation>> {
    let mut words = Dictionary::new(connection);
    let mut found = connection
        .prepare_cached(&BY_ID)?
        .query_row([id], |row| decode(row, &mut words))
        .optional()?;
    if let Some(observation) = &mut found {
        load_aliases(connection, id, &mut observation.facts)?;
        load_payload(connection, id, &mut observation.facts)?;
    }
    Ok(found)
}

fn load_payload(connection: &Connection, id: i64, facts: &mut Facts) -> rusqlite::Result<()> {
    let data: Option<Vec<u8>> = connection
        .prepare_cached("SELECT data FROM telemetry_payloads WHERE observation = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    let Some([span, log, input, output]) = data.and_then(|data| pack::unpack(&data)) else {
        return Ok(());
    };
    facts.attributes = Attributes {
        span: span.unwrap_or_default(),
        log: log.unwrap_or_default(),
    };
    facts.input = input;
    facts.output = output;
    Ok(())
}

/// The attributes and content of `facts` as they are stored.
pub(super) fn payload(facts: &Facts) -> Option<Vec<u8>> {
    fn some(text: &str) -> Option<&str> {
        (!text.is_empty()).then_some(text)
    }
    pack::pack(&[
        some(&facts.attributes.span),
        some(&facts.attributes.log),
        facts.input.as_deref(),
        facts.output.as_deref(),
    ])
}

fn load_aliases(connection: &Connection, id: i64, facts: &mut Facts) -> rusqlite::Result<()> {
    let mut statement =
        connection.prepare_cached("SELECT alias FROM telemetry_aliases WHERE observation = ?1")?;
    let mut rows = statement.query([id])?;
    while let Some(row) = rows.next()? {
        match row.get_ref(0)? {
            ValueRef::Text(text) => {
                facts
                    .request_ids
                    .insert(String::from_utf8_lossy(text).into_owned());
            }
            ValueRef::Blob(bytes) => facts.spans.extend(span_key(bytes)),
            _ => {}
        }
    }
    Ok(())
}

fn span_key(bytes: &[u8]) -> Option<SpanKey> {
    let (trace, span) = bytes.split_at_checked(16)?;
    Some(SpanKey {
        trace: TraceId::from_stored(trace, None)?,
        span: SpanId::from_stored(span, None)?,
    })
}

/// A span as an alias.
pub(super) fn span_alias(key: &SpanKey) -> Value {
    let bytes = [&key.trace.as_bytes()[..], &key.span.as_bytes()[..]];
    Value::Blob(bytes.concat())
}

/// All names under which `facts` were reported, but for those in the row itself.
pub(super) fn aliases(facts: &Facts) -> Vec<Value> {
    let place = &facts.place;
    let own = place.trace.clone().zip(place.span.clone());
    let own: BTreeSet<SpanKey> = own
        .map(|(trace, span)| SpanKey { trace, span })
        .into_iter()
        .collect();
    let spans = facts.spans.difference(&own).map(span_alias);
    let requests = facts.request_ids.iter().skip(1).cloned().map(Value::Text);
    spans.chain(requests).collect()
}
