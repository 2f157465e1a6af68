-- The table that direct tooling knows, exactly as it creates it, so that either side may be first.
CREATE TABLE IF NOT EXISTS notifications (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    type TEXT NOT NULL,
    priority TEXT NOT NULL DEFAULT 'normal',
    title TEXT NOT NULL,
    message TEXT NOT NULL,
    context TEXT,
    status TEXT NOT NULL DEFAULT 'pending',
    user_response TEXT,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
);

-- What direct tooling does not know. All of it may be NULL: rows that others insert name only their own columns.
-- Lists are JSON, times are text as above, flags are 0 or 1, request ids are the 16 bytes of a UUID.
ALTER TABLE notifications ADD COLUMN agent TEXT;
ALTER TABLE notifications ADD COLUMN session TEXT;
ALTER TABLE notifications ADD COLUMN project TEXT;
ALTER TABLE notifications ADD COLUMN tags TEXT;
ALTER TABLE notifications ADD COLUMN options TEXT;
ALTER TABLE notifications ADD COLUMN allow_multiple INTEGER;
ALTER TABLE notifications ADD COLUMN allow_text INTEGER;
ALTER TABLE notifications ADD COLUMN expires_at TEXT;
ALTER TABLE notifications ADD COLUMN default_response TEXT;
ALTER TABLE notifications ADD COLUMN created_surface TEXT;
ALTER TABLE notifications ADD COLUMN read_at TEXT;
ALTER TABLE notifications ADD COLUMN read_by TEXT;
ALTER TABLE notifications ADD COLUMN read_surface TEXT;
ALTER TABLE notifications ADD COLUMN closed_at TEXT;
ALTER TABLE notifications ADD COLUMN closed_by TEXT;
ALTER TABLE notifications ADD COLUMN closed_surface TEXT;
ALTER TABLE notifications ADD COLUMN response_options TEXT;
ALTER TABLE notifications ADD COLUMN request_id BLOB;
ALTER TABLE notifications ADD COLUMN request_digest BLOB;
ALTER TABLE notifications ADD COLUMN response_request_id BLOB;

-- Lists are in the order of the id, which every index ends with: one by state is what direct tooling makes too.
CREATE INDEX IF NOT EXISTS idx_notifications_status ON notifications(status);
CREATE INDEX idx_barista_urgency ON notifications(status, priority);
CREATE INDEX idx_barista_expiry ON notifications(expires_at)
    WHERE expires_at IS NOT NULL AND status IN ('pending', 'read');
CREATE INDEX idx_barista_request ON notifications(request_id) WHERE request_id IS NOT NULL;

-- What the daemon knows about this file. Keys: schema_version, epoch, known_id (see the reconciliation), heartbeat.
CREATE TABLE barista_meta (
    key TEXT PRIMARY KEY,
    value
) WITHOUT ROWID;
INSERT INTO barista_meta (key, value) VALUES
    ('epoch', lower(hex(randomblob(16)))),
    ('known_id', (SELECT coalesce(max(id), 0) FROM notifications)),
    ('heartbeat', 0);

-- The journal: every change of every notification, by whoever, in one order. It is filled by triggers alone.
-- A row holds the columns that a change of state touches, as they were right after the change. No constraint can fail for what the triggers write: the
-- conflict clause of an outer statement (OR IGNORE, OR REPLACE) applies inside triggers too, and would drop rows in silence.
-- The next sequence is one more than the highest, so the last row must stay: a trigger keeps it. AUTOINCREMENT would do without, but it
-- looks its row up for each change, and inside a statement that changes several rows sqlite_sequence still has the value from before.
-- The check can only fail for rows that do not come from a trigger: beside the highest integer SQLite would choose sequences at random.
CREATE TABLE changes (
    seq INTEGER PRIMARY KEY CHECK (seq < 4611686018427387904),
    notification_id INTEGER,
    kind TEXT,
    at TEXT,
    actor TEXT,
    surface TEXT,
    status TEXT,
    user_response TEXT,
    updated_at TEXT,
    read_at TEXT,
    closed_at TEXT,
    closed_by TEXT,
    closed_surface TEXT,
    response_options TEXT
);
CREATE INDEX idx_changes_notification ON changes(notification_id);
CREATE TRIGGER barista_changes_last
BEFORE DELETE ON changes
WHEN OLD.seq = (SELECT max(seq) FROM changes)
BEGIN
    SELECT RAISE(IGNORE);
END;

