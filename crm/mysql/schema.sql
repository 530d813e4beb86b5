-- Version 1 of the tables of vinfer-sync, for MySQL 8.0 and MariaDB 10.5 or later.
--
-- All times are UTC. A NULL is something that is not known. Rows are keyed by the id of the call, so a call that is
-- written again changes its row; nothing known is ever emptied. Ids and numbers are compared letter by letter.
--
-- The server commits each of these statements by itself, so each may be executed again after all of them were.

-- One row for each person: by the number in international form where it is valid, else by the number as it was sent.
-- A call without a number has a contact of its own, for it could be anybody's.
CREATE TABLE IF NOT EXISTS contacts (
  id             BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  phone_e164     VARCHAR(32) COLLATE utf8mb4_bin UNIQUE,   -- +<country><number>
  phone          VARCHAR(255) COLLATE utf8mb4_bin,         -- as VInfer sent it
  name           MEDIUMTEXT,                               -- filled when missing, never replaced: it may be corrected by hand
  status         VARCHAR(255),                             -- lead status, as the mapping gives it
  status_at      DATETIME(3),                              -- completion of the call that set the status; an older call does not change it
  do_not_call    BOOLEAN NOT NULL DEFAULT FALSE,           -- asked not to be called again; only ever set to true
  anonymous_call VARCHAR(255) COLLATE utf8mb4_bin UNIQUE,  -- the call for which a contact without a number was made
  raw_phone      VARCHAR(255) COLLATE utf8mb4_bin GENERATED ALWAYS AS (CASE WHEN phone_e164 IS NULL THEN phone END) STORED UNIQUE,
  created_at     DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  updated_at     DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  INDEX contacts_phone (phone),
  INDEX contacts_status (status)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;

CREATE TABLE IF NOT EXISTS calls (
  id               VARCHAR(255) COLLATE utf8mb4_bin NOT NULL PRIMARY KEY,  -- VInfer's id
  contact_id       BIGINT NOT NULL,
  campaign         VARCHAR(255) COLLATE utf8mb4_bin,
  direction        VARCHAR(255),   -- outbound, inbound
  status           VARCHAR(255),   -- completed, failed
  disposition      VARCHAR(255),   -- normalised: callback_requested, dnc, …
  raw_disposition  TEXT,           -- as VInfer sent it
  lead_status      VARCHAR(255),   -- what the mapping gives for the disposition
  duration_seconds DOUBLE,         -- from the answer; 0: never connected
  language         VARCHAR(255),
  started_at       DATETIME(3),
  ended_at         DATETIME(3),
  callback_at      DATETIME(3),    -- when the contact asked to be called
  transcript_url   TEXT,           -- needs the VInfer key to open
  sentiment        VARCHAR(255),   -- a word, or a number from -1 to 1
  qa_score         DOUBLE,         -- 0 to 100
  summary          MEDIUMTEXT,
  revision         INT NOT NULL,      -- counts the states of the call
  late             BOOLEAN NOT NULL,  -- a newer call of the contact had been written before
  created_at       DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  updated_at       DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  INDEX calls_contact (contact_id, ended_at),
  INDEX calls_ended (ended_at),
  INDEX calls_campaign (campaign, ended_at),
  CONSTRAINT calls_of_contacts FOREIGN KEY (contact_id) REFERENCES contacts (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;

-- The transcript of a call.
CREATE TABLE IF NOT EXISTS notes (
  id         BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  call_id    VARCHAR(255) COLLATE utf8mb4_bin NOT NULL UNIQUE,
  text       LONGTEXT,    -- lines: "agent: …", "customer: …"
  segments   JSON,        -- [{"speaker","text","start","end"}]
  language   VARCHAR(255),
  summary    MEDIUMTEXT,
  created_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  updated_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  CONSTRAINT notes_of_calls FOREIGN KEY (call_id) REFERENCES calls (id) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;

-- The follow-up of a call. It is made once; done, title and owner are yours to change.
CREATE TABLE IF NOT EXISTS tasks (
  id         BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  call_id    VARCHAR(255) COLLATE utf8mb4_bin NOT NULL UNIQUE,
  title      MEDIUMTEXT NOT NULL,
  due_at     DATETIME(3),  -- follows when the contact asks for another time
  owner      VARCHAR(255),
  done       BOOLEAN NOT NULL DEFAULT FALSE,
  created_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  updated_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  INDEX tasks_open (done, due_at),
  CONSTRAINT tasks_of_calls FOREIGN KEY (call_id) REFERENCES calls (id) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;

-- Days and hours are UTC.
CREATE OR REPLACE SQL SECURITY INVOKER VIEW outcomes_by_campaign_day AS
  SELECT DATE(ended_at) AS day_utc, campaign, disposition, COUNT(*) AS calls,
         COUNT(CASE WHEN duration_seconds > 0 THEN 1 END) AS connected,
         CAST(AVG(CASE WHEN duration_seconds > 0 THEN duration_seconds END) AS DECIMAL(12, 1)) AS average_seconds,
         CAST(AVG(qa_score) AS DECIMAL(12, 1)) AS average_qa_score
  FROM calls GROUP BY DATE(ended_at), campaign, disposition;

CREATE OR REPLACE SQL SECURITY INVOKER VIEW calls_by_hour AS
  SELECT CAST(DATE_FORMAT(ended_at, '%Y-%m-%d %H:00:00') AS DATETIME) AS hour_utc, COUNT(*) AS calls,
         COUNT(CASE WHEN duration_seconds > 0 THEN 1 END) AS connected, COUNT(CASE WHEN status = 'failed' THEN 1 END) AS failed
  FROM calls GROUP BY CAST(DATE_FORMAT(ended_at, '%Y-%m-%d %H:00:00') AS DATETIME);

CREATE OR REPLACE SQL SECURITY INVOKER VIEW open_callbacks AS
  SELECT t.id AS task_id, t.due_at, t.title, t.owner, c.id AS contact_id, c.name, COALESCE(c.phone_e164, c.phone) AS phone,
         c.status, c.do_not_call, k.id AS call_id, k.campaign, k.language, k.summary
  FROM tasks t JOIN calls k ON k.id = t.call_id JOIN contacts c ON c.id = k.contact_id
  WHERE NOT t.done ORDER BY t.due_at;

CREATE OR REPLACE SQL SECURITY INVOKER VIEW contact_timeline AS
  SELECT c.id AS contact_id, COALESCE(c.phone_e164, c.phone) AS phone, c.name, e.at, e.kind, e.call_id, e.text
  FROM contacts c JOIN (
    SELECT contact_id, COALESCE(ended_at, started_at, created_at) AS at, 'call' AS kind, id AS call_id,
           COALESCE(summary, disposition, status) AS text FROM calls
    UNION ALL
    SELECT k.contact_id, n.created_at, 'transcript', k.id, n.text FROM notes n JOIN calls k ON k.id = n.call_id
    UNION ALL
    SELECT k.contact_id, t.created_at, 'task', k.id, t.title FROM tasks t JOIN calls k ON k.id = t.call_id
  ) e ON e.contact_id = c.id
  ORDER BY c.id, e.at;

CREATE OR REPLACE SQL SECURITY INVOKER VIEW latest_calls AS
  SELECT c.id AS contact_id, c.name, COALESCE(c.phone_e164, c.phone) AS phone, c.status, c.do_not_call,
         k.ended_at AS last_call_at, k.id AS call_id, k.disposition, k.summary, k.calls
  FROM contacts c JOIN (
    SELECT contact_id, id, ended_at, disposition, summary, COUNT(*) OVER (PARTITION BY contact_id) AS calls,
           ROW_NUMBER() OVER (PARTITION BY contact_id ORDER BY ended_at DESC, id) AS n
    FROM calls
  ) k ON k.contact_id = c.id AND k.n = 1;
