/**
 * What the simulated ledgers keep: it outlives every server. Everything here happens at once, as a transaction does; when
 * it happens, and who learns of it, is up to the home around it. Like the real ones it dies of what would break the
 * count, and stores groups whole but for fenced agencies, or not at all.
 */
import { Effect, Exit, Option } from "effect"
import { createHash } from "node:crypto"
import { type AgencyId, formatRoster, type Roster } from "../../src/domain/Agency.ts"
import { Epoch } from "../../src/domain/Claim.ts"
import { csvOfBody } from "../../src/domain/Csv.ts"
import { type Draw, DrawName, type ToldRecord, type WinningNumber } from "../../src/domain/Draw.ts"
import { laterTold } from "../../src/domain/LaterTold.ts"
import type { BetCursor } from "../../src/domain/ReplayRule.ts"
import { nothingStored, type Standing } from "../../src/domain/Standing.ts"
import {
  type Committed,
  type LedgerChunk,
  LedgerMismatch,
  type LotteryStanding,
  type StoredChunk
} from "../../src/services/ledger/BetLedger.ts"

export interface DiskWorld {
  /** `by`: the life of a server that gave the chunk to the ledger. */
  readonly onStored: (chunk: LedgerChunk, by: number) => void
  readonly onFenced: (agency: AgencyId) => void
  readonly onClaimed: (agency: AgencyId, epoch: Epoch, by: number) => void
  readonly onDrawn: (draw: Draw) => void
  readonly onToldNoted: (agency: AgencyId, told: ToldRecord) => void
}

export interface LedgerLottery {
  readonly roster: Roster
  readonly winningNumber: WinningNumber
}

/** What its draw is called, in every life. */
export const simulatedDraw = DrawName.make("simulated")

export class LedgerDisk {
  readonly #world: DiskWorld
  readonly #stored = new Map<AgencyId, Array<StoredChunk>>()
  readonly #epochs = new Map<AgencyId, Epoch>()
  readonly #told = new Map<AgencyId, ToldRecord>()
  #lottery: LedgerLottery | undefined
  #draw: Draw | undefined

  constructor(world: DiskWorld) {
    this.#world = world
  }

  /** Begins the lottery, or goes on with it. */
  begin({ roster, winningNumber }: LedgerLottery) {
    const isNew = this.#lottery === undefined
    const begun = this.#lottery ??= { roster, winningNumber }
    const differs = (what: "agencies" | "winning number", ledger: string, configured: string) =>
      ledger === configured
        ? undefined
        : new LedgerMismatch({ path: "(in memory)", what, ledger, configured })
    const mismatch = differs("agencies", formatRoster(begun.roster), formatRoster(roster))
      ?? differs("winning number", String(begun.winningNumber), String(winningNumber))
    if (mismatch !== undefined) return Effect.fail(mismatch)
    const standings = roster.map((agency) => this.recordOf(agency))
    return Effect.succeed({
      drawName: simulatedDraw,
      isNew,
      bets: standings.reduce((sum, { bets }) => sum + bets, 0),
      finished: standings.filter(({ finished }) => finished).length
    })
  }

