/** `export`: the ledger's bets as the trade's CSV, to stdout or to a file, also while the central runs. */
import * as NodeSink from "@effect/platform-node/NodeSink"
import { Effect, FileSystem, Option, Schema, Stream } from "effect"
import { Command, Flag } from "effect/cli"
import { createWriteStream } from "node:fs"
import type { Writable } from "node:stream"
import { ledgerFlags, ledgerPath } from "./Flags.ts"

/** What was exported could not be written. */
class ExportFailed extends Schema.TaggedError<ExportFailed>()("ExportFailed", {
  target: Schema.String,
  problem: Schema.String
}) {
  override get message(): string {
    return `${this.target}: can't be written (${this.problem})`
  }
}

const writeTo = (target: string, open: () => Writable, endOnDone: boolean) =>
  NodeSink.fromWritable<ExportFailed, Uint8Array>({
    evaluate: open,
    endOnDone,
    onError: (cause) =>
      new ExportFailed({
        target,
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
    )
  },
  Effect.fnUntraced(function*({ out, ...flags }) {
    const path = yield* ledgerPath(flags)
    const { exportCsv } = yield* Effect.promise(() => import("../services/LedgerReport.ts"))
    const bytes = exportCsv(path)
    if (Option.isNone(out)) {
      return yield* Stream.run(bytes, writeTo("stdout", () => process.stdout, false)).pipe(
        // Whoever read our output has seen enough of it.
        Effect.catchIf(
          (error) => error._tag === "ExportFailed" && error.problem === "EPIPE",
          () => Effect.void
        )
      )
    }
    const files = yield* FileSystem.FileSystem
    const partial = `${out.value}.partial`
    yield* Stream.run(bytes, writeTo(out.value, () => createWriteStream(partial), true))
    yield* files.rename(partial, out.value)
  })
).pipe(
  Command.withDescription(
    "Write every stored bet as CSV, by agency, then in the order stored. Works while the central runs. "
      + "Exit codes: 0 done, 1 failed, 2 wrong usage, 78 wrong configuration."
  ),
  Command.withShortDescription("Write the stored bets as CSV")
)
