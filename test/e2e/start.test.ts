/** Starting: configuration, ports, the operations port, and the log. */
import { assert, describe, it } from "@effect/vitest"
import { linkSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { writeFile } from "node:fs/promises"
import { createServer, type Server } from "node:net"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { Central, runMain } from "../support/Central.ts"
import { FieldAgency } from "../support/FieldAgency.ts"
import { sales, winnersOf } from "../support/Sales.ts"
import { Wire } from "../support/Wire.ts"

const configurationExit = 78

const occupy = async (): Promise<{ readonly server: Server; readonly port: number }> => {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen({ port: 0, host: "127.0.0.1" }, resolve))
  const address = server.address()
  if (address === null || typeof address === "string") throw new Error("no port")
  return { server, port: address.port }
}

const wrongConfiguration = `
workers: 0
conections:
  max: 5
connections:
  maximum: 5
lottery:
  winningNumber: 10000
  agencies: 3,3
log:
  format: xml
bets:
  port: http
`

describe.concurrent("a central that starts", () => {
  it("says in one line which ledger it uses, of which draw, and what that holds", async () => {
    await using central = await Central.start({
      settings: { lottery: { agencies: 3, draw: "nocturna" } }
    })
    const line = (isNew: boolean, bets: number, finished: number) => [
      `action: ledger | result: success | path: ${central.ledgerPath} | draw: nocturna | new: ${isNew} | `
      + `bets: ${bets} | finished: ${finished} of 3`
    ]
    assert.deepStrictEqual(central.lines("action: ledger"), line(true, 0, 0))
    using agency = await FieldAgency.open(central, 2)
    await agency.sendBets(sales(2, 7), 5, true)
    await central.stop()
    await central.start()
    assert.deepStrictEqual(central.lines("action: ledger"), line(false, 7, 1))
    await central.stop()
    await central.configure({ settings: { lottery: { agencies: 3, draw: "vespertina" } } })
    await central.spawn()
    assert.strictEqual((await central.ended()).code, configurationExit)
    assert.include(
      central.errors,
      "the ledger began with draw nocturna, the configuration says vespertina"
    )
    await central.configure({ agencies: 3 })
    await central.start()
    assert.deepStrictEqual(central.lines("action: ledger"), line(false, 7, 1))
  })
})

describe.concurrent("a wrong configuration", () => {
  it("is named key by key with what was expected, and nothing starts", async () => {
    await using central = await Central.prepare()
    await writeFile(central.configPath, wrongConfiguration)
    await central.spawn()
    assert.strictEqual((await central.ended()).code, configurationExit)
    for (
      const named of [
        central.configPath,
        "workers is 0, but must be an integer from 1 to 1024",
        "conections is not a known key; is connections meant?",
        "connections.maximum is not a known key; is connections.max meant?",
        "lottery.winningNumber is 10000, but must be an integer from 0 to 9999",
        "lottery.agencies is \"3,3\", but must be a number of agencies",
        "log.format is \"xml\", but must be text or json",
        "bets.port is \"http\", but must be an integer from 0 to 65535"
      ]
    ) assert.include(central.errors, named)
    assert.notInclude(central.log, "action: listen")
  })

  it("that isn't YAML is named", async () => {
    await using central = await Central.prepare()
    await writeFile(central.configPath, "bets: [")
    await central.spawn()
    assert.strictEqual((await central.ended()).code, configurationExit)
    assert.include(central.errors, `${central.configPath}: not YAML`)
  })

  it("in an environment variable is named by the variable", async () => {
    await using central = await Central.prepare({ environment: { SERVER_PORT: "http" } })
    await central.spawn()
    assert.strictEqual((await central.ended()).code, configurationExit)
    assert.include(central.log + central.errors, "SERVER_PORT")
  })

  it("is found by --check-config, which starts nothing", async () => {
    await using central = await Central.prepare()
    const check = () => runMain(["serve", "--check-config", "--config", central.configPath])
    const good = await check()
    assert.strictEqual(good.code, 0, good.stdout + good.stderr)
    assert.notInclude(good.stdout, "action: listen")
    await writeFile(central.configPath, "workers: many")
    const bad = await check()
    assert.strictEqual(bad.code, configurationExit)
    assert.include(bad.stdout + bad.stderr, "workers")
  })

  it("that is missing is named", async () => {
    const { code, stderr, stdout } = await runMain(["serve", "--config", "/nowhere/config.yaml"])
    assert.strictEqual(code, configurationExit)
    assert.include(stdout + stderr, "/nowhere/config.yaml")
  })
})

