/**
 * The statements of the commit lane.
 *
 * {@link storeStatement} stores, in one transaction, the chunks whose agency's row still has this server's name and the
 * epoch under which they were decided on, marks the agencies that finish, and returns the agency of each stored chunk.
 * Rows are locked in one order, so that groups never wait for each other in a circle. After a wait for a lock, READ
 * COMMITTED looks at the row again: that is the fence. The epoch alone wouldn't do after a failover that lost claims: the
 * standby gives the same number to another server once more. The arrays for the lock are narrow. The wide ones are
 * unnested once, because each time costs as much as the insert, and never put into a hash table, as a join would. Agencies
 * are looked up by their key and joined with nothing, so that no plan can be a bad one (CommitLane.ts).
 *
 * {@link probeStatement} takes the place of the first for a group of nothing: it finds out whether anything can be stored.
 *
 * {@link lostStatement} returns the agencies of which a chunk that was acknowledged is not there.
 */
import type { AgencyId } from "../../../domain/Agency.ts"
import type { Epoch } from "../../../domain/Claim.ts"
import type { LedgerChunk } from "../BetLedger.ts"
import { chunkChecksum } from "../ChunkChecksum.ts"
import { bool, bytea, type CommitLaneMessages, int4, int8, text } from "./CommitLaneMessages.ts"

/** A statement to be prepared. */
export interface Statement {
  readonly name: string
  readonly sql: string
  /** The ids of its parameters' types. */
  readonly parameters: ReadonlyArray<number>
}

export const storeStatement: Statement = {
  name: "store",
  sql: `
WITH held AS MATERIALIZED (
  SELECT a.agency FROM agency a
  WHERE a.lottery = $1 AND a.agency = ANY ($2)
    AND a.epoch = ($3)[array_position($2, a.agency)] AND a.server = $14 AND NOT a.finished
  ORDER BY a.agency FOR NO KEY UPDATE OF a
), finished AS (
  UPDATE agency a SET finished = true
  WHERE a.lottery = $1 AND a.agency = ANY ($4) AND a.agency IN (SELECT held.agency FROM held)
)
INSERT INTO chunk (lottery, agency, seq, epoch, last, bets, total, checksum, numbers, body)
SELECT $1, c.agency, c.seq, c.epoch, c.last, c.bets, c.total, c.checksum, c.numbers, c.body
FROM unnest($5, $6, $7, $8, $9, $10, $11, $12, $13)
  c (agency, seq, epoch, last, bets, total, checksum, numbers, body)
WHERE c.agency IN (SELECT held.agency FROM held)
RETURNING agency`,
  parameters: [
    int8.oid,
    ...[int8, int8, int8].map(({ arrayOid }) => arrayOid),
    ...[int8, int8, int8, bool, int4, int8, int8, bytea, text].map(({ arrayOid }) => arrayOid),
    text.oid
  ]
}

/** It must write: a commit that has written nothing doesn't wait for a synchronous standby. */
export const probeStatement: Statement = {
  name: "probe",
  sql: "UPDATE lottery SET confirmed_at = now() WHERE id = $1",
  parameters: [int8.oid]
}

export const lostStatement: Statement = {
  name: "lost",
  sql: `
SELECT known.agency FROM unnest($2, $3) known (agency, seq)
WHERE (
  SELECT c.seq FROM chunk c
  WHERE c.lottery = $1 AND c.agency = known.agency AND c.seq = known.seq
) IS NULL`,
  parameters: [int8.oid, int8.arrayOid, int8.arrayOid]
}

/** Whose chunks are stored, and where. */
export interface Store {
  /** The id of the lottery. */
  readonly lottery: number
  /** The server's name, of a few hundred bytes at most. */
  readonly server: Uint8Array
}

/** More than a chunk takes besides its numbers and its body: 12 numbers with their lengths. */
const chunkBytes = 192

/** The messages that store a group. They are valid until the next ones are written to the same buffer. */
export const storeMessages = (
  messages: CommitLaneMessages,
  { lottery, server }: Store,
  group: ReadonlyArray<LedgerChunk>
): Uint8Array => {
  const { array, bool: flag, bytes, int4: int, int8: long } = messages
  const epochs = new Map<AgencyId, Epoch>()
  const finishing: Array<AgencyId> = []
  let capacity = fixedBytes
  for (const { agency, body, epoch, last, numbers } of group) {
    capacity += chunkBytes + numbers.length + body.length
    epochs.set(agency, epoch)
    if (last) finishing.push(agency)
  }
  return messages.run(storeStatement.name, storeStatement.parameters.length, capacity, () => {
    long(lottery)
    array(int8, [...epochs.keys()], long)
    array(int8, [...epochs.values()], long)
    array(int8, finishing, long)
    array(int8, group, ({ agency }) => long(agency))
    array(int8, group, ({ seq }) => long(seq))
    array(int8, group, ({ epoch }) => long(epoch))
    array(bool, group, ({ last }) => flag(last))
    array(int4, group, ({ bets }) => int(bets))
    array(int8, group, ({ total }) => long(total))
    array(int8, group, (chunk) => long(checksumOf(chunk)))
    array(bytea, group, ({ numbers }) => bytes(numbers))
    array(text, group, ({ body }) => bytes(body))
    bytes(server)
  })
}

export const probeMessages = (messages: CommitLaneMessages, lottery: number): Uint8Array =>
  messages.run(probeStatement.name, probeStatement.parameters.length, fixedBytes, () => {
    messages.int8(lottery)
  })

/** `known` are acknowledged chunks, one of each agency. */
export const lostMessages = (
  messages: CommitLaneMessages,
  lottery: number,
  known: ReadonlyArray<{ readonly agency: AgencyId; readonly seq: number }>
): Uint8Array => {
  const { array, int8: long } = messages
  const capacity = fixedBytes + chunkBytes * known.length
  return messages.run(lostStatement.name, lostStatement.parameters.length, capacity, () => {
    long(lottery)
    array(int8, known, ({ agency }) => long(agency))
    array(int8, known, ({ seq }) => long(seq))
  })
}

/** More than the parameters of an empty group take. */
const fixedBytes = 1024

const checksumOf = ({ agency, bets, body, last, numbers, seq }: LedgerChunk): number =>
  chunkChecksum(agency, seq, last ? 1 : 0, bets, numbers, body)
