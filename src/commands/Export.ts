/** `export`: writes the stored bets as CSV, to stdout or to a file, also while the central runs. */
import * as NodeSink from "@effect/platform-node/NodeSink"
import { Console, Effect, Option, Schema, Stream } from "effect"
import { Command, Flag } from "effect/cli"
import { createHash, type Hash } from "node:crypto"
import type { ExportedChunk } from "../services/admin/LedgerExport.ts"
import { configuredLedger, ledgerAddress, reportFlags } from "./ConfigurationFlags.ts"
import { usualExitCodes } from "./Failure.ts"
import { failWhenInterrupted, forceFlag, outFlag } from "./NewFileFlags.ts"
import { counted } from "./Numbers.ts"

/** The bets could not be written to stdout. */
class ExportFailed extends Schema.TaggedError<ExportFailed>()("ExportFailed", {
  target: Schema.String,
  problem: Schema.String
}) {
  override get message(): string {
    return `${this.target}: can't be written (${this.problem})`
  }
}

/** stdout belongs to the process, and stays open. */
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
  `${what}: ${counted(bets, "bet")}, SHA-256 ${hash.digest("hex")}`

/** Digests of everything written and of each agency's lines; the latter is the digest in RESUME_POINT. */
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

  /** To be called once: it ends the digests. */
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
    ...reportFlags,
    format: Flag.Literals("format", ["csv"]).pipe(
      Flag.withDefault("csv"),
      Flag.withDescription(
        "Lines of agency,first name,last name,document,birthdate,number, without a header"
      )
    ),
    out: outFlag,
    force: forceFlag
  },
  Effect.fnUntraced(function*({ force, out, ...flags }) {
    const address = yield* ledgerAddress(flags)
    const { exportChunks } = yield* Effect.promise(() =>
      import("../services/admin/LedgerExport.ts")
    )
    const digests = new Digests()
    const bytes = exportChunks(address).pipe(
      Stream.map((chunks) => {
        for (const chunk of chunks) digests.add(chunk)
        return Buffer.concat(chunks.map(({ csv }) => csv))
      })
    )
    if (Option.isNone(out)) {
      return yield* Stream.run(bytes, stdoutSink).pipe(
        // stdout is for the bets alone.
        Effect.tap(() => Console.error(digests.text("stdout"))),
        // The reader of the output, such as `head`, has read enough.
        Effect.catchIf(
          (error) => error._tag === "ExportFailed" && error.problem === "EPIPE",
          () => Effect.void
        )
      )
    }
    const { writeNewFile } = yield* Effect.promise(() => import("../services/admin/NewFile.ts"))
    const ledgers = [
      ...(typeof address === "string" ? [address] : []),
      yield* configuredLedger(flags.config)
    ]
    yield* writeNewFile(out.value, bytes, { force, ledgers })
    yield* Console.log(digests.text(out.value))
  }, failWhenInterrupted)
).pipe(
  Command.withDescription(
    "Write every stored bet as CSV, by agency and then in the order stored. Works while the central runs. An existing file "
      + "is replaced only with --force. Prints the SHA-256 of the output and of each agency's lines (on stderr when the bets "
      + `go to stdout). ${usualExitCodes}`
  ),
  Command.withShortDescription("Write the stored bets as CSV")
)
