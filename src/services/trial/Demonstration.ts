/**
 * A whole lottery on this machine, as processes on free ports: generated bet files, the central, one agency for each
 * file, the draw. Every count and every winner is compared between the files (read independently), what each agency
 * printed, and the ledger.
 */
import { Clock, Deferred, Effect, FileSystem, Schema, type Scope } from "effect"
import { join } from "node:path"
import { type AgencyResult, results } from "../admin/LedgerReport.ts"
import { ChildFailed, runChild } from "./ChildRun.ts"
import { type Expectation, expectationOf } from "./Expectation.ts"
import { type GeneratedFile, generateFiles } from "./GeneratedFiles.ts"

export interface DemonstrationOptions {
  readonly agencies: number
  readonly bets: number
  readonly seed: number
}

export interface AgencyOutcome {
  readonly agency: number
  /** What the central acknowledged. */
  readonly bets: number
  /** What the agency printed. */
  readonly winners: ReadonlyArray<string>
  /** From the agency's start until it had its winners. */
  readonly ms: number
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

const winningNumber = 7574
const readyDeadlineMs = 15_000
/** The central is on this machine: an agency that can't reach it for this long never will. */
const giveUpAfterS = 30

interface Ports {
  readonly bets: number
  readonly consult: number
}

/** Reads the ports off the central's log as its listeners open. */
const portWatch = () => {
  const ports = new Map<string, number>()
  const ready = Deferred.makeUnsafe<Ports>()
  const onLine = (line: string) => {
    const match = /action: listen \| result: success \| resource: (\w+) \| port: (\d+)/.exec(line)
    if (match?.[1] !== undefined) ports.set(match[1], Number(match[2]))
    const bets = ports.get("bets_listener")
    const consult = ports.get("consult_listener")
    if (
      bets !== undefined && consult !== undefined &&
      line.includes("action: ready | result: success")
    ) {
      Deferred.doneUnsafe(ready, Effect.succeed({ bets, consult }))
    }
  }
  return { onLine, ready }
}

const failed = (problem: string) => Effect.fail(new ChildFailed({ name: "central", problem }))

const startCentral = Effect.fnUntraced(function*(folder: string, agencies: number) {
  const files = yield* FileSystem.FileSystem
  const ledger = join(folder, "ledger.sqlite")
  const config = join(folder, "config.yaml")
  // JSON is YAML. Port 0 is any free port.
  yield* files.writeFileString(
    config,
    JSON.stringify({
      lottery: { agencies, winningNumber },
      bets: { host: "127.0.0.1", port: 0 },
      consult: { host: "127.0.0.1", port: 0 },
      operations: { port: 0 },
      ledger: { path: ledger }
    })
  )
  const watch = portWatch()
  const child = yield* runChild("central", ["serve", "--config", config], folder, watch.onLine)
  const endedEarly = (before: string) =>
    Effect.flatMap(
      child.exitCode,
      (code) => failed(`ended with exit code ${code} before ${before}`)
    )
  const ports = yield* Effect.raceFirst(
    Deferred.await(watch.ready),
    endedEarly("it was ready")
  ).pipe(
    Effect.timeoutOrElse({
      duration: readyDeadlineMs,
      orElse: () => failed(`not ready after ${readyDeadlineMs} ms`)
    })
  )
  const stop = child.terminate.pipe(
    Effect.andThen(child.exitCode),
    Effect.flatMap((code) =>
      code === 0 ? Effect.void : failed(`ended with exit code ${code} after SIGTERM`)
    )
  )
  return { died: endedEarly("it was stopped"), ledger, ports, stop }
})

const runAgency = Effect.fnUntraced(function*(
  file: GeneratedFile,
  ports: Ports,
  folder: string,
  onDelivered: (bets: number) => void
) {
  const name = `agency-${file.agency}`
  const started = yield* Clock.currentTimeMillis
  const winners: Array<string> = []
  let bets = 0
  const onLine = (line: string) => {
    const sent = /action: apuestas_enviadas \| result: success \|.* cantidad: (\d+)$/.exec(line)
    if (sent !== null) {
      bets += Number(sent[1])
      onDelivered(Number(sent[1]))
    } else if (/^[A-Za-z0-9]{1,20}$/.test(line)) winners.push(line)
  }
  const flags = {
    id: file.agency,
    file: file.path,
    server: `127.0.0.1:${ports.bets}`,
    consult: `127.0.0.1:${ports.consult}`,
    "give-up-after": giveUpAfterS
  }
  const args = ["agency", ...Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`)]
  const child = yield* runChild(name, args, folder, onLine)
  const code = yield* child.exitCode
  if (code !== 0) return yield* new ChildFailed({ name, problem: `ended with exit code ${code}` })
  const ms = (yield* Clock.currentTimeMillis) - started
  const outcome: AgencyOutcome = { agency: file.agency, bets, winners, ms }
  return outcome
}, Effect.scoped)

/** All at once; `onDelivered` is called with what all of them have delivered. */
const runAgencies = (
  files: ReadonlyArray<GeneratedFile>,
  ports: Ports,
  folder: string,
  onDelivered: (bets: number) => void
) => {
  let total = 0
  return Effect.forEach(
    files,
    (file) =>
      runAgency(file, ports, folder, (bets) => {
        total += bets
        onDelivered(total)
      }),
    { concurrency: files.length }
  )
}

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

/** Runs in `folder`, and leaves the children's logs there. */
export const demonstrate = Effect.fnUntraced(function*(
  options: DemonstrationOptions,
  folder: string,
  { follow, note }: DemonstrationObserver
) {
  const files = yield* generateFiles(folder, options, { force: false, keep: false, ledgers: [] })
  yield* note(`generated ${options.bets} bets for ${options.agencies} agencies in ${folder}`)
  const central = yield* startCentral(folder, options.agencies)
  const { bets, consult } = central.ports
  yield* note(`the central listens on port ${bets} for bets and ${consult} for consults`)
  const outcomes = yield* Effect.flatMap(
    follow(options.bets),
    (delivered) => runAgencies(files, central.ports, folder, delivered)
  ).pipe(Effect.scoped, Effect.raceFirst(central.died))
  yield* note("the draw was held and every agency has its winners")
  const expectations = yield* Effect.forEach(
    files,
    ({ path }) => expectationOf(path, winningNumber)
  )
  const stored = yield* results(central.ledger)
  const problems = differences(outcomes, expectations, stored.agencies)
  if (problems.length > 0) return yield* new DemonstrationWrong({ problems })
  yield* note("checked: every count and every winner is as the files say")
  yield* central.stop
  yield* note("the central was stopped by SIGTERM: exit code 0")
  return outcomes
}, Effect.scoped)
