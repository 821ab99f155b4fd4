/**
 * Bets are checked before the first one is sent: every line that is not a bet is reported at once. What was found is
 * compared with what is read while sending, since the last chunk is final and a bet file can change meanwhile.
 */
import { Effect, Schema, Stream } from "effect"
import { createHash } from "node:crypto"
import type { AgencyId } from "../../domain/Agency.ts"
import { fieldsOfBet } from "../../domain/Bet.ts"
import { csvLine } from "../../domain/Csv.ts"
import { type BetFileError, type BetInput, type BetProblem, linesInvalid } from "./BetFile.ts"
import type { BetHint } from "./BetHint.ts"
import type { BetReader } from "./BetReader.ts"

/** The most lines that a message names. */
const problemsShownMax = 20

/** What the bets were when they were checked. */
export interface CheckedBets {
  readonly bets: number
  /** SHA-256 of their lines in the export, as in RESUME_POINT. */
  readonly digest: string
}

/** The bets are no longer those that were checked. */
export class BetsChanged extends Schema.TaggedError<BetsChanged>()("BetsChanged", {
  agency: Schema.Int,
  problem: Schema.String
}) {
  override get message(): string {
    return `agency ${this.agency}: the bet file was changed while it was sent: ${this.problem}. The last chunk was not sent, `
      + "and the answered chunks are stored. Start again once nothing writes to the file: the bets that were sent must be its beginning"
  }
}

/** Reads all bets; fails with the lines that are not bets. */
export const checkBets = Effect.fnUntraced(function*(
  { name, steps }: BetInput,
  agency: number
): Effect.fn.Return<CheckedBets, BetFileError> {
  const hash = createHash("sha256")
  const problems: Array<BetProblem> = []
  const hints = new Set<BetHint>()
  let bets = 0
  let count = 0
  let endsEmpty = false
  yield* Stream.runForEachArray(steps, (piece) =>
    Effect.sync(() => {
      for (const step of piece) {
        endsEmpty = false
        if ("bet" in step) {
          bets++
          hash.update(csvLine(agency, fieldsOfBet(step.bet)))
          continue
        }
        if (count++ < problemsShownMax) problems.push(step)
        for (const hint of step.hints) {
          if (hint === "empty") endsEmpty = true
          else hints.add(hint)
        }
      }
    }))
  if (endsEmpty) hints.add("empty")
  if (count > 0) return yield* linesInvalid(name, problems, count, [...hints])
  return { bets, digest: hash.digest("hex") }
})

/** Fails when what was read so far can't be what was checked; `last` says that it is all. */
export const compareWithChecked = (
  agency: AgencyId,
  checked: CheckedBets | undefined,
  reader: BetReader,
  last: boolean
): Effect.Effect<void, BetsChanged> => {
  if (checked === undefined) return Effect.void
  const changed = (problem: string) => Effect.fail(new BetsChanged({ agency, problem }))
  const bets = reader.count()
  if (bets > checked.bets) return changed(`it had ${checked.bets} bets and has more now`)
  if (!last) return Effect.void
  if (bets < checked.bets) return changed(`it had ${checked.bets} bets and has ${bets} now`)
  return reader.digest() === checked.digest
    ? Effect.void
    : changed("its bets are not the same any more")
}
