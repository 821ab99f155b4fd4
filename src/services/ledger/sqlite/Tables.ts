/**
 * The tables of a ledger file, as numbered migrations, and what tells a ledger from other files. The migrations
 * that a file has seen are counted in its `user_version`; they are never edited, only added to.
 *
 * One row per chunk: a row per bet costs six times the CPU, and chunks are what is repeated, compared and counted.
 * There is no index on (agency, seq): with many agencies every commit would rewrite a page of it per agency. Row ids
 * are the order of commits, and an agency's chunks are found by a list of their ids that readers keep in memory.
 */

import type { DatabaseSync } from "node:sqlite"

/** `LotN` in ASCII, in the header of every ledger file. */
export const applicationId = 0x4c6f744e

const first = `
  CREATE TABLE lottery (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    roster TEXT NOT NULL,
    winning_number INTEGER NOT NULL,
    began_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))
  ) STRICT;

  CREATE TABLE chunk (
    id INTEGER PRIMARY KEY,
    agency INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    last INTEGER NOT NULL,
    bets INTEGER NOT NULL,
    numbers BLOB NOT NULL,
    body TEXT NOT NULL
  ) STRICT;

  CREATE TABLE snapshot (
    agency INTEGER PRIMARY KEY,
    seq INTEGER NOT NULL,
    bets INTEGER NOT NULL,
    finished INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE snapshot_end (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    chunk INTEGER NOT NULL
  ) STRICT;
  INSERT INTO snapshot_end VALUES (1, 0);

  CREATE TABLE disk_failure (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    commits INTEGER NOT NULL
  ) STRICT;
  INSERT INTO disk_failure VALUES (1, 0);

  CREATE TABLE draw (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    winning_number INTEGER NOT NULL,
    held_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))
  ) STRICT;
  CREATE TABLE winner (
    agency INTEGER NOT NULL,
    position INTEGER NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (agency, position)
  ) STRICT, WITHOUT ROWID;

  -- What is known of every agency that has sent: the snapshot and the chunks after it. "rows" counts chunks and must
  -- equal "seq".
  CREATE VIEW agency (agency, seq, rows, bets, finished) AS
  SELECT agency, max(seq), sum(rows), sum(bets), max(finished) FROM (
    SELECT agency, seq, seq AS rows, bets, finished FROM snapshot
    UNION ALL
    SELECT agency, seq, 1, bets, last FROM chunk WHERE id > (SELECT chunk FROM snapshot_end)
  ) GROUP BY agency;

  -- One row per bet. A body becomes a JSON array of arrays: its separators can't occur in a field, so only the
  -- backslash and the double quote need escaping.
  CREATE VIEW bet (agency, first_name, last_name, document, birthdate, number, chunk, position) AS
  SELECT chunk.agency,
    json_extract(line.value, '$[0]'), json_extract(line.value, '$[1]'), json_extract(line.value, '$[2]'),
    json_extract(line.value, '$[3]'), CAST(json_extract(line.value, '$[4]') AS INTEGER),
    chunk.seq, line.key + 1
  FROM chunk, json_each(CASE chunk.bets WHEN 0 THEN '[]' ELSE
    '[["' || replace(replace(replace(replace(substr(chunk.body, 1, length(chunk.body) - 1),
      '\\', '\\\\'), '"', '\\"'), char(9), '","'), char(10), '"],["') || '"]]'
  END) AS line;
`

/** Checksums: see Checksum.ts, which defines the functions. */
const second = `
  ALTER TABLE chunk ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
  UPDATE chunk SET checksum = chunk_checksum(id, agency, seq, last, bets, numbers, CAST(body AS BLOB));
  ALTER TABLE snapshot ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
  UPDATE snapshot SET checksum = row_checksum(agency, seq, bets, finished);
  ALTER TABLE winner ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
  UPDATE winner SET checksum = row_checksum(agency, position, document);
  ALTER TABLE draw ADD COLUMN winners INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE draw ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
  UPDATE draw SET winners = (SELECT count(*) FROM winner);
  UPDATE draw SET checksum = row_checksum(winning_number, winners);
`

/** The draw's name: see domain/Draw.ts. A ledger from before they had names takes that of its file. */
const third = `
  ALTER TABLE lottery ADD COLUMN draw TEXT NOT NULL DEFAULT '';
  ALTER TABLE lottery ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
  UPDATE lottery SET draw = draw_name_of_file();
  UPDATE lottery SET checksum = row_checksum(roster, winning_number, draw);
`

/** The token of the process that may write: each opening writes one of its own. */
const fourth = `
  CREATE TABLE fence (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    token INTEGER NOT NULL
  ) STRICT;
  INSERT INTO fence VALUES (1, 0);
`

/** Who was told its winners: see services/draw/Told.ts. Of each agency the first time that is sure, else the last. */
const fifth = `
  CREATE TABLE told (
    agency INTEGER PRIMARY KEY,
    how TEXT NOT NULL CHECK (how IN ('confirmed', 'sent')),
    told_at TEXT NOT NULL,
    address TEXT NOT NULL,
    port INTEGER NOT NULL,
    checksum INTEGER NOT NULL
  ) STRICT;
`

/** Whether `exitWhenServed` waits for the agency. A row that isn't what was stored stays one. */
const sixth = `
  ALTER TABLE told ADD COLUMN served INTEGER NOT NULL DEFAULT 0;
  UPDATE told SET served = how = 'confirmed', checksum = CASE checksum
    WHEN row_checksum(agency, how, told_at, address, port)
    THEN row_checksum(agency, how, told_at, address, port, how = 'confirmed')
    ELSE -1 END;
`

/**
 * A checksum of chunks without the row's id, so that it is the same wherever a chunk is stored. Node frees what it has
 * given to a function when the statement ends: in one statement, memory would grow to the size of the ledger.
 */
const takeIdsFromChecksums = (db: DatabaseSync): void => {
  const next = db.prepare(
    "SELECT max(id) AS id FROM (SELECT id FROM chunk WHERE id > ? ORDER BY id LIMIT 500)"
  )
  const update = db.prepare(`
    UPDATE chunk SET checksum =
      checksum_without_id(checksum, id, agency, seq, last, bets, numbers, CAST(body AS BLOB))
    WHERE id > ? AND id <= ?
  `)
  let done = 0
  for (;;) {
    const end = next.get(done)?.["id"]
    if (typeof end !== "number") return
    update.run(done, end)
    done = end
  }
}

const running = (sql: string) => (db: DatabaseSync): void => db.exec(sql)

/** The migration at index N brings a file from version N to N + 1. */
export const migrations: ReadonlyArray<(db: DatabaseSync) => void> = [
  ...[first, second, third, fourth, fifth].map(running),
  (db) => {
    takeIdsFromChecksums(db)
    db.exec(sixth)
  }
]
