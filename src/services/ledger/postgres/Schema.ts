/**
 * The tables of the ledger in PostgreSQL, as numbered migrations, which are never edited, only added to. One database
 * holds many lotteries; each has a partition of `chunk` to itself, which can be dropped when nobody needs it any more.
 *
 * Nothing counts in the agency's row: it is locked by every store, and an update of it for each chunk gets ten times
 * slower while anybody holds a snapshot (a dump, a long export). So an agency's last `seq` and its number of bets stand
 * in its last chunk, and the row changes when the agency is claimed and when it finishes. There are no sequences, no
 * advisory locks and no triggers: what is used here is there on distributed databases that speak PostgreSQL.
 *
 * The checks are a second line of defence, and cheap ones. That an agency's chunks have no gap follows from the epoch,
 * whose holder counts, and from the key. Checksums are compared by readers (ChunkChecksum.ts, RowChecksums.ts).
 */

/** A statement each: PostgreSQL takes one at a time. `schema` is the quoted name of the schema that they are made in. */
export interface Migration {
  readonly name: string
  readonly statements: (schema: string) => ReadonlyArray<string>
}

const tables = [
  `CREATE TABLE lottery (
    id bigint PRIMARY KEY,
    draw text NOT NULL UNIQUE,
    roster text NOT NULL,
    winning_number integer NOT NULL CHECK (winning_number BETWEEN 0 AND 9999),
    began_at timestamptz NOT NULL DEFAULT now(),
    checksum bigint NOT NULL,
    held_at timestamptz,
    held_by text,
    confirmed_at timestamptz
  )`,
  `CREATE TABLE agency (
    lottery bigint NOT NULL REFERENCES lottery,
    agency bigint NOT NULL CHECK (agency > 0),
    epoch bigint NOT NULL DEFAULT 0,
    server text,
    finished boolean NOT NULL DEFAULT false,
    PRIMARY KEY (lottery, agency)
  ) WITH (fillfactor = 70)`,
  `CREATE TABLE chunk (
    lottery bigint NOT NULL,
    agency bigint NOT NULL,
    seq bigint NOT NULL CHECK (seq > 0),
    epoch bigint NOT NULL CHECK (epoch > 0),
    total bigint NOT NULL,
    checksum bigint NOT NULL,
    bets integer NOT NULL CHECK (bets >= 0),
    last boolean NOT NULL,
    numbers bytea NOT NULL,
    body text NOT NULL,
    PRIMARY KEY (lottery, agency, seq),
    CHECK (total >= bets),
    CHECK (octet_length(numbers) = 2 * bets),
    CHECK ((bets = 0) = (body = ''))
  ) PARTITION BY LIST (lottery)`,
  `CREATE TABLE draw (
    lottery bigint PRIMARY KEY REFERENCES lottery,
    winning_number integer NOT NULL,
    winners bigint NOT NULL,
    checksum bigint NOT NULL
  )`,
  `CREATE TABLE winner (
    lottery bigint NOT NULL REFERENCES draw,
    agency bigint NOT NULL,
    position bigint NOT NULL CHECK (position > 0),
    document text NOT NULL,
    checksum bigint NOT NULL,
    PRIMARY KEY (lottery, agency, position)
  )`,
  `CREATE TABLE told (
    lottery bigint NOT NULL REFERENCES lottery,
    agency bigint NOT NULL,
    how text NOT NULL CHECK (how IN ('confirmed', 'sent')),
    told_at text NOT NULL,
    address text NOT NULL,
    port integer NOT NULL,
    served boolean NOT NULL,
    checksum bigint NOT NULL,
    PRIMARY KEY (lottery, agency)
  )`
] as const

/** One row per bet. A body is lines of fields that are separated by tabs; neither can be part of a field. */
const view = `CREATE VIEW bet AS
  SELECT lottery.draw, chunk.agency,
    split_part(line, E'\\t', 1) AS first_name,
    split_part(line, E'\\t', 2) AS last_name,
    split_part(line, E'\\t', 3) AS document,
    split_part(line, E'\\t', 4) AS birthdate,
    split_part(line, E'\\t', 5)::integer AS number,
    chunk.seq AS chunk,
    lines.position
  FROM lottery
  JOIN chunk ON chunk.lottery = lottery.id
  CROSS JOIN LATERAL string_to_table(left(chunk.body, -1), E'\\n')
    WITH ORDINALITY AS lines (line, position)
  WHERE chunk.bets > 0`

