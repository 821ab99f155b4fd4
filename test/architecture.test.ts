/** Rules about the sources themselves: which way imports point, what files are called, what documents promise. */
import { assert, describe, it } from "@effect/vitest"
import { createHash } from "node:crypto"
import { existsSync, globSync, readFileSync } from "node:fs"
import { basename, dirname, join, relative } from "node:path"
import { encodeAnswer } from "../src/domain/Message.ts"
import { type CodeMeaning, codes } from "../src/domain/Rejection.ts"

const root = join(import.meta.dirname, "..")
const read = (path: string) => readFileSync(join(root, path), "utf8")
const sources = globSync("src/**/*.ts", { cwd: root })
const typescript = [...sources, ...globSync("{test,bench}/**/*.ts", { cwd: root })]

interface Import {
  readonly target: string
  /** Erased before it runs. */
  readonly typeOnly: boolean
  /** Loaded only when the code that asks for it runs. */
  readonly dynamic: boolean
}

const importPattern =
  /^(?:import|export)\s+(type\s)?(?:[^"';]*?\sfrom\s+)?"([^"]+)"|\bimport\("([^"]+)"\)/gm

/** Relative targets are given as paths from the root. */
const importsOf = (path: string): ReadonlyArray<Import> =>
  [...read(path).matchAll(importPattern)].map(([, type, statically, dynamically]) => {
    const target = statically ?? dynamically ?? ""
    return {
      target: target.startsWith(".") ? join(dirname(path), target) : target,
      typeOnly: type !== undefined,
      dynamic: dynamically !== undefined
    }
  })

/** Entry files stand in src itself: they know everything, and nobody knows them. */
const layers = ["domain", "services", "commands", "entry"] as const
const layerOf = (path: string): (typeof layers)[number] => {
  const [, first = "", rest] = path.split("/")
  if (rest === undefined) return "entry"
  const layer = layers.find((name) => name === first)
  if (layer === undefined) throw new Error(`${path} is in no layer`)
  return layer
}

/** What is loaded when the file runs: everything that may be, or only what is in any case. */
const loadedBy = (entry: string, which: "all" | "at once" = "all"): ReadonlySet<string> => {
  const loaded = new Set([entry])
  for (const path of loaded) {
    if (!path.startsWith("src/")) continue
    for (const { dynamic, target, typeOnly } of importsOf(path)) {
      if (!typeOnly && (which === "all" || !dynamic)) loaded.add(target)
    }
  }
  return loaded
}

describe("imports", () => {
  it("are found by this test's own reading of the sources", () => {
    assert.isAbove(sources.length, 20)
    assert.deepInclude(
      importsOf("src/parser.ts").map(({ target }) => target),
      "src/domain/Frame.ts"
    )
    for (const path of sources) {
      for (const { target } of importsOf(path)) {
        if (target.startsWith("src/")) assert.isTrue(existsSync(join(root, target)), target)
      }
    }
  })

  it("point one way: domain, services, commands, entry files", () => {
    const wrong = sources.flatMap((path) =>
      importsOf(path)
        .filter(({ target }) => target.startsWith("src/"))
        .filter(({ target }) => layers.indexOf(layerOf(target)) > layers.indexOf(layerOf(path)))
        .map(({ target }) => `${path} imports ${target}`)
    )
    assert.deepStrictEqual(wrong, [])
  })

  it("of the domain are the domain and effect: no node:*, no platform, no package", () => {
    const wrong = sources.filter((path) => layerOf(path) === "domain").flatMap((path) =>
      importsOf(path)
        .filter(({ target }) => !target.startsWith("src/domain/") && target !== "effect")
        .map(({ target }) => `${path} imports ${target}`)
    )
    assert.deepStrictEqual(wrong, [])
  })

  it("of the parser child are pure domain: no Effect, no service", () => {
    const wrong = [...loadedBy("src/parser.ts")].filter((target) =>
      target !== "src/parser.ts" && !target.startsWith("src/domain/") && !target.startsWith("node:")
    )
    assert.deepStrictEqual(wrong, [])
  })

  it("of the command line are no service: a command loads what it needs when it runs", () => {
    const loaded = [...loadedBy("src/program.ts", "at once")]
    assert.include(loaded, "src/commands/Serve.ts")
    assert.deepStrictEqual(loaded.filter((target) => target.startsWith("src/services/")), [])
    assert.include([...loadedBy("src/program.ts")], "src/services/Server.ts")
  })

  it("of commands other than serve are nothing of the server's", () => {
    const commands = sources.filter((path) =>
      layerOf(path) === "commands" && path !== "src/commands/Serve.ts"
    )
    assert.isAbove(commands.length, 5)
    const wrong = commands.filter((path) => loadedBy(path).has("src/services/Server.ts"))
    assert.deepStrictEqual(wrong, [])
  })

  it("of files that promise to be without Effect have none", () => {
    const promising = sources.filter((path) => read(path).includes("No Effect here"))
    assert.isAbove(promising.length, 3)
    for (const path of promising) {
      const effect = [...loadedBy(path)].filter((target) => /^(?:effect|@effect)\b/.test(target))
      assert.deepStrictEqual(effect, [], path)
    }
  })

  it("of the platform are deep: its barrel loads everything there is", () => {
    const wrong = typescript.filter((path) =>
      importsOf(path).some(({ target, typeOnly }) =>
        !typeOnly && target === "@effect/platform-node"
      )
    )
    assert.deepStrictEqual(wrong, [])
  })

  it("of end-to-end tests and their support are none of the product's code", () => {
    const support = [
      "Central",
      "Container",
      "Dockerfile",
      "FieldAgency",
      "FreePort",
      "Image",
      "LedgerFile",
      "Processes",
      "Program",
      "Sales",
      "Screen",
      "WaitUntil",
      "Wire"
    ]
    const endToEnd = [
      ...globSync("test/e2e/*.test.ts", { cwd: root }),
      ...support.map((name) => `test/support/${name}.ts`)
    ]
    const wrong = endToEnd.filter((path) =>
      importsOf(path).some(({ target }) => target.startsWith("src/"))
    )
    assert.deepStrictEqual(wrong, [])
  })
})

/**
 * What of the server's process runs by itself, or is called by Node, without `Keeper.ts`, and why it may: the pattern, how
 * often it occurs in the file, and the reason. What is new needs a keeper, and a throw planted in `test/faults`.
 */
const unkept: Readonly<Record<string, readonly [times: number, why: string]>> = {
  "src/services/Keeper.ts": [2, "it is the keeper"],
  "src/services/Acceptor.ts": [
    3,
    "an empty listener; listen's own error; the listener's error, which is kept"
  ],
  "src/services/Connection/SocketTransport.ts": [3, "each is given to the keeper in place"],
  "src/services/ConsultDesk.ts": [1, "its defects are given to the keeper in place"],
  "src/services/GroupCommit.ts": [1, "a child of the kept fiber, which awaits it"],
  "src/services/BetLedger/LedgerThread.ts": [5, "a throw ends the thread for all who wait for it"],
  "src/services/ChunkParser.ts": [1, "the process is at its end"],
  "src/services/ChunkParser/ParserPool.ts": [2, "each is given to the keeper in place"],
  "src/services/ChunkParser/ParserChild.ts": [
    10,
    "in place: a throw fails the child, and the keeper is told; but for its end"
  ],
  "src/services/OperatorLog.ts": [4, "the keeper writes to it"],
  "src/services/OperatorLog/BoundedLines.ts": [1, "writes lines that can't be written otherwise"]
}

describe("parts of the server", () => {
  it("that run by themselves or are called by Node have a keeper", () => {
    const roots =
      /Effect\.fork\w*|Effect\.run\w*|\.(?:on|once|addListener|prependListener)\(|\b(?:setTimeout|setInterval|setImmediate|nextTick|queueMicrotask)\(/g
    const found: Record<string, number> = {}
    for (const path of loadedBy("src/services/Server.ts")) {
      if (!path.startsWith("src/")) continue
      const code = read(path).replaceAll(/^\s*(?:\*|\/\/|\/\*).*$/gm, "")
      const times = [...code.matchAll(roots)].length
      if (times > 0) found[path] = times
    }
    const known = Object.entries(unkept).map(([path, [times]]) => [path, times])
    assert.deepStrictEqual(found, Object.fromEntries(known), "give it a keeper (Keeper.ts)")
  })
})

describe("files", () => {
  it("are named after what they hold: no drawers, no barrels", () => {
    const drawers = /^(?:utils?|common|helpers?|misc|shared|index)\.ts$/i
    assert.deepStrictEqual(typescript.filter((path) => drawers.test(basename(path))), [])
  })

  it("are named like their main export in domain and services", () => {
    const wrong = sources.filter((path) =>
      ["domain", "services"].includes(layerOf(path)) && !/^[A-Z][A-Za-z]*\.ts$/.test(basename(path))
    )
    assert.deepStrictEqual(wrong, [])
  })

  it("give a reason for every suppression", () => {
    const wrong = typescript.flatMap((path) =>
      read(path).split("\n")
        .filter((line) => /(?:oxlint|eslint)-disable|@ts-|dprint-ignore/.test(line))
        .filter((line) => !line.includes(" -- ") && !path.endsWith("architecture.test.ts"))
        .map((line) => `${relative(root, join(root, path))}: ${line.trim()}`)
    )
    assert.deepStrictEqual(wrong, [])
  })
})

describe("docs/PROTOCOL.md", () => {
  const protocol = read("docs/PROTOCOL.md")

  it("has exactly the codes of domain/Rejection.ts", () => {
    const section = protocol.slice(protocol.indexOf("\n## Codes\n")).split("\n## ")[1] ?? ""
    const rows = section.split("\n")
      .filter((line) => line.startsWith("|"))
      .map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim()))
    const [heading, , ...documented] = rows
    assert.deepStrictEqual(heading, ["code", "answer", "retryable", "meaning", "action"])
    const expected = Object.entries<CodeMeaning>(codes).map(([code, meaning]) => [
      code,
      meaning.answer === "both" ? "rejection, error" : meaning.answer,
      meaning.retryable ? "yes" : "no",
      meaning.meaning,
      meaning.action
    ])
    assert.deepStrictEqual(documented, expected)
  })

  /** The bytes of the worked example, frame by frame: what stands in hexadecimal at the start of indented lines. */
  const frames = protocol.split(/\n {4}(?=00 00 00 )/).slice(1).map((text) =>
    Buffer.from(
      text.split("\n\n")[0]?.split("\n").map((line) => line.trim().split("  ")[0]).join(" ")
        .replaceAll(" ", "") ?? "",
      "hex"
    )
  )

  it("shows the bytes of a chunk and of its answer as they are", () => {
    const [chunk, answer] = frames
    assert.strictEqual(frames.length, 2)
    assert.strictEqual(chunk?.readUInt32BE(0), (chunk?.length ?? 0) - 4)
    assert.include(protocol, `    ${chunk?.toString("latin1", 4)}\n`)
    assert.deepStrictEqual(
      answer,
      Buffer.from(encodeAnswer({ _tag: "ChunkProcessed" }))
    )
  })

  it("shows the digest of its two example lines", () => {
    const lines = protocol.split("\n").filter((line) => line.startsWith("    3,"))
    assert.lengthOf(lines, 2)
    const digest = createHash("sha256")
      .update(lines.map((line) => `${line.trim()}\r\n`).join("")).digest("hex")
    assert.include(protocol, `have the digest \`${digest}\``)
  })
})
