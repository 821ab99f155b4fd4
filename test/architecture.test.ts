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

/**
 * The rooms of the house, and whom each may import besides itself. A room names only rooms above it, so there is no
 * cycle. Where an edge isn't plain from what the two are, its reason stands beside it.
 */
const rooms = {
  "domain": [],
  "parser": ["domain"],
  "services/base": ["domain"],
  // What a ledger must do, whatever it stores bets in; none of its homes.
  "services/ledger": ["domain", "services/base"],
  // Of the ledger the checksums and the names of draws alone, which all homes share.
  "services/ledger/sqlite": ["domain", "services/ledger"],
  "services/ledger/embedded": [
    "domain",
    "services/base",
    "services/ledger",
    "services/ledger/sqlite"
  ],
  "services/ledger/postgres": ["domain", "services/base", "services/ledger"],
  // The only one that chooses.
  "services/ledger/home": [
    "domain",
    "services/base",
    "services/ledger",
    "services/ledger/embedded",
    "services/ledger/postgres"
  ],
  "services/draw": ["domain", "services/base", "services/ledger"],
  // Of the parser the format of the pipe alone.
  "services/intake": ["domain", "parser", "services/base", "services/ledger", "services/draw"],
  // Its port is opened, and refused to the operator, as the doors are.
  "services/operations": ["services/base", "services/intake"],
  // What works on a ledger without the central knows its tables in both homes, and what failures mean there.
  "services/admin": [
    "domain",
    "services/base",
    "services/ledger",
    "services/ledger/embedded",
    "services/ledger/postgres",
    "services/ledger/sqlite"
  ],
  "services/agency": ["domain", "services/base"],
  "services/trial": ["domain", "services/base", "services/admin"],
  "server": [
    "services/base",
    "services/ledger",
    "services/ledger/home",
    "services/draw",
    "services/intake",
    "services/operations"
  ],
  "commands": [
    "domain",
    "services/base",
    "services/operations",
    "services/admin",
    "services/agency",
    "services/trial"
  ],
  // Entry files stand in src itself: they know the commands, and nobody knows them.
  "entry": ["commands"]
} as const satisfies Readonly<Record<string, ReadonlyArray<string>>>
type Room = keyof typeof rooms
const roomNames = Object.keys(rooms).filter((name): name is Room => name in rooms)

/** Rooms that run where Effect would only cost: child processes and threads that are started by the hundred in a night. */
const withoutEffect = [
  "src/ready.ts",
  "src/parser.ts",
  "src/parser/",
  "src/services/ledger/sqlite/"
]