/**
 * Begins a lottery, with its partition and its agencies, and gives its id; null if another with this name was begun, or,
 * where it would be the `first` one, any other. It runs with the rights of its owner, so that a server that may not
 * create anything can begin the next lottery. The partition is attached and not created in place: that would wait for
 * every reader of other lotteries, and have every writer wait behind it.
 *
 * Bodies stay beside their chunk, compressed with lz4, where pages have room for them; with pglz, or out of line, a
 * store takes up to half as long again. Until `agency` was analyzed, each store would read all of it.
 */
const beginLottery = (schema: string) =>
  `CREATE FUNCTION begin_lottery(
    first boolean, of_draw text, of_roster text, number integer, of_checksum bigint, agencies bigint[]
  ) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = ${schema}, pg_temp AS $function$
  DECLARE
    begun bigint;
    part text;
  BEGIN
    LOOP
      INSERT INTO lottery (id, draw, roster, winning_number, checksum)
        SELECT coalesce(max(id), 0) + 1, of_draw, of_roster, number, of_checksum FROM lottery
        HAVING NOT first OR count(*) = 0
        ON CONFLICT DO NOTHING RETURNING id INTO begun;
      EXIT WHEN begun IS NOT NULL;
      IF EXISTS (SELECT FROM lottery WHERE first OR draw = of_draw) THEN RETURN NULL; END IF;
    END LOOP;
    part := 'chunk_' || begun;
    EXECUTE format('CREATE TABLE %I (LIKE chunk INCLUDING ALL)', part);
    EXECUTE format('ALTER TABLE %I SET (toast_tuple_target = 4080)', part);
    EXECUTE format('ALTER TABLE %I ALTER numbers SET STORAGE MAIN', part);
    BEGIN
      EXECUTE format('ALTER TABLE %I ALTER body SET STORAGE MAIN, ALTER body SET COMPRESSION lz4', part);
    EXCEPTION WHEN feature_not_supported THEN
      EXECUTE format('ALTER TABLE %I ALTER body SET STORAGE EXTERNAL', part);
    END;
    EXECUTE format('ALTER TABLE chunk ATTACH PARTITION %I FOR VALUES IN (%s)', part, begun);
    INSERT INTO agency (lottery, agency) SELECT begun, unnest(agencies);
    ANALYZE agency;
    RETURN begun;
  END
  $function$`

/**
 * Begins a lottery again that holds no bet, with other values: true if it was done, false if another lottery has the name,
 * null if it holds a bet or its draw was held. Every epoch is new, so that a server that still has the old values stores
 * nothing under them.
 */
const replaceEmptyLottery = (schema: string) =>
  `CREATE FUNCTION replace_empty_lottery(
    replaced bigint, of_draw text, of_roster text, number integer, of_checksum bigint, agencies bigint[]
  ) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = ${schema}, pg_temp AS $function$
  DECLARE
    fence bigint;
  BEGIN
    PERFORM FROM lottery WHERE id = replaced AND held_at IS NULL FOR UPDATE;
    IF NOT FOUND THEN RETURN NULL; END IF;
    PERFORM FROM agency WHERE lottery = replaced ORDER BY agency FOR UPDATE;
    IF EXISTS (SELECT FROM chunk WHERE lottery = replaced AND bets > 0) THEN RETURN NULL; END IF;
    IF EXISTS (SELECT FROM lottery WHERE draw = of_draw AND id <> replaced) THEN RETURN false; END IF;
    SELECT max(epoch) + 1 INTO fence FROM agency WHERE lottery = replaced;
    DELETE FROM chunk WHERE lottery = replaced;
    DELETE FROM agency WHERE lottery = replaced;
    UPDATE lottery SET draw = of_draw, roster = of_roster, winning_number = number, checksum = of_checksum, began_at = now()
      WHERE id = replaced;
    INSERT INTO agency (lottery, agency, epoch) SELECT replaced, unnest(agencies), fence;
    ANALYZE agency;
    RETURN true;
  END
  $function$`

export const migrations: ReadonlyArray<Migration> = [
  {
    name: "lotteries",
    statements: (schema) => [
      ...tables,
      view,
      beginLottery(schema),
      replaceEmptyLottery(schema),
      "REVOKE ALL ON FUNCTION begin_lottery, replace_empty_lottery FROM PUBLIC"
    ]
  }
]
