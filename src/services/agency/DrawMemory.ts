/**
 * Remembers, in a small file beside the bet file, the draw for which an agency's bets were first sent. Without it, an agency
 * that is started again after the next draw has begun would sell the same bets in it. The file is written before the first
 * chunk is sent, whole or not at all, and compared each time that the central names its draw.
 */
import { Effect, Option, Schema } from "effect"
import { randomUUID } from "node:crypto"
import { type FileHandle, open, readFile, rename, stat, unlink } from "node:fs/promises"
import { dirname } from "node:path"
import { AgencyId } from "../../domain/Agency.ts"
import { DrawName } from "../../domain/Draw.ts"
import { betFileUnusable } from "./BetFile.ts"

/** The central's draw is not the one that these bets are for. */
class DrawDiffers extends Schema.TaggedError<DrawDiffers>()("DrawDiffers", {
  agency: Schema.Int,
  /** What says which draw the bets are for. */
  source: Schema.String,
  expected: Schema.String,
  /** Undefined when the central is too old to name its draw. */
  held: Schema.UndefinedOr(Schema.String),
  action: Schema.String
}) {
  override get message(): string {
    const held = this.held === undefined ? "names none" : `holds draw ${this.held}`
    return `agency ${this.agency}: these bets are for draw ${this.expected} (${this.source}), and the central ${held}. `
      + `Nothing more was sent. ${this.action}`
  }
}

/** The file that remembers the draw can't be used. */
export class DrawStateUnusable
  extends Schema.TaggedError<DrawStateUnusable>()("DrawStateUnusable", {
    path: Schema.String,
    problem: Schema.String,
    action: Schema.String
  })
{
  override get message(): string {
    return `${this.path}: ${this.problem}. Nothing was sent. ${this.action}`
  }
}

export const DrawError = Schema.Union([DrawDiffers, DrawStateUnusable])
export type DrawError = typeof DrawError.Type

export interface DrawMemory {
  /** Fails when the bets are for another draw than the central's; undefined is that of a central that names none. */
  readonly check: (held: DrawName | undefined) => Effect.Effect<void, DrawDiffers>
  /** Remembers a draw that passed `check`; chunks are sent only after this succeeds. */
  readonly remember: (held: DrawName | undefined) => Effect.Effect<void, DrawStateUnusable>
}

export interface DrawMemoryOptions {
  readonly agency: AgencyId
  /** The file; undefined for bets that have none. */
  readonly path: string | undefined
  /** The draw that the operator named. */
  readonly draw: DrawName | undefined
}

const StateFile = Schema.fromJsonString(Schema.Struct({ agency: AgencyId, draw: DrawName }))
type StateFile = typeof StateFile.Type

/** A longer file isn't one of ours. */
const stateBytesMax = 4096

const decode = Schema.decodeUnknownOption(StateFile)

/** Undefined when there is no such file. */
const readState = async (path: string): Promise<string | undefined> => {
  try {
    const { size } = await stat(path)
    return size > stateBytesMax ? "" : await readFile(path, "utf8")
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined
    throw error
  }
}

const syncFolder = async (path: string): Promise<void> => {
  let folder: FileHandle | undefined
  try {
    folder = await open(dirname(path), "r")
    await folder.sync()
  } finally {
    await folder?.close()
  }
}

/** Writes the file, readable by its owner alone: after a crash it is there whole or not at all. */
const writeState = async (path: string, state: StateFile): Promise<void> => {
  const partial = `${path}.${randomUUID()}.partial`
  const file = await open(partial, "wx", 0o600)
  try {
    try {
      await file.writeFile(`${JSON.stringify(state)}\n`)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(partial, path)
  } catch (error) {
    await unlink(partial).catch(() => {})
    throw error
  }
  await syncFolder(path)
}

const withoutIt =
  "Without it, nothing would prevent these bets from being sent into the next draw as well: make the folder writable, "
  + "give a file elsewhere with --state PATH, or name the draw with --draw NAME"

const loadState = Effect.fnUntraced(function*(path: string, agency: number) {
  const unusable = (problem: string, action: string) =>
    new DrawStateUnusable({ path, problem, action })
  const text = yield* Effect.tryPromise({
    try: () => readState(path),
    catch: (cause) =>
      unusable(
        betFileUnusable(path)(cause).problem,
        "It may say which draw these bets were sent to: make it readable"
      )
  })
  if (text === undefined) return undefined
  const state = Option.getOrUndefined(decode(text))
  if (state === undefined) {
    return yield* unusable(
      "it is damaged, or not a file of this program; it should say which draw these bets were sent to",
      "If they were never sent, remove it and start again. If they were, first compare them with the central's export"
    )
  }
  if (state.agency !== agency) {
    return yield* unusable(
      `it is of agency ${state.agency}, and this is agency ${agency}`,
      "Check --id and --file. If the bets are of this agency and were never sent, remove it and start again"
    )
  }
  return state.draw
})

/** Reads what is remembered, before anything is sent. */
export const openDrawMemory = Effect.fnUntraced(function*(
  { agency, draw, path }: DrawMemoryOptions
): Effect.fn.Return<DrawMemory, DrawStateUnusable> {
  let kept = path === undefined ? undefined : yield* loadState(path, agency)
  /** The draw that the central named on an earlier connection of this process. */
  let begun: DrawName | undefined

  const expectations = () => [
    {
      expected: kept,
      source: String(path),
      action: `If they were sold for draw ${kept}, they belong there and nowhere else. `
        + `If the file has new bets, remove ${path} and start again`
    },
    {
      expected: draw,
      source: "--draw",
      action: "Check the central's address, and --draw"
    },
    {
      expected: begun,
      source: "as the central said before",
      action: "The next draw has begun meanwhile; these bets are not for it"
    }
  ]

  return {
    check: Effect.fnUntraced(function*(held) {
      for (const { action, expected, source } of expectations()) {
        if (expected === undefined || expected === held) continue
        return yield* new DrawDiffers({ agency, source, expected, held, action })
      }
    }),
    remember: Effect.fnUntraced(function*(held) {
      begun ??= held
      if (held === undefined || path === undefined || held === kept) return
      kept = held
      const written = Effect.tryPromise({
        try: () => writeState(path, { agency: agency, draw: held }),
        catch: (cause) =>
          new DrawStateUnusable({
            path,
            problem: betFileUnusable(path)(cause).problem,
            action: withoutIt
          })
      })
      yield* draw === undefined ? written : Effect.ignore(written)
    })
  }
})
