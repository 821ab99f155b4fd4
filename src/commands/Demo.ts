/** `demo`: a whole lottery on this machine, with generated bets and checked results. */
import { Cause, Clock, Console, Effect, Exit, FileSystem, Option } from "effect"
import { Command, Flag } from "effect/cli"
import type { PostgresUrl } from "../services/base/PostgresUrl.ts"
import type {
  DemonstrationObserver,
  DemonstrationOptions
} from "../services/trial/Demonstration.ts"
import { readDatabase, WrongFlag } from "./ConfigurationFlags.ts"
import { integer } from "./Flags.ts"
import { counted, grouped } from "./Numbers.ts"
import { formatTable } from "./Table.ts"
import { barOnTerminal } from "./TerminalBar.ts"

const flags = {
  agencies: Flag.Int("agencies").pipe(
    Flag.withDefault(5),
    Flag.withSchema(integer(1, 50)),
    Flag.withDescription("Number of agencies, each a process; 5 by default")
  ),
  bets: Flag.Int("bets").pipe(
    Flag.withDefault(80_000),
    Flag.withSchema(integer(0, 10_000_000)),
    Flag.withDescription("Number of bets of all agencies together; 80000 by default")
  ),
  seed: Flag.Int("seed").pipe(
    Flag.withDefault(42),
    Flag.withSchema(integer(0, Number.MAX_SAFE_INTEGER)),
    Flag.withDescription("The same seed gives the same bets; 42 by default")
  ),
  cluster: Flag.Boolean("cluster").pipe(
    Flag.withDefault(false),
    Flag.withDescription(
      "Three servers over one PostgreSQL, which comes with the development dependencies; one server is killed half way"
    )
  ),
  ledgerUrl: Flag.String("ledger-url").pipe(
    Flag.withMetavar("URL"),
    Flag.optional,
    Flag.withDescription(
      "With --cluster: use this database instead, where the draw of the demo stays; its password is in LEDGER_PASSWORD or "
        + "in the file LEDGER_PASSWORD_FILE"
    )
  )
}

/** Undefined where the demonstration brings its own. */
const databaseOf = Effect.fnUntraced(function*(cluster: boolean, ledgerUrl: Option.Option<string>) {
  if (Option.isNone(ledgerUrl)) return undefined
  if (cluster) return yield* readDatabase("--ledger-url", ledgerUrl.value)
  return yield* new WrongFlag({ flag: "--ledger-url", problem: "is only for --cluster" })
})

const demonstrationOf = Effect.fnUntraced(function*(
  { cluster, ...options }: DemonstrationOptions & { readonly cluster: boolean },
  database: PostgresUrl | undefined,
  folder: string,
  observer: DemonstrationObserver
) {
  if (cluster) {
    const { demonstrateCluster } = yield* Effect.promise(() =>
      import("../services/trial/ClusterDemonstration.ts")
    )
    return yield* demonstrateCluster(options, database, folder, observer)
  }
  const { demonstrate } = yield* Effect.promise(() => import("../services/trial/Demonstration.ts"))
  return yield* demonstrate(options, folder, observer)
})

const seconds = (ms: number): string => (ms / 1000).toFixed(1)

/** A line when the number has changed, once a second at most: for an output that is not a terminal. */
const followInLines = Effect.fnUntraced(function*(total: number) {
  let delivered = 0
  let shown = 0
  const show = Effect.suspend(() => {
    if (delivered === shown) return Effect.void
    shown = delivered
    return Console.log(`  delivered ${grouped(delivered)} of ${counted(total, "bet")}`)
  })
  yield* Effect.addFinalizer(() => show)
  yield* show.pipe(Effect.delay("1 second"), Effect.forever, Effect.forkScoped)
  return (bets: number) => {
    delivered = bets
  }
})

const makeObserver = Effect.map(barOnTerminal(process.stdout), (bar) => ({
  note: (text: string) => Console.log(text),
  follow: (total: number) =>
    bar === undefined
      ? followInLines(total)
      : Effect.map(bar.follow(total), (show) => (bets: number) => show({ bets, waiting: false }))
}))

export const demo = Command.make(
  "demo",
  flags,
  Effect.fnUntraced(function*(options) {
    const database = yield* databaseOf(options.cluster, options.ledgerUrl)
    const files = yield* FileSystem.FileSystem
    const started = yield* Clock.currentTimeMillis
    const folder = yield* files.makeTempDirectory({ prefix: "loteria-demo-" })
    const outcomes = yield* demonstrationOf(options, database, folder, yield* makeObserver).pipe(
      Effect.onExit((exit) =>
        Exit.isFailure(exit) && !Cause.hasInterruptsOnly(exit.cause)
          ? Console.error(
            `the logs of ${
              options.cluster ? "the servers" : "the central"
            } and the agencies are in ${folder}`
          )
          : Effect.ignore(files.remove(folder, { recursive: true }))
      )
    )
    const ms = (yield* Clock.currentTimeMillis) - started
    const winners = outcomes.reduce((sum, outcome) => sum + outcome.winners.length, 0)
    yield* Console.log(
      formatTable(
        ["agency", "bets", "winners", "seconds"],
        outcomes.map((outcome) => [
          String(outcome.agency),
          outcome.bets,
          outcome.winners.length,
          seconds(outcome.ms)
        ]),
        ["all", options.bets, winners, seconds(ms)]
      )
    )
  }, Effect.scoped)
).pipe(
  Command.withDescription(
    "Run a whole lottery on this machine: generate bet files, start the central and one agency per file as processes on "
      + "free ports, hold the draw, check every count and every winner, and stop the central. With --cluster, three "
      + "servers share a PostgreSQL, and one of them is killed half way. "
      + "Exit codes: 0 all results are right, 1 a result is wrong or a process failed (the logs are kept), 2 wrong usage."
  ),
  Command.withShortDescription("Run a whole lottery on this machine, and check it")
)
