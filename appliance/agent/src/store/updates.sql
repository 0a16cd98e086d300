-- The update that is under way, or the last one: one row. Made beside the first tables, under the same schema version, since
-- the build in the other slot opens this file, too, after a roll-back.
CREATE TABLE IF NOT EXISTS software_update (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    -- JSON.
    record TEXT NOT NULL
) STRICT;
