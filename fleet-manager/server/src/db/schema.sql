-- The fleet server's database. This file is the truth: a new database is made from it, and migrations have to
-- arrive at the same. All tables are STRICT. Times are milliseconds since the Unix epoch (`*_ms`), ids are text,
-- secrets are stored as SHA-256 only. JSON columns hold one document and say so.

-- One row of facts about the database itself.
CREATE TABLE meta (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    -- Which database counts the versions of desired state; a restored copy gets another one.
    epoch TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    -- Of the revocation document.
    revocations_version INTEGER NOT NULL DEFAULT 0
) STRICT;

------------------------------------------------------------------------------------------------------------------
-- People, their log-ins and their tokens
------------------------------------------------------------------------------------------------------------------

CREATE TABLE person (
    id TEXT PRIMARY KEY,
    -- What they log in with.
    name TEXT NOT NULL UNIQUE COLLATE NOCASE,
    -- Names that look alike have the same one (people/names.rs).
    skeleton TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('member', 'streamer', 'viewer', 'operator', 'administrator')),
    -- PHC string of argon2id.
    password TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    password_changed_ms INTEGER NOT NULL,
    -- Not null: neither they nor their tokens are let in.
    disabled_ms INTEGER,
    last_login_ms INTEGER,
    -- In chats: #rrggbb.
    color TEXT
) STRICT;
CREATE INDEX person_skeleton ON person (skeleton);

-- A browser that is logged in.
CREATE TABLE login (
    id TEXT PRIMARY KEY,
    -- SHA-256 of the cookie.
    digest BLOB NOT NULL UNIQUE,
    person_id TEXT NOT NULL REFERENCES person (id) ON DELETE CASCADE,
    -- Sent back by the page with everything that changes something.
    csrf TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    -- Written at most once a minute.
    seen_ms INTEGER NOT NULL,
    address TEXT NOT NULL,
    -- As the browser names itself.
    user_agent TEXT
) STRICT;
CREATE INDEX login_person ON login (person_id, created_ms);

