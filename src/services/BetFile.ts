/**
 * Bet files of an agency: one bet a line, five fields, as the field's tools write them (domain/Csv.ts). Read as a stream
 * that can be run again, piece by piece, each bet checked and known by its line; written so that a half-written file is
 * never taken for a whole one.
 */
import * as NodeStream from "@effect/platform-node/NodeStream"
import { Effect, Option, Schema, Stream } from "effect"
import { createReadStream, createWriteStream } from "node:fs"
import { mkdir, rename } from "node:fs/promises"
import { join } from "node:path"
import { Readable } from "node:stream"
import { pipeline } from "node:stream/promises"
import { type BetFields, betOfFields, type FiveFields } from "../domain/Bet.ts"
import { invalidField } from "../domain/BetRules.ts"
import { csvField, CsvReader, type CsvStep } from "../domain/Csv.ts"
import { agencySizes, generateBets, type Generation } from "../domain/Generate.ts"

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

const reasons: ReadonlyMap<unknown, string> = new Map([
  ["ENOENT", "there is no such file or folder"],
  ["EACCES", "not permitted"],
  ["EISDIR", "a folder, not a file"],
  ["ENOTDIR", "not a folder"],
  ["ENOSPC", "the disk is full"]
])

/** What the system says of a file, in words. */
export const betFileUnusable = (path: string) => (cause: unknown): BetFileUnusable => {
  const code = cause instanceof Error && "code" in cause ? cause.code : undefined
  return new BetFileUnusable({
    path,
    problem: reasons.get(code) ?? `can't be read or written (${String(code)})`
  })
}

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

/** Lines are gathered into pieces of about this size before they are written. */
const writePieceCharacters = 64 * 1024

function* csvPieces(bets: Iterable<FiveFields>): Generator<string> {
  let piece = ""
  for (const fields of bets) {
    piece += `${fields.map(csvField).join(",")}\r\n`
    if (piece.length >= writePieceCharacters) {
      yield piece
      piece = ""
    }
  }
  yield piece
}

/** Writes a bet file under a temporary name and renames it when it is whole. */
export const writeBets = (
  path: string,
  bets: Iterable<FiveFields>
): Effect.Effect<void, BetFileUnusable> => {
  const partial = `${path}.partial`
  return Effect.tryPromise({
    try: async (signal) => {
      await pipeline(Readable.from(csvPieces(bets)), createWriteStream(partial), { signal })
      await rename(partial, path)
    },
    catch: betFileUnusable(path)
  })
}

export interface GeneratedFile {
  readonly agency: number
  readonly path: string
  readonly bets: number
}

/** Writes `agency-N.csv` for every agency of the generation. */
export const generateFiles = Effect.fnUntraced(function*(
  folder: string,
  generation: Generation
): Effect.fn.Return<ReadonlyArray<GeneratedFile>, BetFileUnusable> {
  yield* Effect.tryPromise({
    try: () => mkdir(folder, { recursive: true }),
    catch: betFileUnusable(folder)
  })
  return yield* Effect.forEach(agencySizes(generation), (bets, index) => {
    const agency = index + 1
    const path = join(folder, `agency-${agency}.csv`)
    return Effect.as(writeBets(path, generateBets(generation.seed, agency, bets)), {
      agency,
      path,
      bets
    })
  })
})