describe.concurrent("serve --check-config", () => {
  const check = (central: Central) =>
    runMain(["serve", "--check-config", "--config", central.configPath])
  /** Other than the index of the log, which every reader beside a writer takes part in. */
  const filesOf = (central: Central) =>
    readdirSync(central.folder).filter((name) => name !== "config.yaml" && !name.endsWith("-shm"))
      .map((name) => [name, readFileSync(join(central.folder, name), "base64")])

  it("says that there is no ledger yet, and leaves none", async () => {
    await using central = await Central.prepare()
    const { code, stdout } = await check(central)
    assert.strictEqual(code, 0)
    assert.include(stdout, `${central.ledgerPath}: no ledger yet; the central begins one`)
    assert.deepStrictEqual(filesOf(central), [])
  })

  it("compares with the ledger, and disturbs no central that runs on it", async () => {
    await using central = await Central.start({
      agencies: 2,
      settings: { lottery: { agencies: 2, draw: "november" } }
    })
    using agency = await FieldAgency.open(central, 1)
    await agency.sendBets(sales(1, 40), 10, true)
    const before = filesOf(central)
    const good = await check(central)
    assert.strictEqual(good.code, 0, good.stderr)
    assert.include(
      good.stdout,
      `${central.ledgerPath}: draw november, 40 bets, 1 of 2 agencies finished, draw not held`
    )
    await central.configure({
      settings: { lottery: { agencies: 3, winningNumber: 7, draw: "december" } }
    })
    const bad = await check(central)
    assert.strictEqual(bad.code, configurationExit)
    for (
      const named of [
        "began with agencies 2, the configuration says 3",
        "began with winning number 7574, the configuration says 7",
        "began with draw november, the configuration says december"
      ]
    ) assert.include(bad.stderr, named)
    assert.deepStrictEqual(filesOf(central), before)
    using second = await FieldAgency.open(central, 2)
    assert.strictEqual(await second.sendBets(sales(2, 5), 5, true), 5)
  })

  it("takes a ledger that the central would bring up to date, and refuses what it would refuse", async () => {
    await using central = await Central.start({ agencies: 2 })
    await central.stop()
    {
      using database = new DatabaseSync(central.ledgerPath)
      database.exec("PRAGMA user_version = 1")
    }
    const older = await check(central)
    assert.strictEqual(older.code, 0, older.stderr)
    assert.include(older.stdout, "the ledger has an older version")
    linkSync(central.ledgerPath, join(central.folder, "second"))
    const twice = await check(central)
    assert.strictEqual(twice.code, 1)
    assert.include(twice.stderr, "has 2 names (hard links)")
    rmSync(join(central.folder, "second"))
    await writeFile(central.ledgerPath, "")
    assert.include((await check(central)).stdout, "no ledger has begun in it")
    await writeFile(central.ledgerPath, "x".repeat(4096))
    const other = await check(central)
    assert.strictEqual(other.code, 1)
    assert.include(other.stderr, "the file is not a ledger")
  })
})

