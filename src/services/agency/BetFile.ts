/**
 * An agency's bet file: one bet a line, five fields, in the format of the field's tools (domain/Csv.ts). It is read piece
 * by piece as a stream that can be run again, and gives each bet with its line.
 */
import * as NodeStream from "@effect/platform-node/NodeStream"
import { Effect, Option, Schema, Stream } from "effect"
import { createReadStream } from "node:fs"
import { type BetFields, betOfFields } from "../../domain/Bet.ts"
import { brokenRules } from "../../domain/BetRules.ts"
import { systemReason } from "../base/SystemReason.ts"
import { type BetHint, betHints, hintsOf } from "./BetHint.ts"
import { CsvReader, type CsvStep, notUtf8 } from "./CsvReader.ts"

/** The file can't be opened, read or written. */
export class BetFileUnusable extends Schema.TaggedError<BetFileUnusable>()("BetFileUnusable", {
  path: Schema.String,
  problem: Schema.String
}) {
  override get message(): string {
    return `${this.path}: ${this.problem}`
  }
}

/** A line that is not a bet. The problem names fields and rules, never values. */
export interface BetProblem {
  readonly line: number
  readonly problem: string
  readonly hints: ReadonlyArray<BetHint>
}

/** Lines that are not bets. */
class BetLinesInvalid extends Schema.TaggedError<BetLinesInvalid>()("BetLinesInvalid", {
  path: Schema.String,
  /** The first of them. */
  problems: Schema.Array(Schema.Struct({ line: Schema.Int, problem: Schema.String })),
  count: Schema.Int,
  hints: Schema.Array(Schema.String)
}) {
  override get message(): string {
    const hints = this.hints.map((hint) => `\n  hint: ${hint}`).join("")
    const lines = this.problems.map(({ line, problem }) => `line ${line}: ${problem}`)
    if (this.count === 1) {
      return `${this.path}: ${lines.join("")}; correct the line and start again${hints}`
    }
    const more = this.count - lines.length
    return [
      `${this.path}: ${this.count} lines are not bets; correct them and start again`,
      ...lines,
      ...(more > 0 ? [`and ${more} more`] : [])
    ].join("\n  ") + hints
  }
}

export const BetFileError = Schema.Union([BetFileUnusable, BetLinesInvalid])
export type BetFileError = typeof BetFileError.Type

/** A bet and the line (from 1) that it stands on. */
export interface BetLine {
  readonly line: number
  readonly bet: BetFields
}

/** A line: a bet, or what is wrong with it. */
type BetStep = BetLine | BetProblem

/** Where bets come from. The stream gives the same each time that it is run. */
export interface BetInput {
  /** For messages. */
  readonly name: string
  readonly steps: Stream.Stream<BetStep, BetFileUnusable>
}

/** The failure of an operation on a file, in words. */
export const betFileUnusable = (path: string) => (cause: unknown): BetFileUnusable =>
  new BetFileUnusable({ path, problem: systemReason(cause) })

const problemOf = (
  line: number,
  problem: string,
  fields: ReadonlyArray<string>
): BetProblem => ({
  line,
  problem,
  hints: [...(problem === notUtf8 ? ["encoding" as const] : []), ...hintsOf(line, fields)]
})

const betStep = (step: CsvStep): BetStep => {
  const { fields, line } = step
  if (step._tag === "Fault") return problemOf(line, step.problem, fields)
  const bet = betOfFields(fields)
  if (Option.isSome(bet)) return { line, bet: bet.value }
  return problemOf(
    line,
    fields.every((field) => field === "") ? "every field is empty" : brokenRules(fields).join("; "),
    fields
  )
}

/** Bytes in the bet file's format. Can be run again if `bytes` can. */
export const betsOfBytes = (
  name: string,
  bytes: Stream.Stream<Uint8Array, BetFileUnusable>
): BetInput => ({
  name,
  steps: Stream.suspend(() => {
    const reader = new CsvReader()
    return bytes.pipe(
      Stream.map((piece): Uint8Array | undefined => piece),
      Stream.concat(Stream.succeed(undefined)),
      Stream.map((piece) => (piece === undefined ? reader.end() : reader.push(piece)).map(betStep)),
      Stream.flattenIterable
    )
  })
})

/** The bets of a file. Every run reads it from the start. */
export const readBets = (path: string): BetInput =>
  betsOfBytes(
    path,
    NodeStream.fromReadable<Uint8Array, BetFileUnusable>({
      evaluate: () => createReadStream(path),
      onError: betFileUnusable(path)
    })
  )

/** The bets alone; fails at the first line that is not a bet. */
export const betsOf = ({ name, steps }: BetInput): Stream.Stream<BetLine, BetFileError> =>
  Stream.mapEffect(
    steps,
    (step) => "bet" in step ? Effect.succeed(step) : Effect.fail(linesInvalid(name, [step], 1, []))
  )

export const linesInvalid = (
  path: string,
  problems: ReadonlyArray<BetProblem>,
  count: number,
  hints: ReadonlyArray<BetHint>
) =>
  new BetLinesInvalid({
    path,
    count,
    problems: problems.map(({ line, problem }) => ({ line, problem })),
    hints: hints.map((hint) => betHints[hint])
  })
