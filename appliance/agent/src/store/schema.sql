-- What the agent must not forget: one row each of what the fleet has not acknowledged, and of what it told us.

-- Single values, such as the journal's id, counters, and the clock's anchor. JSON.
CREATE TABLE value (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Events until the fleet server has them. AUTOINCREMENT: a number is never used twice, even when all rows are gone.
CREATE TABLE event (
    seq  INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms INTEGER NOT NULL,
    what TEXT NOT NULL
) STRICT;

-- Telemetry that could not be sent when it was measured.
CREATE TABLE telemetry (
    number  INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms   INTEGER NOT NULL,
    payload BLOB NOT NULL
) STRICT;

-- Every command that ever came, for as long as it could come again.
CREATE TABLE command (
    id         TEXT PRIMARY KEY,
    -- The order, until it is over. JSON.
    command    TEXT,
    -- What the fleet is to know. JSON. NULL when it was withdrawn before it began.
    status     TEXT,
    -- accepted, running, over, withdrawn
    phase      TEXT NOT NULL,
    expires_ms INTEGER NOT NULL,
    seen_ms    INTEGER NOT NULL,
    -- The fleet server has emptied the command: it knows how it ended.
    cleared    INTEGER NOT NULL DEFAULT 0,
    -- The status was emptied on the broker after that.
    emptied    INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE INDEX command_open ON command (phase) WHERE phase IN ('accepted', 'running');

-- Sessions that the broker keeps a message of.
CREATE TABLE session (
    session TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;
