/** `demo`: the whole lottery on this machine, with generated bets, checked. */
import { Cause, Clock, Console, Effect, Exit, FileSystem } from "effect"
import { Command, Flag } from "effect/cli"

import { integer } from "./Flags.ts"
import { formatTable } from "./Table.ts"

const flags = {
  agencies: Flag.Int("agencies").pipe(
    Flag.withDefault(5),
    Flag.withSchema(integer(1, 50)),
    Flag.withDescription("How many agencies, each a process")
  ),
  bets: Flag.Int("bets").pipe(
    Flag.withDefault(80_000),
    Flag.withSchema(integer(0, 10_000_000)),
    Flag.withDescription("How many bets, over all agencies")
  ),
  seed: Flag.Int("seed").pipe(
    Flag.withDefault(42),
    Flag.withSchema(integer(0, Number.MAX_SAFE_INTEGER)),
    Flag.withDescription("The same seed gives the same bets")
  )
}

const count = (value: number): string => value.toLocaleString("en-US")
const seconds = (ms: number): string => (ms / 1000).toFixed(1)

/** Lines of what happens, and between them how far it is: on a terminal one line that changes, else one a second. */
const makeProgress = Effect.fnUntraced(function*(bets: number) {
  const live = process.stdout.isTTY
  let delivered = 0
  let shown = 0
  const show = Effect.sync(() => {
    if (delivered === shown) return
    shown = delivered
    const text = `  delivered ${count(delivered)} of ${count(bets)} bets`
    process.stdout.write(live ? `\r${text}` : `${text}\n`)
  })
  const note = (text: string) =>
    show.pipe(Effect.andThen(Effect.sync(() => {
      process.stdout.write(`${live && shown > 0 ? "\n" : ""}${text}\n`)
      shown = delivered
    })))
  yield* show.pipe(
    Effect.delay(live ? "100 millis" : "1 second"),
    Effect.forever,
    Effect.forkScoped
  )
  return {
    note,
    delivered: (total: number) => {
      delivered = total
    }
  }
})

export const demo = Command.make(
  "demo",
  flags,
  Effect.fnUntraced(function*(options) {
    const { demonstrate } = yield* Effect.promise(() =>
      import("../services/trial/Demonstration.ts")
    )
    const files = yield* FileSystem.FileSystem
    const started = yield* Clock.currentTimeMillis
    const folder = yield* files.makeTempDirectory({ prefix: "loteria-demo-" })
    const progress = yield* makeProgress(options.bets)
    const outcomes = yield* demonstrate(options, folder, progress).pipe(
      Effect.onExit((exit) =>
        Exit.isFailure(exit) && !Cause.hasInterruptsOnly(exit.cause)
          ? Console.error(`the logs of the central and the agencies are in ${folder}`)
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
      + "free ports, hold the draw, check every count and every winner, and stop the central. Exit codes: 0 all as it "
      + "must be, 1 something is off (the logs are kept), 2 wrong usage."
  ),
  Command.withShortDescription("Run a whole lottery on this machine, and check it")
)