  get #roster(): Roster {
    return this.#lottery?.roster ?? []
  }

  #chunksOf(agency: AgencyId): ReadonlyArray<StoredChunk> {
    return this.#stored.get(agency) ?? []
  }

  /** What is stored for the agency. */
  recordOf(agency: AgencyId): Standing {
    return this.#chunksOf(agency).reduce<Standing>(
      ({ bets }, chunk) => ({ seq: chunk.seq, bets: bets + chunk.bets, finished: chunk.last }),
      nothingStored
    )
  }

  /** The epoch of a new claim. */
  claim(agency: AgencyId, by: number): Exit.Exit<Epoch> {
    if (!this.#roster.includes(agency)) return defect(`agency ${agency} is not in the roster`)
    const epoch = Epoch.make((this.#epochs.get(agency) ?? 0) + 1)
    this.#epochs.set(agency, epoch)
    this.#world.onClaimed(agency, epoch, by)
    return Exit.succeed(epoch)
  }

  commit(given: ReadonlyArray<LedgerChunk>, by: number): Exit.Exit<Committed> {
    const roster = this.#roster
    const fenced = new Set(
      given.filter(({ agency, epoch }) => this.#epochs.get(agency) !== epoch)
        .map(({ agency }) => agency)
        .filter((agency) => roster.includes(agency))
    )
    const group = given.filter(({ agency }) => !fenced.has(agency))
    if (group.length > 0 && this.#draw !== undefined) return defect("a chunk came after the draw")
    const after = new Map<AgencyId, Standing>()
    for (const { agency, bets, body, last, numbers, seq, total } of group) {
      const known = after.get(agency) ?? this.recordOf(agency)
      if (!roster.includes(agency)) return defect(`agency ${agency} is not in the roster`)
      if (known.finished) return defect(`agency ${agency} had finished`)
      if (seq !== known.seq + 1) return defect(`agency ${agency}: ${seq} after ${known.seq}`)
      const ends = bets === 0 ? body.length === 0 : body.at(-1) === 0x0a && body.length > bets * 8
      if (numbers.length !== 2 * bets || !ends) return defect("not as long as its bets")
      if (total !== known.bets + bets) return defect(`agency ${agency}: ${total} bets in all`)
      after.set(agency, { seq, bets: total, finished: last })
    }
    for (const chunk of group) {
      const { agency, bets, body, last, numbers, seq } = chunk
      this.#stored.set(agency, [
        ...this.#chunksOf(agency),
        { agency, seq, last, bets, numbers, body }
      ])
      this.#world.onStored(chunk, by)
    }
    for (const agency of fenced) this.#world.onFenced(agency)
    return Exit.succeed({ fenced })
  }

  noteTold(records: ReadonlyArray<ToldRecord>): Exit.Exit<void> {
    for (const agency of this.#roster) {
      const record = records.find((each) => each.agency === agency)
      if (record === undefined) continue
      const told = laterTold(this.#told.get(agency), record)
      this.#told.set(agency, told)
      this.#world.onToldNoted(agency, told)
    }
    return Exit.void
  }

  get toldRecords(): ReadonlyMap<AgencyId, ToldRecord> {
    return new Map(this.#told)
  }

  get standing(): LotteryStanding {
    return {
      finished: new Set(this.#roster.filter((agency) => this.recordOf(agency).finished)),
      draw: Option.fromUndefinedOr(this.#draw)
    }
  }

  chunkAt(agency: AgencyId, seq: number): Option.Option<StoredChunk> {
    return Option.fromUndefinedOr(this.#chunksOf(agency)[seq - 1])
  }

  readBets(agency: AgencyId, from: BetCursor, bytes: number) {
    const pieces: Array<Uint8Array> = []
    let wanted = bytes
    let next = from
    for (const { body, seq } of this.#chunksOf(agency).slice(from.seq - 1)) {
      const piece = body.subarray(next.offset, next.offset + wanted)
      pieces.push(piece)
      wanted -= piece.length
      const end = next.offset + piece.length
      next = end === body.length ? { seq: seq + 1, offset: 0 } : { seq, offset: end }
      if (wanted === 0) break
    }
    return { bytes: new Uint8Array(Buffer.concat(pieces)), next }
  }

  digest(agency: AgencyId) {
    const hash = createHash("sha256")
    for (const { body } of this.#chunksOf(agency)) hash.update(csvOfBody(agency, body))
    const { bets, seq } = this.recordOf(agency)
    return { seq, bets, digest: hash.digest("hex") }
  }

  holdDraw(): Exit.Exit<Option.Option<Draw>> {
    if (this.#draw !== undefined) return Exit.succeed(Option.some(this.#draw))
    const { roster, winningNumber } = this.#lottery ?? { roster: [], winningNumber: undefined }
    if (winningNumber === undefined) return defect("a draw without a lottery")
    if (roster.some((agency) => !this.recordOf(agency).finished)) return Exit.succeed(Option.none())
    const winners = new Map<AgencyId, ReadonlyArray<string>>()
    for (const agency of roster) {
      const documents = this.#chunksOf(agency).flatMap(({ body }) =>
        Buffer.from(body).toString().split("\n").map((record) => record.split("\t"))
          .filter(([, , , , number]) => number !== undefined && Number(number) === winningNumber)
          .map(([, , document]) => document ?? "")
      )
      if (documents.length > 0) winners.set(agency, documents)
    }
    this.#draw = { winningNumber, winners }
    this.#world.onDrawn(this.#draw)
    return Exit.succeed(Option.some(this.#draw))
  }
}

const defect = (problem: string): Exit.Exit<never> => Exit.die(new Error(problem))
