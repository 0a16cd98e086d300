-- The chat's database. This file is the truth: a new database is made from it, and migrations have to arrive at the
-- same. All tables are STRICT. Times are milliseconds since the Unix epoch (`*_ms`) or seconds (`*_s`), ids of events
-- are ULIDs as text, which sort as they came. JSON columns hold one document of the chat protocol each, and say so.

-- One row of facts about the database itself.
CREATE TABLE meta (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    created_ms INTEGER NOT NULL
) STRICT;

-- Salts for hashes of addresses, random. An old one is deleted, and what was hashed with it says nothing any more.
CREATE TABLE salt (
    id INTEGER PRIMARY KEY,
    salt BLOB NOT NULL CHECK (length(salt) = 32),
    from_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE channel (
    channel TEXT PRIMARY KEY,
    -- The greatest id that anything of this channel ever had.
    last_id TEXT,
    -- JSON, `settings::Settings`. Null: never changed.
    settings TEXT,
    -- JSON, `rooms::ChannelFacts`: the fleet server's last answer.
    facts TEXT,
    raid_until_ms INTEGER NOT NULL DEFAULT 0,
    -- Messages up to here were taken away.
    cleared_id TEXT
) STRICT, WITHOUT ROWID;

-- What happened in a channel, in its order.
CREATE TABLE event (
    seq INTEGER PRIMARY KEY,
    channel TEXT NOT NULL,
    id TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    -- JSON, `event::What`.
    what TEXT NOT NULL,
    -- Of a message: who said it, and with which nonce.
    account TEXT,
    nonce TEXT,
    -- Of a message: it was taken away.
    gone INTEGER NOT NULL DEFAULT 0 CHECK (gone IN (0, 1)),
    UNIQUE (channel, id)
) STRICT;
CREATE INDEX event_account ON event (account, seq) WHERE account IS NOT NULL;
CREATE INDEX event_at ON event (at_ms);

-- Who may not speak.
CREATE TABLE restriction (
    channel TEXT NOT NULL,
    account TEXT NOT NULL,
    -- JSON, `User`.
    user TEXT NOT NULL,
    -- Null: a ban.
    until_ms INTEGER,
    reason TEXT,
    -- JSON, `User`.
    by TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (channel, account)
) STRICT, WITHOUT ROWID;

-- Where a banned account was.
CREATE TABLE banned_address (
    channel TEXT NOT NULL,
    account TEXT NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 16),
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (channel, account, hash),
    FOREIGN KEY (channel, account) REFERENCES restriction (channel, account) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- Appointed in chat.
CREATE TABLE moderator (
    channel TEXT NOT NULL,
    account TEXT NOT NULL,
    -- JSON, `User`.
    user TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (channel, account)
) STRICT, WITHOUT ROWID;

CREATE TABLE term (
    channel TEXT NOT NULL,
    term TEXT NOT NULL COLLATE NOCASE,
    refuse INTEGER NOT NULL CHECK (refuse IN (0, 1)),
    PRIMARY KEY (channel, term)
) STRICT, WITHOUT ROWID;

-- Messages that wait for a moderator.
CREATE TABLE held (
    channel TEXT NOT NULL,
    id TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    account TEXT NOT NULL,
    -- JSON, `event::Message`.
    message TEXT NOT NULL,
    why TEXT NOT NULL,
    -- JSON, `moderation::Inside`.
    inside TEXT NOT NULL,
    PRIMARY KEY (channel, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX held_account ON held (account);

-- The moderation log.
CREATE TABLE log (
    channel TEXT NOT NULL,
    id TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    -- JSON, `User`. Null: the service itself.
    by TEXT,
    action TEXT NOT NULL,
    -- Whom it is about.
    account TEXT,
    -- JSON, `User`.
    user TEXT,
    text TEXT NOT NULL,
    PRIMARY KEY (channel, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX log_account ON log (account) WHERE account IS NOT NULL;

-- Who has spoken in a channel, or was silenced there.
CREATE TABLE person (
    channel TEXT NOT NULL,
    account TEXT NOT NULL,
    -- JSON, `User`, with the role of the token.
    user TEXT NOT NULL,
    first_ms INTEGER,
    last_ms INTEGER NOT NULL,
    messages INTEGER NOT NULL DEFAULT 0,
    timeouts INTEGER NOT NULL DEFAULT 0,
    bans INTEGER NOT NULL DEFAULT 0,
    created_s INTEGER,
    followed_s INTEGER,
    PRIMARY KEY (channel, account)
) STRICT, WITHOUT ROWID;
CREATE INDEX person_last ON person (channel, last_ms);
CREATE INDEX person_account ON person (account);

-- Where somebody was lately, hashed.
CREATE TABLE address (
    channel TEXT NOT NULL,
    account TEXT NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 16),
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (channel, account, hash)
) STRICT, WITHOUT ROWID;
CREATE INDEX address_at ON address (at_ms);
CREATE INDEX address_account ON address (account);
