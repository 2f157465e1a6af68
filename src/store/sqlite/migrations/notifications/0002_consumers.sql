-- Durable watchers. They are in the file of the journal, so that a place and what it points at agree in every backup.
CREATE TABLE consumers (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    epoch TEXT NOT NULL,
    acknowledged INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    set_aside INTEGER NOT NULL DEFAULT 0,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    request_id BLOB,
    reset_request_id BLOB
);

-- What a consumer could not deal with and went past. `consumers.set_aside` counts the rows.
CREATE TABLE set_aside (
    consumer_id INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    notification_id INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    error TEXT NOT NULL,
    at TEXT NOT NULL,
    PRIMARY KEY (consumer_id, seq)
) WITHOUT ROWID;

-- The last generation that a consumer got. Not the highest of the table: a consumer that was deleted and made again is another one.
INSERT INTO barista_meta (key, value) VALUES ('consumer_generation', 0);
