/**
 * Loaded before the server (`--import`): its sources are edited on their way from the disk, so that each root of
 * `Keeper.ts` throws once when the file that LOTERIA_PLANT names says so: `NAME` once, `NAME!` each time.
 */
import { readFileSync, unlinkSync } from "node:fs"
import { registerHooks } from "node:module"

const order = process.env["LOTERIA_PLANT"] ?? ""

const ordered = (): string => {
  try {
    return readFileSync(order, "utf8")
  } catch {
    return ""
  }
}

const planted = (root: string): void => {
  const wanted = ordered()
  if (wanted !== root && wanted !== `${root}!`) return
  if (wanted === root) unlinkSync(order)
  throw new Error(`planted: ${root}`)
}
Object.assign(globalThis, { planted })

/** For each file, the text to find and its replacement. */
const plants: Readonly<Record<string, ReadonlyArray<readonly [text: string, planted: string]>>> = {
  "Keeper.ts": [
    [
      "        body(value)\n      } catch (defect) {\n        this.endConnection(",
      "        planted(root); body(value)\n      } catch (defect) {\n        this.endConnection("
    ],
    [
      "        body(value)\n      } catch (defect) {\n        this.restarts(",
      "        planted(root); body(value)\n      } catch (defect) {\n        this.restarts("
    ],
    [
      "Effect.forever(step,",
      "Effect.forever(Effect.suspend(() => { if (root !== \"workers\") planted(root); return step }),"
    ]
  ],
  "Acceptor.ts": [
    ["if (!Queue", "planted(\"connection in\"); if (!Queue"],
    [" welcome(socket)\n", " planted(\"connection taken in\"); welcome(socket)\n"]
  ],
  "Workers.ts": [[
    "Effect.onError(handle(taken),",
    "Effect.onError(Effect.suspend(() => { planted(\"workers\"); return handle(taken) }),"
  ]],
  "BetTurns.ts": [
    [
      "  readonly #handleParsed = (turn: Turn, outcome: ParseOutcome): Step => {\n",
      "  readonly #handleParsed = (turn: Turn, outcome: ParseOutcome): Step => {\n    planted(\"turn\")\n"
    ],
    [
      "    try {\n      log.write(",
      "    try {\n      planted(\"answer to a stored chunk\"); log.write("
    ],
    [
      "    try {\n      turn.session.putOff(",
      "    try {\n      planted(\"answer to a chunk not stored\"); turn.session.putOff("
    ],
    [
      "    return Effect.tapDefect(\n      effect,",
      "    return Effect.tapDefect(\n"
      + "      Effect.andThen(Effect.sync(() => planted(\"question to the ledger\")), effect),"
    ]
  ],
  "ParserPool.ts": [[
    "      yield* child.ready\n",
    "      yield* child.ready\n      planted(\"parsers\")\n"
  ]],
  "ParserLink.ts": [[
    "  #onBytes(bytes: Buffer): void {\n",
    "  #onBytes(bytes: Buffer): void {\n    planted(\"parsers\")\n"
  ]],
  "ConsultTurns.ts": [[
    "Effect.flatMap((held) => tell(",
    "Effect.tap(() => Effect.sync(() => planted(\"waiting consult\"))), Effect.flatMap((held) => tell("
  ]],
  "GroupCommit.ts": [[
    "    const group = this.#open.take()\n",
    "    const group = this.#open.take()\n    planted(\"group commit\")\n"
  ]],
  "Told.ts": [[
    "        const batch = ",
    "        planted(\"notes of who was told\")\n        const batch = "
  ]],
  "Lottery.ts": [[
    "        yield* Deferred.await(due)\n",
    "        yield* Deferred.await(due)\n        planted(\"draw\")\n"
  ]]
}

registerHooks({
  load: (url, context, nextLoad) => {
    const loaded = nextLoad(url, context)
    const name = /\/src\/services\/(?:[A-Za-z]+\/)?([A-Za-z]+\.ts)$/.exec(url)?.[1]
    const edits = name === undefined ? undefined : plants[name]
    if (edits === undefined) return loaded
    const source = edits.reduce((text, [original, replacement]) => {
      if (text.split(original).length !== 2) {
        throw new Error(`this doesn't fit ${name} any more: ${original.trim()}`)
      }
      return text.replace(original, () => replacement)
    }, readFileSync(new URL(url), "utf8"))
    return { ...loaded, source }
  }
})
