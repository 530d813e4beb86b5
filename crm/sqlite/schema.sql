-- Version 1 of the tables of vinfer-sync.
--
-- Read them with any SQLite tool while calls are being written. All times are UTC, as text like 2024-01-15T10:35:22.000Z, which
-- sorts by time and which SQLite's date functions take. A NULL is something that is not known.
-- Rows are keyed by the id of the call, so a call that is written again changes its row; nothing known is ever emptied.

-- One row for each person: by the number in international form where it is valid, else by the number as it
-- was sent. A call without a number has a contact of its own, for it could be anybody's.
CREATE TABLE contacts (
  id          INTEGER PRIMARY KEY,
  phone_e164  TEXT UNIQUE,                  -- +<country><number>
  phone       TEXT,                         -- as VInfer sent it
  name        TEXT,                         -- filled when missing, never replaced: it may be corrected by hand
  status      TEXT,                         -- lead status, as the mapping gives it
  status_at   TEXT,                         -- completion of the call that set the status; an older call does not change it
  do_not_call INTEGER NOT NULL DEFAULT 0,   -- 1: asked not to be called again; only ever set to 1
  created_at  TEXT NOT NULL,
  updated_at  TEXT NOT NULL
);
CREATE UNIQUE INDEX contacts_raw_phone ON contacts (phone) WHERE phone_e164 IS NULL AND phone IS NOT NULL;
CREATE INDEX contacts_phone ON contacts (phone);
CREATE INDEX contacts_status ON contacts (status);

CREATE TABLE calls (
  id               TEXT PRIMARY KEY,        -- VInfer's id
  contact_id       INTEGER NOT NULL REFERENCES contacts (id),
  campaign         TEXT,
  direction        TEXT,                    -- outbound, inbound
  status           TEXT,                    -- completed, failed
  disposition      TEXT,                    -- normalised: callback_requested, dnc, …
  raw_disposition  TEXT,                    -- as VInfer sent it
  lead_status      TEXT,                    -- what the mapping gives for the disposition
  duration_seconds REAL,                    -- from the answer; 0: never connected
  language         TEXT,
  started_at       TEXT,
  ended_at         TEXT,
  callback_at      TEXT,                    -- when the contact asked to be called
  transcript_url   TEXT,                    -- needs the VInfer key to open
  sentiment        TEXT,                    -- a word, or a number from -1 to 1
  qa_score         REAL,                    -- 0 to 100
  summary          TEXT,
  revision         INTEGER NOT NULL,        -- counts the states of the call
  late             INTEGER NOT NULL,        -- 1: a newer call of the contact had been written before
  created_at       TEXT NOT NULL,
  updated_at       TEXT NOT NULL
);
CREATE INDEX calls_contact ON calls (contact_id, ended_at);
CREATE INDEX calls_ended ON calls (ended_at);
CREATE INDEX calls_campaign ON calls (campaign, ended_at);

-- The transcript of a call.
CREATE TABLE notes (
  id         INTEGER PRIMARY KEY,
  call_id    TEXT NOT NULL UNIQUE REFERENCES calls (id) ON DELETE CASCADE,
  text       TEXT,                          -- lines: "agent: …", "customer: …"
  segments   TEXT,                          -- JSON: [{"speaker","text","start","end"}], for json_each
  language   TEXT,
  summary    TEXT,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL
);

-- The follow-up of a call. It is made once; done, title and owner are yours to change.
CREATE TABLE tasks (
  id         INTEGER PRIMARY KEY,
  call_id    TEXT NOT NULL UNIQUE REFERENCES calls (id) ON DELETE CASCADE,
  title      TEXT NOT NULL,
  due_at     TEXT,                          -- follows when the contact asks for another time
  owner      TEXT,
  done       INTEGER NOT NULL DEFAULT 0,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL
);
CREATE INDEX tasks_open ON tasks (due_at) WHERE done = 0;

-- Days and hours are UTC. For local ones use date(ended_at, '+330 minutes') and the like.
CREATE VIEW outcomes_by_campaign_day AS
  SELECT date(ended_at) AS day_utc, campaign, disposition, count(*) AS calls, sum(duration_seconds > 0) AS connected,
         round(avg(CASE WHEN duration_seconds > 0 THEN duration_seconds END), 1) AS average_seconds, round(avg(qa_score), 1) AS average_qa_score
  FROM calls GROUP BY 1, 2, 3;

CREATE VIEW calls_by_hour AS
  SELECT strftime('%Y-%m-%dT%H:00Z', ended_at) AS hour_utc, count(*) AS calls, sum(duration_seconds > 0) AS connected,
         sum(status = 'failed') AS failed
  FROM calls GROUP BY 1;

CREATE VIEW open_callbacks AS
  SELECT t.id AS task_id, t.due_at, t.title, t.owner, c.id AS contact_id, c.name, coalesce(c.phone_e164, c.phone) AS phone,
         c.status, c.do_not_call, k.id AS call_id, k.campaign, k.language, k.summary
  FROM tasks t JOIN calls k ON k.id = t.call_id JOIN contacts c ON c.id = k.contact_id
  WHERE t.done = 0 ORDER BY t.due_at;

CREATE VIEW contact_timeline AS
  SELECT c.id AS contact_id, coalesce(c.phone_e164, c.phone) AS phone, c.name, e.at, e.kind, e.call_id, e.text
  FROM contacts c JOIN (
    SELECT contact_id, coalesce(ended_at, started_at, created_at) AS at, 'call' AS kind, id AS call_id,
           coalesce(summary, disposition, status) AS text FROM calls
    UNION ALL
    SELECT k.contact_id, n.created_at, 'transcript', k.id, n.text FROM notes n JOIN calls k ON k.id = n.call_id
    UNION ALL
    SELECT k.contact_id, t.created_at, 'task', k.id, t.title FROM tasks t JOIN calls k ON k.id = t.call_id
  ) e ON e.contact_id = c.id
  ORDER BY c.id, e.at;

CREATE VIEW latest_calls AS
  SELECT c.id AS contact_id, c.name, coalesce(c.phone_e164, c.phone) AS phone, c.status, c.do_not_call,
         max(k.ended_at) AS last_call_at, k.id AS call_id, k.disposition, k.summary, count(*) AS calls
  FROM contacts c JOIN calls k ON k.contact_id = c.id GROUP BY c.id;