const roomOf = (path: string): Room => {
  if (path === "src/services/Server.ts") return "server"
  if (path === "src/parser.ts") return "parser"
  if (dirname(path) === "src") return "entry"
  const room = roomNames.findLast((name) => dirname(path) === `src/${name}`)
  if (room === undefined) throw new Error(`${path} is in no room: name it in the table`)
  return room
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

  it("go from room to room as the table says, which has no cycle", () => {
    for (const [index, name] of roomNames.entries()) {
      for (const above of rooms[name]) assert.isBelow(roomNames.indexOf(above), index, name)
    }
    const wrong = sources.flatMap((path) =>
      importsOf(path)
        .filter(({ target }) => target.startsWith("src/"))
        .filter(({ target }) => {
          const [from, to] = [roomOf(path), roomOf(target)]
          return from !== to && to !== "server" && !rooms[from].some((name) => name === to)
        })
        .map(({ target }) => `${path} imports ${target}`)
    )
    assert.deepStrictEqual(wrong, [])
  })

  it("of the intake take of the parser child the format of the pipe alone", () => {
    const taken = sources.filter((path) => roomOf(path) === "services/intake").flatMap((path) =>
      importsOf(path).map(({ target }) => target).filter((target) =>
        target.startsWith("src/parser")
      )
    )
    assert.deepStrictEqual([...new Set(taken)], ["src/parser/ParserPipe.ts"])
  })

  it("of Server.ts are serve's alone: the other commands work without the central", () => {
    const importers = sources.filter((path) =>
      importsOf(path).some(({ target }) => target === "src/services/Server.ts")
    )
    assert.deepStrictEqual(importers, ["src/commands/ServeRun.ts"])
  })

  it("that are in the table are needed", () => {
    const used = new Set(
      sources.flatMap((path) =>
        importsOf(path)
          .filter(({ target }) => target.startsWith("src/"))
          .map(({ target }) => `${roomOf(path)} → ${roomOf(target)}`)
      )
    )
    const allowed = roomNames.flatMap((name) => rooms[name].map((other) => `${name} → ${other}`))
    assert.deepStrictEqual(allowed.filter((edge) => !used.has(edge)), [])
  })

  it("of the domain are the domain and effect: no node:*, no platform, no package", () => {
    const wrong = sources.filter((path) => roomOf(path) === "domain").flatMap((path) =>
      importsOf(path)
        .filter(({ target }) => !target.startsWith("src/domain/") && target !== "effect")
        .map(({ target }) => `${path} imports ${target}`)
    )
    assert.deepStrictEqual(wrong, [])
  })

  it("of the parser child are its own and the domain's: no package, no service", () => {
    const wrong = [...loadedBy("src/parser.ts")].filter((target) =>
      !/^(?:src\/parser\b|src\/domain\/|node:)/.test(target)
    )
    assert.deepStrictEqual(wrong, [])
  })

  it("of the command line are no service: a command loads what it needs when it runs", () => {
    const loaded = [...loadedBy("src/program.ts", "at once")]
    assert.include(loaded, "src/commands/Serve.ts")
    const services = loaded.filter((target) => target.startsWith("src/services/"))
    // Lists that flags and services share; they load nothing themselves.
    assert.deepStrictEqual(services.filter((path) => importsOf(path).length > 0), [])
    assert.include([...loadedBy("src/program.ts")], "src/services/Server.ts")
  })

  it("of an agency are neither the configuration nor YAML: it has none", () => {
    for (const command of ["Agency", "Consult"]) {
      const loaded = [...loadedBy(`src/commands/${command}.ts`)]
      assert.include(loaded, "src/services/agency/AgencyClient.ts")
      assert.include(loaded, "src/services/base/OperatorLog.ts")
      assert.notInclude(loaded, "src/services/base/Settings.ts")
      assert.notInclude(loaded, "js-yaml")
    }
  })

  it("of a central with a file are nothing of PostgreSQL", () => {
    const ofPostgres = (loaded: ReadonlySet<string>) =>
      [...loaded].filter((target) => /^@effect\/sql|^src\/services\/ledger\/postgres/.test(target))
    assert.isNotEmpty(ofPostgres(loadedBy("src/services/Server.ts")))
    assert.deepStrictEqual(ofPostgres(loadedBy("src/services/Server.ts", "at once")), [])
  })

  it("of rooms without Effect load none of it, whatever they import", () => {
    for (const place of withoutEffect) {
      const inside = sources.filter((path) => path.startsWith(place))
      assert.isNotEmpty(inside, place)
      for (const path of inside) {
        const effect = [...loadedBy(path)].filter((target) => /^(?:effect|@effect)\b/.test(target))
        assert.deepStrictEqual(effect, [], path)
      }
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
      "FreePorts",
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
  "src/services/base/Keeper.ts": [2, "it is the keeper"],
  "src/services/intake/Acceptor.ts": [
    3,
    "an empty listener; listen's own error; the listener's error, which is kept"
  ],
  "src/services/intake/SocketTransport.ts": [3, "each is given to the keeper in place"],
  "src/services/intake/ConsultTurns.ts": [1, "its defects are given to the keeper in place"],
  "src/services/ledger/GroupCommit.ts": [1, "a child of the kept fiber, which awaits it"],
  "src/services/ledger/embedded/LedgerThread.ts": [
    5,
    "a throw ends the thread for all who wait for it"
  ],
  "src/services/ledger/postgres/CommitLaneSession.ts": [
    5,
    "a throw in what it reads is kept in place, and loses the session; the others lose it too"
  ],
  "src/services/ledger/postgres/CommitLaneSocket.ts": [
    10,
    "an opening that fails, and a stream that passes on what comes"
  ],
  "src/services/intake/ChunkParser.ts": [1, "the process is at its end"],
  "src/services/intake/ParserChild.ts": [
    3,
    "the fork's own error; the others are given to the keeper in place, and fail the child"
  ],
  "src/services/intake/ParserLink.ts": [5, "each is kept by the child"],
  "src/services/base/OperatorLog.ts": [4, "the keeper writes to it"],
  "src/services/base/BoundedLines.ts": [1, "writes lines that can't be written otherwise"]
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
      !["entry", "commands"].includes(roomOf(path)) && path !== "src/parser.ts"
      && !/^[A-Z][A-Za-z]*\.ts$/.test(basename(path))
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