describe.concurrent.each(["text", "json"])("a start that fails, logged as %s", (format) => {
  /** The one line that is not of a normal start: as scripts find it that look for warnings. */
  const fatalLine = (central: Central): string => {
    const found = (central.log + central.errors).split("\n")
      .filter((line) => / (WARNING|ERROR|CRITICAL) |"level":"(WARNING|ERROR|CRITICAL)"/.test(line))
    assert.lengthOf(found, 1, central.log + central.errors)
    assert.strictEqual(central.errors, `${found[0]}\n`, "stderr holds nothing else")
    return found[0] ?? ""
  }

  const failing: ReadonlyArray<
    readonly [string, number, string, (central: Central) => Promise<unknown>]
  > = [
    [
      "a wrong value",
      configurationExit,
      "workers is 0, but must be",
      (central) => central.configure({ settings: { workers: 0, log: { format } } })
    ],
    [
      "another roster than the ledger's",
      configurationExit,
      "the ledger began with agencies 5, the configuration says 3",
      async (central) => {
        await central.start()
        await central.stop()
        await central.configure({ agencies: 3, settings: { log: { format } } })
      }
    ],
    [
      "a file that is no ledger",
      1,
      "the file is not a ledger",
      async (central) => {
        await writeFile(central.ledgerPath, "x".repeat(4096))
        await central.configure({ settings: { log: { format } } })
      }
    ]
  ]

  it.each(failing)("because of %s ends with a CRITICAL line of its log", async (
    _,
    code,
    problem,
    prepare
  ) => {
    await using central = await Central.prepare()
    await prepare(central)
    await central.spawn()
    assert.strictEqual((await central.ended()).code, code)
    const line = fatalLine(central)
    if (format === "text") {
      assert.match(
        line,
        /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d CRITICAL action: start \| result: fail \| problem: [^|]+ \| exit_code: \d+$/
      )
      assert.include(line, problem)
    } else {
      const { time, ...pairs }: Record<string, unknown> = JSON.parse(line)
      assert.match(String(time), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d/)
      assert.deepInclude(pairs, {
        level: "CRITICAL",
        action: "start",
        result: "fail",
        exit_code: code
      })
      assert.include(String(pairs["problem"]), problem)
    }
  })
})

describe.concurrent("the environment", () => {
  it("overrides the configuration file", async () => {
    await using place = await Central.prepare()
    const environment = {
      AGENCIES: "3,",
      LEDGER_PATH: join(place.folder, "other.sqlite"),
      LOGGING_LEVEL: "debug",
      SERVER_LISTEN_BACKLOG: "5",
      SERVER_PORT: "0",
      CONSULT_SERVER_PORT: "0",
      OPS_PORT: "0"
    }
    await using central = await Central.start({
      agencies: 5,
      environment,
      settings: { bets: { port: 1 }, consult: { port: 1 }, operations: { port: 1 } }
    })
    using agency = await FieldAgency.open(central, 3)
    assert.deepStrictEqual(await agency.work(sales(3, 5, 1), 5), {
      logged: 5,
      winners: winnersOf(sales(3, 5, 1))
    })
    await central.stop()
    assert.include(central.log, " DEBUG ")
    assert.include(central.log, environment.LEDGER_PATH)
  })
})

describe.concurrent("a port in use", () => {
  it.each([
    ["bets", "bets_listener"],
    ["consult", "consult_listener"],
    ["operations", "ops_listener"]
  ])("of %s is named, and the start fails", async (section, resource) => {
    const { port, server } = await occupy()
    try {
      await using central = await Central.prepare({
        settings: { [section]: { host: "127.0.0.1", port } }
      })
      await central.spawn()
      const { code } = await central.ended()
      assert.isAbove(code ?? 0, 0)
      const said = central.log + central.errors
      assert.include(said, String(port))
      assert.include(said, resource)
      assert.match(said, /in use/i)
      assert.notInclude(said, "action: ready")
      // No ledger that would keep a configuration that was never served.
      const left = readdirSync(central.folder).filter((name) => name.startsWith("ledger"))
      assert.deepStrictEqual(left.filter((name) => !name.endsWith(".lock")), [])
    } finally {
      server.close()
    }
  })
})