-- The other columns hardly ever change. When they do, or when the row is deleted, what they were before is kept here: it holds for
-- every change of that notification before until_seq, back to the row before. So a replay shows what a live watcher saw.
CREATE TABLE change_contents (
    id INTEGER PRIMARY KEY,
    notification_id INTEGER,
    until_seq INTEGER,
    type TEXT,
    priority TEXT,
    title TEXT,
    message TEXT,
    context TEXT,
    created_at TEXT,
    agent TEXT,
    session TEXT,
    project TEXT,
    tags TEXT,
    options TEXT,
    allow_multiple INTEGER,
    allow_text INTEGER,
    expires_at TEXT,
    default_response TEXT
);
CREATE INDEX idx_change_contents ON change_contents(notification_id, until_seq);

-- INSERT OR REPLACE removes a row without firing its DELETE trigger, so what it had is kept before. The row for the coming sequence
-- also tells the next trigger that the insert replaced something.
CREATE TRIGGER barista_notifications_replacing
BEFORE INSERT ON notifications
WHEN EXISTS (SELECT 1 FROM notifications WHERE id = NEW.id)
BEGIN
    INSERT INTO change_contents (notification_id, until_seq, type, priority, title, message, context, created_at,
            agent, session, project, tags, options, allow_multiple, allow_text, expires_at, default_response)
        SELECT n.id, next.seq, n.type, n.priority, n.title, n.message, n.context, n.created_at,
               n.agent, n.session, n.project, n.tags, n.options, n.allow_multiple, n.allow_text, n.expires_at, n.default_response
          FROM notifications n, (SELECT coalesce(max(seq), 0) + 1 AS seq FROM changes) next
         WHERE n.id = NEW.id
           AND NOT EXISTS (SELECT 1 FROM change_contents
                            WHERE notification_id = n.id AND until_seq = next.seq);
END;

-- The daemon names its rows' surface, be it empty, and gives them the time of its clock. What other writers claim is not believed: the age of a
-- change decides how long it is kept.
CREATE TRIGGER barista_notifications_inserted
AFTER INSERT ON notifications
BEGIN
    INSERT INTO changes (notification_id, kind, at, actor, surface, status, user_response, updated_at,
            read_at, closed_at, closed_by, closed_surface, response_options)
    VALUES (NEW.id,
            CASE WHEN EXISTS (SELECT 1 FROM change_contents
                               WHERE notification_id = NEW.id
                                 AND until_seq > (SELECT coalesce(max(seq), 0) FROM changes))
                 THEN 'updated' ELSE 'created' END,
            CASE WHEN NEW.created_surface IS NULL THEN strftime('%Y-%m-%dT%H:%M:%f', 'now') ELSE NEW.updated_at END, NEW.agent, NEW.created_surface, NEW.status, NEW.user_response,
            NEW.updated_at, NEW.read_at, NEW.closed_at, NEW.closed_by, NEW.closed_surface, NEW.response_options);
END;

-- Fires only for statements that name one of these columns: the daemon's own changes of state do not.
CREATE TRIGGER barista_notifications_rewriting
BEFORE UPDATE OF id, type, priority, title, message, context, created_at, agent, session, project, tags, options,
    allow_multiple, allow_text, expires_at, default_response ON notifications
WHEN (NEW.id, NEW.type, NEW.priority, NEW.title, NEW.message, NEW.context, NEW.created_at, NEW.agent, NEW.session,
      NEW.project, NEW.tags, NEW.options, NEW.allow_multiple, NEW.allow_text, NEW.expires_at, NEW.default_response)
  IS NOT
     (OLD.id, OLD.type, OLD.priority, OLD.title, OLD.message, OLD.context, OLD.created_at, OLD.agent, OLD.session,
      OLD.project, OLD.tags, OLD.options, OLD.allow_multiple, OLD.allow_text, OLD.expires_at, OLD.default_response)
BEGIN
    INSERT INTO change_contents (notification_id, until_seq, type, priority, title, message, context, created_at,
            agent, session, project, tags, options, allow_multiple, allow_text, expires_at, default_response)
        SELECT n.id, next.seq, n.type, n.priority, n.title, n.message, n.context, n.created_at,
               n.agent, n.session, n.project, n.tags, n.options, n.allow_multiple, n.allow_text, n.expires_at, n.default_response
          FROM notifications n, (SELECT coalesce(max(seq), 0) + 1 AS seq FROM changes) next
         WHERE n.id IN (OLD.id, NEW.id)
           AND NOT EXISTS (SELECT 1 FROM change_contents
                            WHERE notification_id = n.id AND until_seq = next.seq);