CREATE TABLE token (
    id TEXT PRIMARY KEY,
    person_id TEXT NOT NULL REFERENCES person (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    digest BLOB NOT NULL UNIQUE,
    -- The widest one that it has; each includes those before it.
    scope TEXT NOT NULL CHECK (scope IN ('read', 'operate', 'administer')),
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER,
    -- Written at most once a minute.
    used_ms INTEGER
) STRICT;
CREATE INDEX token_person ON token (person_id);

------------------------------------------------------------------------------------------------------------------
-- Channels and stream keys
------------------------------------------------------------------------------------------------------------------

CREATE TABLE channel (
    id TEXT PRIMARY KEY,
    display_name TEXT NOT NULL,
    -- Who streams on it. Outlives the person: then it has no owner.
    owner_id TEXT REFERENCES person (id) ON DELETE SET NULL,
    created_ms INTEGER NOT NULL,
    -- Not null: nobody may publish, whatever the key.
    suspended_ms INTEGER,
    suspended_reason TEXT,
    -- Keys of a lower version are refused by boxes and origins. Never goes down.
    min_version INTEGER NOT NULL DEFAULT 1 CHECK (min_version >= 1),
    -- Of the next key. Never goes down, so that no version means two keys.
    next_version INTEGER NOT NULL DEFAULT 1 CHECK (next_version >= 1),
    -- What viewers read; empty: the usual one.
    title TEXT NOT NULL DEFAULT '',
    description TEXT NOT NULL DEFAULT '',
    -- Written once a minute while it is live, and when it ends.
    last_live_ms INTEGER,
    -- Rows of follow, counted by its triggers.
    followers INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX channel_owner ON channel (owner_id);

CREATE TABLE stream_key (
    channel_id TEXT NOT NULL REFERENCES channel (id) ON DELETE CASCADE,
    version INTEGER NOT NULL,
    label TEXT NOT NULL,
    -- SHA-256 of the key.
    digest BLOB NOT NULL,
    created_ms INTEGER NOT NULL,
    -- The name of who made it.
    created_by TEXT NOT NULL,
    expires_ms INTEGER,
    revoked_ms INTEGER,
    PRIMARY KEY (channel_id, version)
) STRICT, WITHOUT ROWID;

------------------------------------------------------------------------------------------------------------------
-- The watch site
------------------------------------------------------------------------------------------------------------------

-- A browser that is signed in on the watch site: good for nothing else.
CREATE TABLE site_session (
    -- SHA-256 of the cookie.
    digest BLOB PRIMARY KEY,
    person_id TEXT NOT NULL REFERENCES person (id) ON DELETE CASCADE,
    -- Sent back by the page with everything that changes something.
    csrf TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    -- Written at most once an hour.
    seen_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX site_session_person ON site_session (person_id, created_ms);
CREATE INDEX site_session_seen ON site_session (seen_ms);

CREATE TABLE follow (
    person_id TEXT NOT NULL REFERENCES person (id) ON DELETE CASCADE,
    channel_id TEXT NOT NULL REFERENCES channel (id) ON DELETE CASCADE,
    since_ms INTEGER NOT NULL,
    PRIMARY KEY (person_id, channel_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX follow_channel ON follow (channel_id);
CREATE TRIGGER follow_counts_one_more AFTER INSERT ON follow
    BEGIN UPDATE channel SET followers = followers + 1 WHERE id = NEW.channel_id; END;
CREATE TRIGGER follow_counts_one_less AFTER DELETE ON follow
    BEGIN UPDATE channel SET followers = followers - 1 WHERE id = OLD.channel_id; END;

-- Pictures for a channel's chat.
CREATE TABLE emote (
    channel_id TEXT NOT NULL REFERENCES channel (id) ON DELETE CASCADE,
    -- Without the colons.
    name TEXT NOT NULL,
    -- First half of the SHA-256 of the picture, hexadecimal: part of its address.
    digest TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('png', 'webp', 'gif')),
    picture BLOB NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    animated INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    PRIMARY KEY (channel_id, name)
) STRICT;

------------------------------------------------------------------------------------------------------------------
-- Audit: who did what. Rows are only ever added.
------------------------------------------------------------------------------------------------------------------

CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms INTEGER NOT NULL,
    actor_kind TEXT NOT NULL CHECK (actor_kind IN ('person', 'token', 'box', 'system')),
    -- Of the person also where a token was used. Not a reference: it outlives them.
    actor_id TEXT,
    actor_name TEXT NOT NULL,
    -- Of the client, where there was one.
    address TEXT,
    -- Such as channel.suspend.
    action TEXT NOT NULL,
    -- Such as channel/nodi.
    target TEXT NOT NULL,
    -- JSON documents of the target, null where there was or is none. Never with a secret in them.
    before TEXT,
    after TEXT
) STRICT;
CREATE INDEX audit_at ON audit (at_ms);
CREATE INDEX audit_target ON audit (target, id);
CREATE TRIGGER audit_is_append_only_update BEFORE UPDATE ON audit
    BEGIN SELECT RAISE (ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_is_append_only_delete BEFORE DELETE ON audit
    BEGIN SELECT RAISE (ABORT, 'the audit log is append-only'); END;

------------------------------------------------------------------------------------------------------------------
-- Boxes: enrolment, desired state, commands, events, telemetry
------------------------------------------------------------------------------------------------------------------

CREATE TABLE box (
    -- Short name of the box in the telemetry tables; never given to another one.
    no INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    -- P-256, uncompressed point: the id is made of it.
    public_key BLOB NOT NULL,
    name TEXT NOT NULL,
    location_name TEXT,
    latitude REAL,
    longitude REAL,
    notes TEXT NOT NULL DEFAULT '',
    -- What its line carries upwards, as a person knows it.
    capacity_bps INTEGER,
    enrolled_ms INTEGER NOT NULL,
    -- The name of who let it in, or of the claim code.
    enrolled_by TEXT NOT NULL,
    -- Not null: it is no longer ours.
    revoked_ms INTEGER,
    revoked_reason TEXT,
    -- What an operator set for this box: JSON, protocol::fleet::desired::Settings.
    settings TEXT NOT NULL DEFAULT '{}',
    -- What it is told: the fleet's settings with its own laid over them. The version rises with each change.
    desired TEXT NOT NULL,
    desired_version INTEGER NOT NULL,
    -- JSON, protocol::fleet::presence::Hardware; and the version of its software.
    hardware TEXT NOT NULL,
    version TEXT NOT NULL,
    -- As it was last seen. The connection number tells a late last will.
    online INTEGER NOT NULL DEFAULT 0,
    connection INTEGER NOT NULL DEFAULT 0,
    boot_id TEXT,
    last_seen_ms INTEGER,
    -- JSON, protocol::fleet::desired::Reported and ::telemetry::Telemetry, the last ones.
    reported TEXT,
    telemetry TEXT
) STRICT;

-- What was signed, as long as it is valid: a repeated request gets the same again, and the revocation list names
-- serials. Outlives its box.
CREATE TABLE certificate (
    serial BLOB PRIMARY KEY,
    box_id TEXT NOT NULL,
    pem TEXT NOT NULL,
    issued_ms INTEGER NOT NULL,
    not_after_ms INTEGER NOT NULL,
    revoked_ms INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX certificate_box ON certificate (box_id, issued_ms);
CREATE INDEX certificate_revoked ON certificate (revoked_ms) WHERE revoked_ms IS NOT NULL;

-- Counts the revocation lists.
CREATE TABLE revocation_list (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    number INTEGER NOT NULL
) STRICT;
INSERT INTO revocation_list (id, number) VALUES (1, 0);

CREATE TABLE claim_code (
    id TEXT PRIMARY KEY,
    -- SHA-256 of the code.
    digest BLOB NOT NULL UNIQUE,
    note TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    expires_ms INTEGER NOT NULL,
    -- How many boxes it is good for, and how many used it.
    uses INTEGER NOT NULL CHECK (uses >= 1),
    used INTEGER NOT NULL DEFAULT 0 CHECK (used <= uses)
) STRICT;

-- Boxes that asked without a claim code.
CREATE TABLE waiting_box (
    box_id TEXT PRIMARY KEY,
    public_key BLOB NOT NULL,
    -- Shown by the box and in the dashboard.
    code TEXT NOT NULL UNIQUE,
    hardware TEXT NOT NULL,
    version TEXT NOT NULL,
    address TEXT NOT NULL,
    first_seen_ms INTEGER NOT NULL,
    last_seen_ms INTEGER NOT NULL,
    -- Not null: a person turned it away.
    rejected_ms INTEGER
) STRICT;
CREATE INDEX waiting_box_seen ON waiting_box (last_seen_ms);

-- What all boxes are told unless their own settings say otherwise.
CREATE TABLE fleet_settings (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    version INTEGER NOT NULL,
    -- JSON, protocol::fleet::desired::Settings.
    settings TEXT NOT NULL,
    updated_ms INTEGER NOT NULL
) STRICT;
INSERT INTO fleet_settings (id, version, settings, updated_ms) VALUES (1, 0, '{}', 0);

CREATE TABLE command (
    id TEXT PRIMARY KEY,
    box_id TEXT NOT NULL REFERENCES box (id) ON DELETE CASCADE,
    -- JSON, without tokens; `kind` again for lists.
    action TEXT NOT NULL,
    kind TEXT NOT NULL,
    -- The message to the box, JSON, with tokens. Null once the command is over.
    message TEXT,
    state TEXT NOT NULL
        CHECK (state IN ('queued', 'accepted', 'running', 'succeeded', 'failed', 'expired', 'withdrawn')),
    -- Why it counts as failed when the box did not say so: 'silent'.
    reason TEXT,
    progress INTEGER,
    -- What the box does, or why it ended so.
    text TEXT NOT NULL DEFAULT '',
    -- JSON.
    result TEXT,
    issued_ms INTEGER NOT NULL,
    issued_by TEXT NOT NULL,
    expires_ms INTEGER NOT NULL,
    timeout_s INTEGER NOT NULL,
    -- When the server heard that it runs.
    running_ms INTEGER,
    updated_ms INTEGER NOT NULL,
    over_ms INTEGER,
    -- SHA-256 of the token that one upload takes; null when there is none or it was used.
    upload_digest BLOB,
    upload_max INTEGER,
    -- What was uploaded.
    file_bytes INTEGER
) STRICT;
CREATE INDEX command_box ON command (box_id, issued_ms);
CREATE INDEX command_open ON command (box_id) WHERE over_ms IS NULL;
CREATE INDEX command_file ON command (over_ms) WHERE file_bytes IS NOT NULL;
CREATE INDEX command_silent ON command (over_ms) WHERE reason = 'silent';

-- Each change of a command's state.
CREATE TABLE command_step (
    command_id TEXT NOT NULL REFERENCES command (id) ON DELETE CASCADE,
    n INTEGER NOT NULL,
    state TEXT NOT NULL,
    text TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (command_id, n)
) STRICT, WITHOUT ROWID;

-- What boxes said happened: their events, each once.
CREATE TABLE event (
    id INTEGER PRIMARY KEY,
    box_id TEXT NOT NULL REFERENCES box (id) ON DELETE CASCADE,
    journal TEXT NOT NULL,
    seq INTEGER NOT NULL,
    -- By the box's clock.
    at_ms INTEGER NOT NULL,
    received_ms INTEGER NOT NULL,
    kind TEXT NOT NULL,
    -- Of events of sessions.
    session_id TEXT,
    channel_id TEXT,
    -- JSON, protocol::fleet::event::What.
    what TEXT NOT NULL,
    UNIQUE (box_id, journal, seq)
) STRICT;
CREATE INDEX event_box ON event (box_id, at_ms);
CREATE INDEX event_channel ON event (channel_id, at_ms) WHERE channel_id IS NOT NULL;
CREATE INDEX event_session ON event (session_id) WHERE session_id IS NOT NULL;
CREATE INDEX event_session_ended ON event (at_ms) WHERE kind = 'session_ended';

-- How far a box's events are acknowledged.
CREATE TABLE event_journal (
    box_id TEXT NOT NULL REFERENCES box (id) ON DELETE CASCADE,
    journal TEXT NOT NULL,
    through INTEGER NOT NULL,
    seen_ms INTEGER NOT NULL,
    PRIMARY KEY (box_id, journal)
) STRICT, WITHOUT ROWID;

-- Telemetry, compressed (telemetry/codec.rs). Keys are box.no * 2^32 + the number of the chunk in time, so that what
-- belongs together lies together. Two hours of full rate in chunks of ten minutes:
CREATE TABLE telemetry_full (
    key INTEGER PRIMARY KEY,
    samples BLOB NOT NULL
) STRICT;

-- A week of minutes in chunks of an hour.
CREATE TABLE telemetry_minute (
    key INTEGER PRIMARY KEY,
    samples BLOB NOT NULL
) STRICT;

-- What is not in a chunk yet, of all boxes, in the order in which it came.
CREATE TABLE telemetry_journal (
    id INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    samples BLOB NOT NULL
) STRICT;


------------------------------------------------------------------------------------------------------------------
-- Alerts and webhooks
------------------------------------------------------------------------------------------------------------------

-- Something that somebody should know of, from its start to its end.
CREATE TABLE alert (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    severity TEXT NOT NULL CHECK (severity IN ('warning', 'critical')),
    -- What it is about: the id of a box, a session, a command or a rollout.
    subject TEXT NOT NULL,
    -- Not references, like those below: an alert outlives what it was about.
    box_id TEXT,
    box_name TEXT,
    session_id TEXT,
    channel_id TEXT,
    reason TEXT NOT NULL,
    started_ms INTEGER NOT NULL,
    -- Null while it lasts.
    ended_ms INTEGER CHECK (ended_ms >= started_ms),
    end_reason TEXT,
    acknowledged_by TEXT,
    acknowledged_ms INTEGER
) STRICT;
CREATE UNIQUE INDEX alert_open ON alert (kind, subject) WHERE ended_ms IS NULL;
CREATE INDEX alert_started ON alert (started_ms);
CREATE INDEX alert_box ON alert (box_id, started_ms);
CREATE INDEX alert_channel ON alert (channel_id, started_ms) WHERE channel_id IS NOT NULL;

-- Who is told of alerts over HTTP.
CREATE TABLE webhook (
    id TEXT PRIMARY KEY,
    url TEXT NOT NULL,
    -- JSON: kinds of alert; empty for all.
    kinds TEXT NOT NULL,
    enabled INTEGER NOT NULL,
    -- As it is: what is sent is signed with it.
    secret TEXT NOT NULL,
    -- What is sent is signed with this one too, until the receiver has had time to learn the new one.
    previous_secret TEXT,
    previous_until_ms INTEGER,
    created_ms INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    -- Deliveries that were given up because too many waited.
    dropped INTEGER NOT NULL DEFAULT 0
) STRICT;

-- One message to one webhook. What waits is sent again and again until it is delivered or too old.
CREATE TABLE webhook_delivery (
    id TEXT PRIMARY KEY,
    webhook_id TEXT NOT NULL REFERENCES webhook (id) ON DELETE CASCADE,
    -- Such as alert.started.
    event TEXT NOT NULL,
    -- Of the alert, or 'test'.
    kind TEXT NOT NULL,
    -- JSON; the same bytes at each attempt.
    body TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'delivered', 'failed')),
    attempts INTEGER NOT NULL DEFAULT 0,
    -- Of the last answer.
    status INTEGER,
    -- Why the last attempt failed.
    error TEXT,
    created_ms INTEGER NOT NULL,
    next_ms INTEGER NOT NULL,
    done_ms INTEGER
) STRICT;
CREATE INDEX webhook_delivery_due ON webhook_delivery (next_ms) WHERE state = 'waiting';
CREATE INDEX webhook_delivery_waiting ON webhook_delivery (webhook_id, id) WHERE state = 'waiting';
CREATE INDEX webhook_delivery_log ON webhook_delivery (webhook_id, created_ms);

------------------------------------------------------------------------------------------------------------------
-- Updates: bundles, orders to boxes, rollouts
------------------------------------------------------------------------------------------------------------------

-- A RAUC bundle; the file is bundles/<sha256> in the data directory.
CREATE TABLE bundle (
    -- Of the file, hexadecimal.
    sha256 TEXT PRIMARY KEY CHECK (length(sha256) = 64),
    version TEXT NOT NULL,
    compatible TEXT NOT NULL,
    description TEXT NOT NULL,
    build TEXT NOT NULL,
    format TEXT NOT NULL CHECK (format IN ('plain', 'verity', 'crypt')),
    bytes INTEGER NOT NULL,
    added_ms INTEGER NOT NULL,
    added_by TEXT NOT NULL
) STRICT;

CREATE TABLE rollout (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    -- Not a reference: what was rolled out is told longer than its file is kept.
    bundle TEXT NOT NULL,
    version TEXT NOT NULL,
    compatible TEXT NOT NULL,
    -- JSON, rollouts::plan::Plan.
    plan TEXT NOT NULL,
    state TEXT NOT NULL
        CHECK (state IN ('draft', 'running', 'halted', 'gated', 'paused', 'done', 'aborted')),
    -- Why it is as it is.
    reason TEXT NOT NULL DEFAULT '',
    -- Index of the stage that is under way.
    stage INTEGER NOT NULL DEFAULT 0,
    -- When enough boxes of the stage were confirmed; what follows waits from then on.
    soak_ms INTEGER,
    created_ms INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    started_ms INTEGER,
    ended_ms INTEGER
) STRICT;
CREATE INDEX rollout_open ON rollout (state) WHERE ended_ms IS NULL;
CREATE INDEX rollout_bundle ON rollout (bundle);

-- What one box is told to become, and how far it is.
CREATE TABLE box_update (
    id TEXT PRIMARY KEY,
    box_id TEXT NOT NULL REFERENCES box (id) ON DELETE CASCADE,
    rollout_id TEXT REFERENCES rollout (id) ON DELETE SET NULL,
    -- Not a reference, as in rollout.
    bundle TEXT NOT NULL,
    version TEXT NOT NULL,
    force INTEGER NOT NULL,
    -- JSON, protocol::fleet::update::Deadlines.
    deadlines TEXT NOT NULL,
    -- The order, JSON, with its token. Null once it is over.
    message TEXT,
    -- SHA-256 of the token that the bundle is downloaded with; null once it is over.
    token_digest BLOB,
    state TEXT NOT NULL CHECK (state IN ('ordered', 'waiting', 'downloading', 'installing', 'rebooting', 'trial',
        'confirmed', 'rolled_back', 'failed', 'expired', 'withdrawn', 'silent')),
    -- The state is what the server made of it: the box may know better.
    assumed INTEGER NOT NULL DEFAULT 0,
    progress INTEGER,
    text TEXT NOT NULL DEFAULT '',
    from_version TEXT,
    slot TEXT,
    issued_ms INTEGER NOT NULL,
    issued_by TEXT NOT NULL,
    expires_ms INTEGER NOT NULL,
    -- Of the state, by the server's clock.
    changed_ms INTEGER NOT NULL,
    -- When the state has lasted too long, by the server's clock; null once it is over.
    deadline_ms INTEGER,
    -- When the box said the newest of it, by its own clock.
    said_ms INTEGER,
    over_ms INTEGER
) STRICT;
CREATE INDEX box_update_box ON box_update (box_id, id);
-- One order per box.
CREATE UNIQUE INDEX box_update_open ON box_update (box_id) WHERE over_ms IS NULL;
CREATE INDEX box_update_rollout ON box_update (rollout_id) WHERE rollout_id IS NOT NULL;
CREATE UNIQUE INDEX box_update_token ON box_update (token_digest) WHERE token_digest IS NOT NULL;

-- A box in a rollout.
CREATE TABLE rollout_box (
    rollout_id TEXT NOT NULL REFERENCES rollout (id) ON DELETE CASCADE,
    -- Not a reference: the box may be removed meanwhile.
    box_id TEXT NOT NULL,
    box_name TEXT NOT NULL,
    -- Index of its stage.
    stage INTEGER NOT NULL,
    -- 'ordered': as the update says. So does 'pending' with an update, unless that was withdrawn: it was held back.
    standing TEXT NOT NULL CHECK (standing IN ('pending', 'ordered', 'confirmed', 'excluded')),
    -- Its newest order in this rollout, of as many.
    update_id TEXT REFERENCES box_update (id) ON DELETE SET NULL,
    attempt INTEGER NOT NULL DEFAULT 0,
    -- Why it is excluded or was confirmed without an order.
    text TEXT NOT NULL DEFAULT '',
    -- A person has seen that it failed.
    acknowledged INTEGER NOT NULL DEFAULT 0,
    changed_ms INTEGER NOT NULL,
    PRIMARY KEY (rollout_id, box_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX rollout_box_update ON rollout_box (update_id) WHERE update_id IS NOT NULL;