describe.concurrent("a ledger in use", () => {
  it("is named, and the first server goes on", async () => {
    await using central = await Central.start({ agencies: 1 })
    const second = await runMain(["serve", "--config", central.configPath])
    assert.isAbove(second.code ?? 0, 0)
    assert.match(second.stderr, /ledger\.sqlite\b.* in use/)
    using agency = await FieldAgency.open(central, 1)
    assert.strictEqual((await agency.work(sales(1, 5), 5)).logged, 5)
  })
})

describe.concurrent("the operations port", () => {
  it("says whether the server lives and whether it is ready, and nothing elsewhere", async () => {
    await using central = await Central.start()
    const get = (path: string) => fetch(`http://127.0.0.1:${central.operationsPort}${path}`)
    for (const path of ["/healthz", "/readyz"]) {
      const response = await get(path)
      assert.strictEqual(response.status, 200, path)
      await response.body?.cancel()
    }
    const response = await get("/nothing")
    assert.strictEqual(response.status, 404)
    await response.body?.cancel()
  })
})

describe.concurrent("the log", () => {
  const sell = async (central: Central) => {
    using agency = await FieldAgency.open(central, 3)
    const bets = sales(3, 10, 2)
    await agency.work(bets, 4)
    using wire = await Wire.connect(central.betsPort)
    wire.send({ type_message: 1, agency: 3, payload: ["Ana,Lorca,30904465,2001-02-29,5"] })
    await wire.closed()
    await central.stop()
    return bets
  }

  it("has the lines that operators' scripts grep for, to the letter", async () => {
    await using central = await Central.start({ agencies: "3," })
    await sell(central)
    const lines = central.log.split("\n")
    assert.strictEqual(lines.pop(), "")
    for (const line of lines) {
      assert.match(
        line,
        /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (DEBUG|INFO|WARNING|ERROR|CRITICAL) +action: \w+ \| result: \w+( \| \w+: [^|]+)*$/
      )
      assert.match(line.slice(20, 29), /^[A-Z]+ +$/, "the level is padded to 8")
    }
    const said = lines.map((line) => line.slice(29))
    for (
      const expected of [
        "action: accept_connections | result: success | ip: 127.0.0.1",
        "action: apuesta_recibida | result: success | cantidad: 4",
        "action: apuesta_recibida | result: success | cantidad: 2",
        "action: apuestas_almacenadas | result: success | agencia: 3 | cantidad: 4",
        "action: apuestas_almacenadas | result: success | agencia: 3 | cantidad: 2",
        "action: sorteo | result: success",
        "action: signal_received | result: success | signal: SIGTERM",
        "action: close_resource | result: success | resource: bets_listener",
        "action: close_resource | result: success | resource: consult_listener"
      ]
    ) assert.include(said, expected)
    assert.isTrue(said.some((line) => line.startsWith("action: config | result: success | ")))
    assert.isTrue(
      said.some((line) => line.startsWith("action: apuesta_recibida | result: fail | "))
    )
    assert.isTrue(
      said.indexOf("action: sorteo | result: success")
        > said.indexOf("action: apuestas_almacenadas | result: success | agencia: 3 | cantidad: 2")
    )
  })

  it.each(["text", "json"])(
    "holds no name, document or birthdate at any level, as %s",
    async (format) => {
      await using central = await Central.start({
        agencies: "3,",
        settings: { log: { level: "DEBUG", format } }
      })
      const bets = await sell(central)
      const said = central.log + central.errors
      for (
        const [first = "", last = "", document = "", birthdate = ""] of bets.map((bet) =>
          bet.split(",")
        )
      ) {
        for (const personal of [first, last, document, birthdate]) assert.notInclude(said, personal)
      }
      for (const personal of ["Lorca", "30904465", "2001-02-29"]) assert.notInclude(said, personal)
    }
  )
})
