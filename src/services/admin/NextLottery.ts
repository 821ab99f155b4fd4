/** What `ledger begin` asks of the lottery before, wherever it is stored, and the name of the next draw. */
import { Schema } from "effect"
import type { Roster } from "../../domain/Agency.ts"
import type { DrawName, ToldRecord, WinningNumber } from "../../domain/Draw.ts"
import type { Standing } from "../../domain/Standing.ts"
import { drawNameOfTime } from "../ledger/DrawNameOfTime.ts"
import { agenciesOf } from "./StoredLedger.ts"

/** The ledger has bets and waits for its draw. */
class DrawNotHeld extends Schema.TaggedError<DrawNotHeld>()("DrawNotHeld", {
  path: Schema.String,
  home: Schema.Literals(["file", "database"])
}) {
  override get message(): string {
    return `${this.path}: its draw has not been held; hold it, or begin another ${this.home} (--ledger)`
  }
}

/** The next draw was to have the name of the one before it. */
export class DrawNameTaken extends Schema.TaggedError<DrawNameTaken>()("DrawNameTaken", {
  path: Schema.String,
  draw: Schema.String
}) {
  override get message(): string {
    return `${this.path}: the draw of the old ledger is also called ${this.draw}; give the next one another name `
      + "(lottery.draw, DRAW, or --draw), or none"
  }
}

/** Agencies would lose something. */
class AgenciesUnsettled extends Schema.TaggedError<AgenciesUnsettled>()("AgenciesUnsettled", {
  path: Schema.String,
  reasons: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return `${this.path}: ${this.reasons.join("; ")}. Once the next draw has begun, `
      + "they can no longer ask for the winners of this one. Let them ask first, or continue with --yes"
  }
}

export interface NewLottery {
  readonly roster: Roster
  readonly winningNumber: WinningNumber
  /** A draw without one is named after the time. */
  readonly draw?: DrawName | undefined
}

export interface Begun {
  readonly draw: string
  /** Where the old ledger is now, if there was one with a draw. */
  readonly archive: string | undefined
  /** In a database: the draw before, which stays there, and which its servers go on with. */
  readonly beside: string | undefined
}

/** The lottery before the next one. */
export interface OldLottery {
  readonly draw: string
  /** No bet is stored in it. */
  readonly empty: boolean
  /** When its draw was held, if it was. */
  readonly heldAt: string | undefined
  /** What agencies would lose if it were put aside. */
  readonly unsettled: ReadonlyArray<string>
}

export const oldLotteryOf = (
  lottery: { readonly draw: string; readonly roster: string },
  standings: ReadonlyMap<number, Standing>,
  heldAt: string | undefined,
  told: ReadonlyMap<number, ToldRecord>
): OldLottery => ({
  draw: lottery.draw,
  empty: [...standings.values()].every(({ bets }) => bets === 0),
  heldAt,
  unsettled: heldAt === undefined
    ? finishedAgencies(standings)
    : untoldAgencies(agenciesOf(lottery), told)
})

export type Refusal = AgenciesUnsettled | DrawNameTaken | DrawNotHeld

/** Why the old ledger must stay where it is, if it must. */
export const refusalOf = (
  path: string,
  home: "file" | "database",
  old: OldLottery,
  lottery: NewLottery,
  anyway: boolean
): Refusal | undefined => {
  if (old.heldAt === undefined && !old.empty) return new DrawNotHeld({ path, home })
  if (old.heldAt !== undefined && lottery.draw === old.draw) {
    return new DrawNameTaken({ path, draw: old.draw })
  }
  return old.unsettled.length > 0 && !anyway
    ? new AgenciesUnsettled({ path, reasons: old.unsettled })
    : undefined
}

/**
 * For a draw that was given no name. One that is begun anew before anything was stored is the same draw, and keeps its
 * name: agencies may have been told it.
 */
export const nextDrawName = (old: OldLottery | undefined): string => {
  if (old !== undefined && old.heldAt === undefined) return old.draw
  const name = drawNameOfTime(new Date())
  return name === old?.draw ? `${name}-2` : name
}

/** Before the draw: agencies that have finished, and wait for a draw that won't be held. */
const finishedAgencies = (
  standings: ReadonlyMap<number, Standing>
): ReadonlyArray<string> => {
  const finished = [...standings].flatMap(([agency, standing]) => standing.finished ? [agency] : [])
  return reason(
    finished.toSorted((a, b) => a - b),
    "finished without a bet, and would have to finish again"
  )
}

/** After the draw: agencies that may not know their winners. */
const untoldAgencies = (
  roster: ReadonlyArray<number>,
  told: ReadonlyMap<number, ToldRecord>
): ReadonlyArray<string> => [
  ...reason(
    roster.filter((agency) => !told.has(agency)),
    "not known to have been told the winners"
  ),
  ...reason(
    roster.filter((agency) => told.get(agency)?.how === "sent"),
    "sent the winners, but their receipt is not confirmed"
  )
]

const reason = (agencies: ReadonlyArray<number>, problem: string): ReadonlyArray<string> =>
  agencies.length === 0 ? [] : [`${named(agencies)}: ${problem}`]

/** More than this are counted. */
const namedMax = 20

const named = (agencies: ReadonlyArray<number>): string => {
  const [first, ...others] = agencies
  if (others.length === 0) return `agency ${first}`
  const more = agencies.length - namedMax
  return `agencies ${agencies.slice(0, namedMax).join(", ")}${more > 0 ? ` and ${more} more` : ""}`
}
