/** `export`: the ledger's bets as the trade's CSV, to stdout or to a file, also while the central runs. */
import * as NodeSink from "@effect/platform-node/NodeSink"
import { Console, Effect, Option, Schema, Stream } from "effect"
import { Command, Flag } from "effect/cli"
import { ledgerFlags, ledgerPath } from "./Flags.ts"
import { configuredLedger, failWhenInterrupted, forceFlag } from "./NewFileFlags.ts"

/** What was exported could not be written. */
class ExportFailed extends Schema.TaggedError<ExportFailed>()("ExportFailed", {
  target: Schema.String,
  problem: Schema.String
}) {
  override get message(): string {
    return `${this.target}: can't be written (${this.problem})`
  }
}

/** stdout stays open: it is the process's. */
const stdoutSink = NodeSink.fromWritable<ExportFailed, Uint8Array>({
  evaluate: () => process.stdout,
  endOnDone: false,
  onError: (cause) =>
    new ExportFailed({
      target: "stdout",
      problem: cause instanceof Error && "code" in cause ? String(cause.code) : "unknown"
    })
})

export const exportBets = Command.make(
  "export",
  {
    ...ledgerFlags,
    format: Flag.Literals("format", ["csv"]).pipe(
      Flag.withDefault("csv"),
      Flag.withDescription(
        "agency,first name,last name,document,birthdate,number, without a header"
      )
    ),
    out: Flag.String("out").pipe(
      Flag.optional,
      Flag.withDescription("The file to write, which appears when it is whole; stdout when absent")
    ),
    force: forceFlag
  },
  Effect.fnUntraced(function*({ force, out, ...flags }) {
    const path = yield* ledgerPath(flags)
    const { exportCsv } = yield* Effect.promise(() => import("../services/LedgerReport.ts"))
    const bytes = exportCsv(path)
    if (Option.isNone(out)) {
      return yield* Stream.run(bytes, stdoutSink).pipe(
        // Whoever read our output has seen enough of it.
        Effect.catchIf(
          (error) => error._tag === "ExportFailed" && error.problem === "EPIPE",
          () => Effect.void
        )
      )
    }
    const { writeNewFile } = yield* Effect.promise(() => import("../services/NewFile.ts"))
    const ledgers = [path, yield* configuredLedger(flags.config)]
    const written = yield* writeNewFile(out.value, bytes, { force, ledgers })
    yield* Console.log(`${out.value}: ${written.bytes} bytes, SHA-256 ${written.sha256}`)
  }, failWhenInterrupted)
).pipe(
  Command.withDescription(
    "Write every stored bet as CSV, by agency, then in the order stored. Works while the central runs. A file that is "
      + "there is left as it is unless --force replaces it. "
      + "Exit codes: 0 done, 1 failed, 2 wrong usage, 78 wrong configuration."
  ),
  Command.withShortDescription("Write the stored bets as CSV")
)
