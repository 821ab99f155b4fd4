/** Parts for tests of the agency's client: a scripted central, clients with short retry delays, bet files. */
import { Effect, Layer, Option, Stream } from "effect"
import { AgencyId } from "../../src/domain/Agency.ts"
import { type BetFields, betOfFields } from "../../src/domain/Bet.ts"
import {
  AgencyClient,
  agencyDefaults,
  type AgencyOptions
} from "../../src/services/agency/AgencyClient.ts"
import type { CheckedBets } from "../../src/services/agency/BetCheck.ts"
import type { BetLine } from "../../src/services/agency/BetFile.ts"
import { LogWriter, OperatorLog } from "../../src/services/base/OperatorLog.ts"
import { digestOf } from "./Sales.ts"
import { type Reaction, ScriptedCentral } from "./ScriptedCentral.ts"

const id = AgencyId.make(3)

export const bet = (text: string): BetFields => Option.getOrThrow(betOfFields(text.split(",")))

/** The file's bets, in small pieces, so that chunks and pieces end at different bets. */
export const fileOf = (bets: ReadonlyArray<string>, firstLine = 1): Stream.Stream<BetLine> =>
  Stream.fromIterable(bets.map((text, index) => ({ line: firstLine + index, bet: bet(text) })))
    .pipe(
      Stream.rechunk(7)
    )

/** What an agency finds when it checks these bets. */
export const checkedBets = (agency: number, bets: ReadonlyArray<string>): CheckedBets => ({
  bets: bets.length,
  digest: digestOf(agency, bets)
})

interface Trial {
  readonly central: ScriptedCentral
  readonly log: () => ReadonlyArray<string>
  readonly client: (
    options?: Partial<AgencyOptions>
  ) => Effect.Effect<AgencyClient["Service"]>
}

/** A central, and clients that are quick to try again. */
export const trial = Effect.gen(function*() {
  const central = yield* Effect.acquireRelease(
    Effect.promise(() => ScriptedCentral.start()),
    (started) => Effect.promise(() => started[Symbol.asyncDispose]())
  )
  const lines: Array<string> = []
  const writer = new LogWriter({ level: "DEBUG", format: "text", flushMs: 0 }, (text) => {
    lines.push(...text.split("\n").slice(0, -1))
  })
  const made: Trial = {
    central,
    log: () => {
      writer.flush()
      return lines
    },
    client: (options) =>
      AgencyClient.pipe(
        Effect.provide(
          AgencyClient.layer({
            ...agencyDefaults,
            agency: id,
            servers: [central.address],
            consults: [central.address],
            chunkBets: 10,
            answerTimeoutMs: 5000,
            backoffFirstMs: 1,
            backoffMaxMs: 10,
            giveUpAfterMs: 10_000,
            ...options
          }).pipe(Layer.provide(Layer.succeed(OperatorLog, writer)))
        )
      )
  }
  return made
})

export const rejection = (
  seq: number | undefined,
  code: string,
  more: Record<string, unknown> = {}
) => ({
  type_message: 3,
  payload: null,
  seq,
  code,
  message: "as the script says",
  ...more
})

/** Reacts once to what `applies` to, and serves otherwise. */
export const onceTo = (
  central: ScriptedCentral,
  seq: number,
  reaction: (seq: number | undefined) => Reaction
) => {
  let done = false
  central.react = (message) => {
    if (done || message.seq !== seq) return "serve"
    done = true
    return reaction(message.seq)
  }
}
