-- What the daemon knows about this file. Keys: schema_version, epoch, heartbeat.
CREATE TABLE barista_meta (
    key TEXT PRIMARY KEY,
    value
) WITHOUT ROWID;
INSERT INTO barista_meta (key, value) VALUES
    ('epoch', lower(hex(randomblob(16)))),
    ('heartbeat', 0);

-- Names that repeat from row to row: models, agents, sessions. Other tables refer to them by id; NULL, or 0 in sums, stands for no name.
CREATE TABLE telemetry_words (
    id INTEGER PRIMARY KEY,
    word TEXT NOT NULL
);
CREATE UNIQUE INDEX telemetry_words_word ON telemetry_words(word);

-- Times end in _us: microseconds since 1970-01-01T00:00:00Z. Money is in billionths of a dollar.
-- A trace is found by its 16 bytes once; observations refer to it by its number, so that their index grows in order.
CREATE TABLE telemetry_traces (
    id INTEGER PRIMARY KEY,
    trace BLOB NOT NULL,
    -- The id as it came, where it was not hexadecimal: then `trace` is a digest of it.
    trace_text TEXT,
    start_us INTEGER NOT NULL,
    end_us INTEGER,
    name INTEGER,
    user INTEGER,
    session INTEGER,
    release INTEGER,
    environment INTEGER,
    -- A JSON array of strings, sorted.
    tags TEXT
);
CREATE UNIQUE INDEX telemetry_traces_trace ON telemetry_traces(trace);
CREATE INDEX telemetry_traces_start ON telemetry_traces(start_us);

CREATE TABLE telemetry_observations (
    -- The sequence of its first change, so that it is never used again.
    id INTEGER PRIMARY KEY,
    trace INTEGER,
    -- The 8 bytes of the span's id as a number, big-endian; NULL where only a log told of it.
    span INTEGER,
    span_text TEXT,
    parent INTEGER,
    parent_text TEXT,
    -- 0 event, 1 span, 2 chain, 3 agent, 4 tool, 5 retriever, 6 evaluator, 7 guardrail, 8 embedding, 9 generation
    kind INTEGER NOT NULL,
    -- 0 DEBUG, 1 DEFAULT, 2 WARNING, 3 ERROR
    level INTEGER NOT NULL,
    name INTEGER,
    model_requested INTEGER,
    model_responded INTEGER,
    provider INTEGER,
    agent INTEGER,
    project INTEGER,
    session INTEGER,
    user INTEGER,
    prompt_name INTEGER,
    prompt_version INTEGER,
    status_message TEXT,
    start_us INTEGER NOT NULL,
    end_us INTEGER,
    first_token_us INTEGER,
    -- Tokens in buckets that do not overlap; all NULL where nobody said anything about tokens.
    input INTEGER,
    cache_read INTEGER,
    cache_write_5m INTEGER,
    cache_write_1h INTEGER,
    audio_input INTEGER,
    output INTEGER,
    reasoning INTEGER,
    audio_output INTEGER,
    provided_cost INTEGER,
    provided_input_cost INTEGER,
    provided_output_cost INTEGER,
    computed_cost INTEGER,
    computed_input_cost INTEGER,
    computed_output_cost INTEGER,
    price_table INTEGER,
    price_rule INTEGER,
    -- Whether tokens and cost belong into sums.
    counts INTEGER NOT NULL,
    -- Which parts a log has said and no span, as bits.
    from_log INTEGER NOT NULL,
    request_id TEXT,
    -- Its last change.
    seq INTEGER NOT NULL
);
CREATE UNIQUE INDEX telemetry_observations_span ON telemetry_observations(trace, span);
CREATE UNIQUE INDEX telemetry_observations_request ON telemetry_observations(request_id) WHERE request_id IS NOT NULL;
CREATE INDEX telemetry_observations_start ON telemetry_observations(start_us);