END;

CREATE TRIGGER barista_notifications_updated
AFTER UPDATE ON notifications
WHEN NEW.id IS OLD.id
BEGIN
    INSERT INTO changes (notification_id, kind, at, actor, surface, status, user_response, updated_at,
            read_at, closed_at, closed_by, closed_surface, response_options)
    VALUES (NEW.id,
            CASE WHEN NEW.status IS OLD.status THEN 'updated'
                 WHEN NEW.status IN ('read', 'responded', 'dismissed', 'cancelled', 'expired') THEN NEW.status
                 ELSE 'updated' END,
            strftime('%Y-%m-%dT%H:%M:%f', 'now'),
            CASE WHEN NEW.closed_at IS NOT OLD.closed_at THEN NEW.closed_by
                 WHEN NEW.read_at IS NOT OLD.read_at THEN NEW.read_by END,
            CASE WHEN NEW.closed_at IS NOT OLD.closed_at THEN NEW.closed_surface
                 WHEN NEW.read_at IS NOT OLD.read_at THEN NEW.read_surface END,
            NEW.status, NEW.user_response, NEW.updated_at,
            NEW.read_at, NEW.closed_at, NEW.closed_by, NEW.closed_surface, NEW.response_options);
END;

-- A row that gets another id is another notification to everybody who remembers ids. Not only UPDATE OF id: a statement may call the
-- column rowid, oid or _rowid_, and then nothing has kept what the row said.
CREATE TRIGGER barista_notifications_renumbered
AFTER UPDATE ON notifications
WHEN NEW.id IS NOT OLD.id
BEGIN
    INSERT INTO change_contents (notification_id, until_seq, type, priority, title, message, context, created_at,
            agent, session, project, tags, options, allow_multiple, allow_text, expires_at, default_response)
        SELECT OLD.id, next.seq, OLD.type, OLD.priority, OLD.title, OLD.message, OLD.context, OLD.created_at,
               OLD.agent, OLD.session, OLD.project, OLD.tags, OLD.options, OLD.allow_multiple, OLD.allow_text,
               OLD.expires_at, OLD.default_response
          FROM (SELECT coalesce(max(seq), 0) + 1 AS seq FROM changes) next
         WHERE NOT EXISTS (SELECT 1 FROM change_contents
                            WHERE notification_id = OLD.id AND until_seq = next.seq);
    INSERT INTO changes (notification_id, kind, at, status, user_response, updated_at,
            read_at, closed_at, closed_by, closed_surface, response_options)
    VALUES (OLD.id, 'deleted', strftime('%Y-%m-%dT%H:%M:%f', 'now'), OLD.status, OLD.user_response, OLD.updated_at,
            OLD.read_at, OLD.closed_at, OLD.closed_by, OLD.closed_surface, OLD.response_options);
    INSERT INTO changes (notification_id, kind, at, status, user_response, updated_at,
            read_at, closed_at, closed_by, closed_surface, response_options)
    VALUES (NEW.id, 'created', strftime('%Y-%m-%dT%H:%M:%f', 'now'), NEW.status, NEW.user_response, NEW.updated_at,
            NEW.read_at, NEW.closed_at, NEW.closed_by, NEW.closed_surface, NEW.response_options);
END;

CREATE TRIGGER barista_notifications_deleted
AFTER DELETE ON notifications
BEGIN
    INSERT INTO change_contents (notification_id, until_seq, type, priority, title, message, context, created_at,
            agent, session, project, tags, options, allow_multiple, allow_text, expires_at, default_response)
        SELECT OLD.id, coalesce(max(seq), 0) + 1, OLD.type, OLD.priority, OLD.title, OLD.message, OLD.context,
               OLD.created_at, OLD.agent, OLD.session, OLD.project, OLD.tags, OLD.options, OLD.allow_multiple,
               OLD.allow_text, OLD.expires_at, OLD.default_response
          FROM changes;
    INSERT INTO changes (notification_id, kind, at, status, user_response, updated_at,
            read_at, closed_at, closed_by, closed_surface, response_options)
    VALUES (OLD.id, 'deleted', strftime('%Y-%m-%dT%H:%M:%f', 'now'), OLD.status, OLD.user_response, OLD.updated_at,
            OLD.read_at, OLD.closed_at, OLD.closed_by, OLD.closed_surface, OLD.response_options);
END;
