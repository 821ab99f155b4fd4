/**
 * Bet files of an agency: one bet a line, five fields, as the field's tools write them (domain/Csv.ts). Read as a stream
 * that can be run again, piece by piece, each bet checked and known by its line.
 */
import * as NodeStream from "@effect/platform-node/NodeStream"
import { Effect, Option, Schema, Stream } from "effect"
import { createReadStream } from "node:fs"
import { type BetFields, betOfFields } from "../domain/Bet.ts"
import { invalidField } from "../domain/BetRules.ts"
import { CsvReader, type CsvStep } from "../domain/Csv.ts"
import { systemReason } from "./SystemReason.ts"

/** The file can't be opened, read or written. */
export class BetFileUnusable extends Schema.TaggedError<BetFileUnusable>()("BetFileUnusable", {
  path: Schema.String,
  problem: Schema.String
}) {
  override get message(): string {
    return `${this.path}: ${this.problem}`
  }
}

/** A line that is not a bet. The problem names the field, never its value. */
export class BetLineInvalid extends Schema.TaggedError<BetLineInvalid>()("BetLineInvalid", {
  path: Schema.String,
  line: Schema.Int,
  problem: Schema.String
}) {
  override get message(): string {
    return `${this.path}: line ${this.line}: ${this.problem}; correct the line and start again`
  }
}

export const BetFileError = Schema.Union([BetFileUnusable, BetLineInvalid])
export type BetFileError = typeof BetFileError.Type

/** A bet and the line (from 1) that it stands on. */
export interface BetLine {
  readonly line: number
  readonly bet: BetFields
}

/** What the system says of a file, in words. */
export const betFileUnusable = (path: string) => (cause: unknown): BetFileUnusable =>
  new BetFileUnusable({ path, problem: systemReason(cause) })

/** Records of one piece of text. A piece with a fault gives no bets: they can wait until it is corrected. */
const betLines = (
  path: string,
  steps: ReadonlyArray<CsvStep>
): Effect.Effect<ReadonlyArray<BetLine>, BetLineInvalid> => {
  const lines: Array<BetLine> = []
  for (const step of steps) {
    const { line } = step
    if (step._tag === "Fault") {
      return Effect.fail(new BetLineInvalid({ path, line, problem: step.problem }))
    }
    const bet = betOfFields(step.fields)
    if (Option.isNone(bet)) {
      const problem = `the ${invalidField(step.fields) ?? "bet"} breaks its rule`
      return Effect.fail(new BetLineInvalid({ path, line, problem }))
    }
    lines.push({ line, bet: bet.value })
  }
  return Effect.succeed(lines)
}

/** The bets of bytes in the bet file's format; `path` is for messages. Can be run again if `bytes` can. */
export const betsOfBytes = (
  path: string,
  bytes: Stream.Stream<Uint8Array, BetFileError>
): Stream.Stream<BetLine, BetFileError> =>
  Stream.suspend(() => {
    const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
    const reader = new CsvReader()
    const decode = (piece: Uint8Array | undefined) =>
      Effect.try({
        try: () => decoder.decode(piece, { stream: piece !== undefined }),
        catch: () =>
          new BetFileUnusable({ path, problem: "not UTF-8; save it as UTF-8 and start again" })
      }).pipe(
        Effect.flatMap((text) => {
          const steps = reader.push(text)
          return betLines(path, piece === undefined ? [...steps, ...reader.end()] : steps)
        })
      )
    return bytes.pipe(
      Stream.map((piece): Uint8Array | undefined => piece),
      Stream.concat(Stream.succeed(undefined)),
      Stream.mapEffect(decode),
      Stream.flattenIterable
    )
  })

/** The bets of a file. Every run reads it from the start. */
export const readBets = (path: string): Stream.Stream<BetLine, BetFileError> =>
  betsOfBytes(
    path,
    NodeStream.fromReadable<Uint8Array, BetFileError>({
      evaluate: () => createReadStream(path),
      onError: betFileUnusable(path)
    })
  )