-- The further spans and request ids under which an observation was reported: 24 bytes of trace and span, or the text of the request id.
CREATE TABLE telemetry_aliases (
    alias PRIMARY KEY,
    observation INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX telemetry_aliases_observation ON telemetry_aliases(observation);

-- Attributes and content, packed and mostly compressed; apart, because they are large, seldom read, and go first.
CREATE TABLE telemetry_payloads (
    observation INTEGER PRIMARY KEY,
    data BLOB NOT NULL
);
CREATE TABLE telemetry_trace_payloads (
    trace INTEGER PRIMARY KEY,
    data BLOB NOT NULL
);

-- Sums by the hour (hours since 1970), kept in the transaction of each change. `kind` as above; names are words, 0 for none.
-- The last two are distributions: pairs of varints, the distance from the bucket before and the count.
CREATE TABLE analytics_hourly (
    id INTEGER PRIMARY KEY,
    hour INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    model INTEGER NOT NULL,
    provider INTEGER NOT NULL,
    agent INTEGER NOT NULL,
    project INTEGER NOT NULL,
    observations INTEGER NOT NULL,
    input INTEGER NOT NULL,
    cache_read INTEGER NOT NULL,
    cache_write_5m INTEGER NOT NULL,
    cache_write_1h INTEGER NOT NULL,
    audio_input INTEGER NOT NULL,
    output INTEGER NOT NULL,
    reasoning INTEGER NOT NULL,
    audio_output INTEGER NOT NULL,
    cost INTEGER NOT NULL,
    unknown_costs INTEGER NOT NULL,
    latency BLOB NOT NULL,
    first_token BLOB NOT NULL
);
CREATE UNIQUE INDEX analytics_hourly_group ON analytics_hourly(hour, kind, failed, model, provider, agent, project);

-- The journal: each change of each observation, in one order. 0 stored, 1 merged, 2 deleted. The last row always stays, as the next
-- sequence is one more than the highest.
CREATE TABLE telemetry_changes (
    seq INTEGER PRIMARY KEY,
    observation INTEGER NOT NULL,
    kind INTEGER NOT NULL
);

-- What earlier tooling kept here, under other names: the tables themselves where there were any.
CREATE TABLE IF NOT EXISTS legacy_traces (
    id TEXT PRIMARY KEY,
    name TEXT,
    user_id TEXT,
    session_id TEXT,
    trace_metadata TEXT,
    input TEXT,
    output TEXT,
    created_at TEXT NOT NULL,
    updated_at TEXT,
    release TEXT,
    tags TEXT
);
CREATE TABLE IF NOT EXISTS legacy_generations (
    id TEXT PRIMARY KEY,
    trace_id TEXT,
    name TEXT,
    model TEXT,
    model_parameters TEXT,
    input TEXT,
    output TEXT,
    input_tokens INTEGER DEFAULT 0,
    output_tokens INTEGER DEFAULT 0,
    total_tokens INTEGER DEFAULT 0,
    input_cost REAL DEFAULT 0.0,
    output_cost REAL DEFAULT 0.0,
    total_cost REAL DEFAULT 0.0,
    latency_ms REAL,
    created_at TEXT NOT NULL,
    updated_at TEXT,
    metadata TEXT,
    level TEXT DEFAULT 'DEFAULT',
    status_message TEXT,
    completion_start_time TEXT,
    completion_end_time TEXT
);
CREATE TABLE IF NOT EXISTS legacy_spans (
    id TEXT PRIMARY KEY,
    trace_id TEXT,
    name TEXT,
    start_time TEXT NOT NULL,
    end_time TEXT,
    input TEXT,
    output TEXT,
    metadata TEXT,
    level TEXT DEFAULT 'DEFAULT',
    status_message TEXT
);

-- What earlier tooling reads: its own rows as they are, and ours in the same columns. Times are text in UTC without an offset.
CREATE VIEW telemetry_readable AS
SELECT o.id AS number,
       o.kind AS kind,
       coalesce(o.span_text, printf('%016x', o.span), o.request_id) AS id,
       coalesce(t.trace_text, lower(hex(t.trace))) AS trace_id,
       n.word AS name,
       coalesce(r.word, q.word) AS model,
       coalesce(o.input, 0) + coalesce(o.cache_read, 0) + coalesce(o.cache_write_5m, 0) + coalesce(o.cache_write_1h, 0)
           + coalesce(o.audio_input, 0) AS input_tokens,
       coalesce(o.output, 0) + coalesce(o.reasoning, 0) + coalesce(o.audio_output, 0) AS output_tokens,
       CASE WHEN o.provided_cost IS NULL THEN o.computed_input_cost ELSE o.provided_input_cost END / 1e9 AS input_cost,
       CASE WHEN o.provided_cost IS NULL THEN o.computed_output_cost ELSE o.provided_output_cost END / 1e9 AS output_cost,
       coalesce(o.provided_cost, o.computed_cost) / 1e9 AS total_cost,
       (o.end_us - o.start_us) / 1000.0 AS latency_ms,
       strftime('%Y-%m-%dT%H:%M:%S', o.start_us / 1000000, 'unixepoch')
           || CASE WHEN o.start_us % 1000000 = 0 THEN '' ELSE printf('.%06d', o.start_us % 1000000) END AS started,
       strftime('%Y-%m-%dT%H:%M:%S', o.end_us / 1000000, 'unixepoch')
           || CASE WHEN o.end_us % 1000000 = 0 THEN '' ELSE printf('.%06d', o.end_us % 1000000) END AS ended,
       strftime('%Y-%m-%dT%H:%M:%S', o.first_token_us / 1000000, 'unixepoch')
           || CASE WHEN o.first_token_us % 1000000 = 0 THEN '' ELSE printf('.%06d', o.first_token_us % 1000000) END AS first_token,
       CASE o.level WHEN 0 THEN 'DEBUG' WHEN 2 THEN 'WARNING' WHEN 3 THEN 'ERROR' ELSE 'DEFAULT' END AS level,
       o.status_message AS status_message
  FROM telemetry_observations o
  LEFT JOIN telemetry_traces t ON t.id = o.trace
  LEFT JOIN telemetry_words n ON n.id = o.name
  LEFT JOIN telemetry_words r ON r.id = o.model_responded
  LEFT JOIN telemetry_words q ON q.id = o.model_requested;

CREATE VIEW traces AS
SELECT id, name, user_id, session_id, trace_metadata, input, output, created_at, updated_at, release, tags
  FROM legacy_traces
UNION ALL
SELECT coalesce(t.trace_text, lower(hex(t.trace))),
       coalesce(n.word, (SELECT w.word FROM telemetry_observations o JOIN telemetry_words w ON w.id = o.name
                          WHERE o.trace = t.id AND o.parent IS NULL ORDER BY o.start_us LIMIT 1)),
       u.word, s.word, NULL, NULL, NULL,
       strftime('%Y-%m-%dT%H:%M:%S', t.start_us / 1000000, 'unixepoch')
           || CASE WHEN t.start_us % 1000000 = 0 THEN '' ELSE printf('.%06d', t.start_us % 1000000) END,
       strftime('%Y-%m-%dT%H:%M:%S', t.end_us / 1000000, 'unixepoch')
           || CASE WHEN t.end_us % 1000000 = 0 THEN '' ELSE printf('.%06d', t.end_us % 1000000) END,
       r.word, t.tags
  FROM telemetry_traces t
  LEFT JOIN telemetry_words n ON n.id = t.name
  LEFT JOIN telemetry_words u ON u.id = t.user
  LEFT JOIN telemetry_words s ON s.id = t.session
  LEFT JOIN telemetry_words r ON r.id = t.release;

CREATE VIEW generations AS
SELECT id, trace_id, name, model, model_parameters, input, output, input_tokens, output_tokens, total_tokens, input_cost,
       output_cost, total_cost, latency_ms, created_at, updated_at, metadata, level, status_message, completion_start_time,
       completion_end_time
  FROM legacy_generations
UNION ALL
SELECT id, trace_id, name, model, NULL, NULL, NULL, input_tokens, output_tokens, input_tokens + output_tokens, input_cost,
       output_cost, total_cost, latency_ms, started, NULL, NULL, level, status_message, first_token, ended
  FROM telemetry_readable
 WHERE kind IN (8, 9);

CREATE VIEW spans AS
SELECT id, trace_id, name, start_time, end_time, input, output, metadata, level, status_message
  FROM legacy_spans
UNION ALL
SELECT id, trace_id, name, started, ended, NULL, NULL, NULL, level, status_message
  FROM telemetry_readable
 WHERE kind NOT IN (8, 9);
