-- The first schema. Later ones are further files; none is ever edited.
-- Times are milliseconds since 1970. Envelopes of up to 64 KiB stand in `*_sealed`; larger ones
-- are files, named in `*_file`.

CREATE TABLE modules (
    digest      BLOB    NOT NULL PRIMARY KEY,   -- SHA-256 of the plain module
    plain_len   INTEGER NOT NULL,
    sealed      BLOB,
    sealed_file TEXT,
    sealed_len  INTEGER NOT NULL,
    excerpt     TEXT    NOT NULL,               -- what upstream shows of `file`
    created_ms  INTEGER NOT NULL
) STRICT;

CREATE TABLE tasks (
    id           BLOB    NOT NULL PRIMARY KEY,  -- UUIDv7: in order of time
    name         TEXT    NOT NULL,
    app_name     TEXT    NOT NULL,
    priority     INTEGER NOT NULL,
    pinned       TEXT,
    metadata     TEXT,
    module       BLOB    REFERENCES modules (digest),
    input        BLOB,
    input_file   TEXT,
    state        INTEGER NOT NULL,
    attempts     INTEGER NOT NULL,
    tries        INTEGER NOT NULL,
    proplet      TEXT,
    not_before_ms INTEGER NOT NULL,
    excluded     TEXT    NOT NULL,
    protection   TEXT    NOT NULL,
    error        TEXT    NOT NULL,              -- in the manager's words; a guest's are sealed
    created_ms   INTEGER NOT NULL,
    updated_ms   INTEGER NOT NULL,
    started_ms   INTEGER,
    finished_ms  INTEGER
) STRICT;

CREATE INDEX tasks_queued ON tasks (priority DESC, id) WHERE state = 1;
CREATE INDEX tasks_active ON tasks (id) WHERE state IN (2, 3);
CREATE INDEX tasks_finished ON tasks (finished_ms) WHERE state IN (4, 5, 6);
CREATE INDEX tasks_module ON tasks (module);

CREATE TABLE attempts (
    task        BLOB    NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    number      INTEGER NOT NULL,
    proplet     TEXT    NOT NULL,
    reason      TEXT    NOT NULL,
    assigned_ms INTEGER NOT NULL,
    ended_ms    INTEGER,
    outcome     TEXT,
    output      BLOB,
    output_file TEXT,
    usage       TEXT,
    PRIMARY KEY (task, number)
) STRICT;

CREATE TABLE proplets (
    id         TEXT    NOT NULL PRIMARY KEY,
    about      TEXT    NOT NULL,
    sealed     INTEGER NOT NULL,                -- 1 once it had a session: never plain again
    slots      INTEGER NOT NULL,
    heard_ms   INTEGER NOT NULL
) STRICT;
