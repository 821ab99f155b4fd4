/** Bet files for trials, one for each agency: the same seed gives the same files (their format: domain/Csv.ts). */
import { Effect, Stream } from "effect"
import { lstatSync } from "node:fs"
import { mkdir } from "node:fs/promises"
import { join } from "node:path"
import type { FiveFields } from "../../domain/Bet.ts"
import { csvField } from "../../domain/Csv.ts"
import {
  checkReplaceable,
  FileUnusable,
  type NewFileError,
  type NewFileOptions,
  writeNewFile
} from "../admin/NewFile.ts"
import { systemReason } from "../base/SystemReason.ts"
import { agencySizes, generateBets, type Generation } from "./Generate.ts"

export interface GeneratedFile {
  readonly agency: number
  readonly path: string
  readonly bets: number
}

export interface GenerationOptions extends NewFileOptions {
  /** Keeps existing files, and writes only the others. */
  readonly keep: boolean
}

const exists = (path: string): boolean => lstatSync(path, { throwIfNoEntry: false }) !== undefined

/**
 * Writes `agency-N.csv` for every agency, and gives the files that it wrote. The folder may hold real bet files: nothing
 * is written when one of the names belongs to a file that must stay, unless existing files are kept.
 */
export const generateFiles = Effect.fnUntraced(function*(
  folder: string,
  generation: Generation,
  options: GenerationOptions
): Effect.fn.Return<ReadonlyArray<GeneratedFile>, NewFileError> {
  yield* Effect.tryPromise({
    try: () => mkdir(folder, { recursive: true }),
    catch: (cause) => new FileUnusable({ path: folder, problem: systemReason(cause) })
  })
  const files = agencySizes(generation).map((bets, index): GeneratedFile => ({
    agency: index + 1,
    path: join(folder, `agency-${index + 1}.csv`),
    bets
  })).filter(({ path }) => !options.keep || !exists(path))
  yield* Effect.forEach(files, ({ path }) => checkReplaceable(path, options), { discard: true })
  yield* Effect.forEach(
    files,
    ({ agency, bets, path }) =>
      writeNewFile(path, csvPieces(generateBets(generation.seed, agency, bets)), options),
    { discard: true }
  )
  return files
})

/** Lines are written in pieces of about this size. */
const pieceCharacters = 64 * 1024

function* piecesOf(bets: Iterable<FiveFields>): Generator<Uint8Array> {
  let piece = ""
  for (const fields of bets) {
    piece += `${fields.map(csvField).join(",")}\r\n`
    if (piece.length >= pieceCharacters) {
      yield Buffer.from(piece)
      piece = ""
    }
  }
  yield Buffer.from(piece)
}

const csvPieces = (bets: Iterable<FiveFields>): Stream.Stream<Uint8Array> =>
  Stream.fromIterable(piecesOf(bets), { chunkSize: 1 })
