/** `export`: the ledger's bets as the trade's CSV, to stdout or to a file, also while the central runs. */
import * as NodeSink from "@effect/platform-node/NodeSink"
import { Console, Effect, Option, Schema, Stream } from "effect"
import { Command, Flag } from "effect/cli"
import { createHash, type Hash } from "node:crypto"
import type { ExportedChunk } from "../services/admin/LedgerExport.ts"
import { configuredLedger, ledgerFlags, ledgerPath } from "./ConfigurationFlags.ts"
import { failWhenInterrupted, forceFlag, outFlag } from "./NewFileFlags.ts"

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

const digestLine = (what: string, bets: number, hash: Hash): string =>
  `${what}: ${bets.toLocaleString("en-US")} ${bets === 1 ? "bet" : "bets"}, SHA-256 ${
    hash.digest("hex")
  }`

/** Of all that was written, and of each agency's lines: the latter is the digest that RESUME_POINT tells the agency. */
class Digests {
  readonly #all = createHash("sha256")
  readonly #agencies = new Map<number, { readonly hash: Hash; bets: number }>()
  #bets = 0

  add({ agency, bets, csv }: ExportedChunk): void {
    this.#all.update(csv)
    this.#bets += bets
    let known = this.#agencies.get(agency)
    if (known === undefined) {
      known = { hash: createHash("sha256"), bets: 0 }
      this.#agencies.set(agency, known)
    }
    known.hash.update(csv)
    known.bets += bets
  }

  /** Ends the digests. */
  text(target: string): string {
    return [
      digestLine(target, this.#bets, this.#all),
      ...[...this.#agencies].map(([agency, { bets, hash }]) =>
        digestLine(`  agency ${agency}`, bets, hash)
      )
    ].join("\n")
  }
}

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
    out: outFlag,
    force: forceFlag
  },
  Effect.fnUntraced(function*({ force, out, ...flags }) {
    const path = yield* ledgerPath(flags)
    const { exportChunks } = yield* Effect.promise(() =>
      import("../services/admin/LedgerExport.ts")
    )
    const digests = new Digests()
    const bytes = exportChunks(path).pipe(
      Stream.map((chunks) => {
        for (const chunk of chunks) digests.add(chunk)
        return Buffer.concat(chunks.map(({ csv }) => csv))
      })
    )
    if (Option.isNone(out)) {
      return yield* Stream.run(bytes, stdoutSink).pipe(
        // stdout holds the bets and nothing else.
        Effect.tap(() => Console.error(digests.text("stdout"))),
        // Whoever read our output has seen enough of it.
        Effect.catchIf(
          (error) => error._tag === "ExportFailed" && error.problem === "EPIPE",
          () => Effect.void
        )
      )
    }
    const { writeNewFile } = yield* Effect.promise(() => import("../services/admin/NewFile.ts"))
    const ledgers = [path, yield* configuredLedger(flags.config)]
    yield* writeNewFile(out.value, bytes, { force, ledgers })
    yield* Console.log(digests.text(out.value))
  }, failWhenInterrupted)
).pipe(
  Command.withDescription(
    "Write every stored bet as CSV, by agency, then in the order stored. Works while the central runs. A file that is "
      + "there is left as it is unless --force replaces it. Prints the SHA-256 of what was written and of each agency's part "
      + "(on stderr when the bets go to stdout). "
      + "Exit codes: 0 done, 1 failed, 2 wrong usage, 78 wrong configuration."
  ),
  Command.withShortDescription("Write the stored bets as CSV")
)
