/**
 * A whole lottery on this machine, as processes on free ports: generated bet files, the central, one agency for each
 * file, the draw. Every count and every winner is compared between the files (read independently), what each agency
 * printed, and the ledger.
 */
import { Effect, Schema, type Scope } from "effect"
import { join } from "node:path"
import type { LedgerAddress } from "../admin/LedgerAddress.ts"
import { type AgencyResult, results } from "../admin/LedgerReport.ts"
import { type AgencyOutcome, runAgency } from "./AgencyRun.ts"
import { type Ports, startCentral } from "./CentralRun.ts"
import { type Expectation, expectationOf } from "./Expectation.ts"
import { type GeneratedFile, generateFiles } from "./GeneratedFiles.ts"

export interface DemonstrationOptions {
  readonly agencies: number
  readonly bets: number
  readonly seed: number
}

export interface DemonstrationObserver {
  readonly note: (text: string) => Effect.Effect<void>
  /** Shows the progress of a delivery while the scope lasts; gives what is called with the bets acknowledged so far. */
  readonly follow: (total: number) => Effect.Effect<(bets: number) => void, never, Scope.Scope>
}

/** The agencies or the ledger disagree with the files. */
export class DemonstrationWrong
  extends Schema.TaggedError<DemonstrationWrong>()("DemonstrationWrong", {
    problems: Schema.Array(Schema.String)
  })
{
  override get message(): string {
    return `the check failed: ${this.problems.join("; ")}`
  }
}

export const winningNumber = 7574

/** Runs in `folder`, and leaves the children's logs there. */
export const demonstrate = Effect.fnUntraced(function*(
  options: DemonstrationOptions,
  folder: string,
  { follow, note }: DemonstrationObserver
) {
  const files = yield* generateFiles(folder, options, { force: false, keep: false, ledgers: [] })
  yield* note(`generated ${options.bets} bets for ${options.agencies} agencies in ${folder}`)
  const path = join(folder, "ledger.sqlite")
  const central = yield* startCentral(folder, {
    name: "central",
    agencies: options.agencies,
    winningNumber,
    ledger: path
  })
  const { bets, consult } = central.ports
  yield* note(`the central listens on port ${bets} for bets and ${consult} for consults`)
  const outcomes = yield* Effect.flatMap(
    follow(options.bets),
    (delivered) => runAgencies(files, () => [central.ports], folder, (total) => delivered(total))
  ).pipe(Effect.scoped, Effect.raceFirst(central.died))
  yield* note("the draw was held and every agency has its winners")
  yield* check(files, outcomes, path)
  yield* note("checked: every count and every winner is as the files say")
  yield* central.stop
  yield* note("the central was stopped by SIGTERM: exit code 0")
  return outcomes
}, Effect.scoped)

/** All at once; `onDelivered` is called with what all of them have delivered, and which of them it was. */
export const runAgencies = (
  files: ReadonlyArray<GeneratedFile>,
  centralsOf: (file: GeneratedFile) => ReadonlyArray<Ports>,
  folder: string,
  onDelivered: (total: number, agency: number, bets: number) => void
) => {
  let total = 0
  return Effect.forEach(
    files,
    (file) =>
      runAgency(file, centralsOf(file), folder, (bets) => {
        total += bets
        onDelivered(total, file.agency, bets)
      }),
    { concurrency: files.length }
  )
}

/** Compares the files with what the agencies were told, and with the ledger. */
export const check = Effect.fnUntraced(function*(
  files: ReadonlyArray<GeneratedFile>,
  outcomes: ReadonlyArray<AgencyOutcome>,
  ledger: LedgerAddress
) {
  const expectations = yield* Effect.forEach(
    files,
    ({ path }) => expectationOf(path, winningNumber)
  )
  const stored = yield* results(ledger)
  const problems = differences(outcomes, expectations, stored.agencies)
  if (problems.length > 0) yield* new DemonstrationWrong({ problems })
})

/** Every disagreement with the files; `stored` is what the ledger says. */
export const differences = (
  outcomes: ReadonlyArray<AgencyOutcome>,
  expectations: ReadonlyArray<Expectation>,
  stored: ReadonlyArray<AgencyResult>
): ReadonlyArray<string> =>
  outcomes.flatMap(({ agency, bets, winners }, index) => {
    const expected = expectations[index] ?? { bets: 0, winners: [] }
    const row = stored.find((candidate) => candidate.agency === agency)
    const checks = [
      [bets === expected.bets, `agency ${agency} delivered ${bets} of ${expected.bets} bets`],
      [
        winners.join() === expected.winners.join(),
        `agency ${agency} was told winners that are not those of its file`
      ],
      [
        row?.bets === expected.bets,
        `the ledger holds ${row?.bets ?? 0} of the ${expected.bets} bets of agency ${agency}`
      ],
      [row?.finished === true, `agency ${agency} has not finished according to the ledger`],
      [
        row?.winners === expected.winners.length,
        `the ledger holds ${
          row?.winners ?? 0
        } of the ${expected.winners.length} winners of agency ${agency}`
      ]
    ] as const
    return checks.flatMap(([holds, problem]) => holds ? [] : [problem])
  })
