/** What operators do with a ledger's file: look at it, check it, back it up while it is written, begin the next one. */
import { afterAll, assert, describe, it } from "@effect/vitest"
import {
  existsSync,
  linkSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync
} from "node:fs"
import { copyFile } from "node:fs/promises"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { Central, type CentralOptions, runMain } from "../support/Central.ts"
import { FieldAgency } from "../support/FieldAgency.ts"
import { LedgerFile } from "../support/LedgerFile.ts"
import { sale, sales, winnersOf } from "../support/Sales.ts"
import { Wire } from "../support/Wire.ts"

const ledger = (command: string, path: string, ...rest: ReadonlyArray<string>) =>
  runMain(["ledger", command, "--ledger", path, ...rest])

const disposed: Array<Central> = []
afterAll(() => Promise.all(disposed.map((central) => central[Symbol.asyncDispose]())))

/** A stopped central that is made once, however many tests copy what it left. */
const once = (make: () => Promise<Central>): () => Promise<Central> => {
  let made: Promise<Central> | undefined
  return () => made ??= make()
}

/** Two of its agencies have finished. */
const sellAndStop = async (options: CentralOptions): Promise<Central> => {
  const central = await Central.start(options)
  disposed.push(central)
  for (const [id, bets] of [[1, sales(1, 25, 2)], [2, sales(2, 12, 1)]] as const) {
    using agency = await FieldAgency.open(central, id)
    await agency.sendBets(bets, 5, true)
  }
  await central.stop()
  return central
}

/** Its two agencies have been told their winners. */
const tellAndStop = async (central: Central): Promise<Central> => {
  await central.start()
  for (const id of [1, 2]) {
    using agency = await FieldAgency.open(central, id)
    await agency.consult()
  }
  await central.waitUntil(
    "all told",
    () => central.lines("action: ganadores_informados | result: success").length === 2
  )
  await central.stop()
  return central
}

/** A central that doesn't run yet, with a copy of what a stopped one left. */
const copyOf = async (stopped: Central, agencies: number): Promise<Central> => {
  assert.deepStrictEqual(
    readdirSync(stopped.folder).filter((name) => name.startsWith("ledger")),
    ["ledger.sqlite", "ledger.sqlite.lock"]
  )
  const central = await Central.prepare({ agencies })
  await copyFile(stopped.ledgerPath, central.ledgerPath)
  return central
}

const soldByTwo = once(() => sellAndStop({ agencies: 2 }))
const soldByTwoOfThree = once(() => sellAndStop({ agencies: 3 }))
const told = once(async () => {
  const central = await copyOf(await soldByTwo(), 2)
  disposed.push(central)
  return tellAndStop(central)
})
/** A central that has taken in the bets of two of its agencies, and was stopped. */
const soldAndStopped = async ({ agencies }: { readonly agencies: 2 | 3 }): Promise<Central> =>
  copyOf(await (agencies === 2 ? soldByTwo() : soldByTwoOfThree()), agencies)

/** As {@link soldAndStopped}, of two agencies, which have been told their winners. */
const toldAndStopped = async (): Promise<Central> => copyOf(await told(), 2)

describe.concurrent("ledger info", () => {
  it("says which lottery it is of and how far it is", async () => {
    await using central = await soldAndStopped({ agencies: 3 })
    const open = await ledger("info", central.ledgerPath)
    assert.strictEqual(open.code, 0, open.stderr)
    assert.include(open.stdout, central.ledgerPath)
    for (
      const line of [
        /^agencies: +3 \(2 of 3 finished\)$/m,
        /^winning number: +7574$/m,
        /^bets: +37 bets in 8 chunks$/m,
        /^draw: +\d{4}-\d\d-\d\dT\d{6}, not held$/m
      ]
    ) assert.match(open.stdout, line)

    await central.start()
    using agency = await FieldAgency.open(central, 3)
    await agency.work([], 5)
    const drawn = await ledger("info", central.ledgerPath)
    assert.match(
      drawn.stdout,
      /^draw: +\S+, held \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00 \(3 winners\)$/m
    )
  })

  it("of what is no ledger fails and says why", async () => {
    await using central = await Central.prepare()
    const missing = await ledger("info", central.ledgerPath)
    assert.deepStrictEqual([missing.code, missing.stdout], [1, ""])
    assert.include(missing.stderr, "there is no such file")
    assert.isFalse(existsSync(central.ledgerPath))
    writeFileSync(central.ledgerPath, "not a ledger but a text that is longer than a header")
    assert.include((await ledger("info", central.ledgerPath)).stderr, "not a ledger")
  })
})

describe.concurrent("ledger verify", () => {
  it("finds nothing wrong with a ledger, at rest or written to, before the draw and after", async () => {
    await using central = await soldAndStopped({ agencies: 3 })
    const summary = "37 bets in 8 chunks of 2 agencies, 2 finished, draw not held; 0 problems"
    const atRest = await ledger("verify", central.ledgerPath)
    assert.deepStrictEqual(atRest, {
      code: 0,
      stdout: `${central.ledgerPath}: ${summary}\n`,
      stderr: ""
    })
    await central.start()
    using agency = await FieldAgency.open(central, 3)
    await agency.sendBets(sales(3, 10), 5, false)
    const written = await ledger("verify", central.ledgerPath)
    assert.include(written.stdout, "47 bets in 10 chunks of 3 agencies, 2 finished, draw not held")
    await agency.sendBets([], 5, true)
    const drawn = await ledger("verify", central.ledgerPath)
    assert.include(drawn.stdout, "3 finished, draw held; 0 problems")
    assert.deepStrictEqual([written.code, drawn.code], [0, 0])
  })

  it("finds pages that were overwritten", async () => {
    await using central = await soldAndStopped({ agencies: 2 })
    const bytes = readFileSync(central.ledgerPath)
    const at = bytes.indexOf("10100003")
    assert.isAbove(at, 0)
    const page = Math.floor(at / 4096) * 4096
    bytes.fill(0x5a, page, page + 4096)
    writeFileSync(central.ledgerPath, bytes)
    const { code, stderr, stdout } = await ledger("verify", central.ledgerPath)
    assert.strictEqual(code, 1)
    assert.match(stdout, /^problem: SQLite: /m)
    assert.match(stderr, /\d problems; stop the server and restore the ledger from a backup/)
  })
})

describe.concurrent("ledger backup", () => {
  it("while chunks pour in is of one moment, whole, and holds what was answered before", async () => {
    await using central = await Central.start({ agencies: 2 })
    using wire = await Wire.connect(central.betsPort)
    let answered = 0
    const pouring = { on: true }
    const payload = (seq: number) =>
      Array.from({ length: 50 }, (_, index) => sale(1, (seq - 1) * 50 + index))
    const pour = (async () => {
      for (let seq = 1; pouring.on; seq++) {
        await wire.ask({ type_message: 1, agency: 1, seq, payload: payload(seq) })
        answered = seq
      }
    })()
    await central.waitUntil("chunks", () => answered >= 50)
    const before = answered
    const out = join(central.folder, "backup.sqlite")
    const { code, stderr, stdout } = await ledger("backup", central.ledgerPath, "--out", out)
    const after = answered
    pouring.on = false
    await pour
    assert.strictEqual(code, 0, stderr)
    assert.isAbove(after, before, "chunks poured in meanwhile")
    using copy = new LedgerFile(out)
    const stored = copy.betsOf(1)
    assert.isAtLeast(stored.length, before * 50)
    assert.isAtMost(stored.length, (after + 1) * 50)
    assert.deepStrictEqual(stored, stored.map((_, index) => sale(1, index)))
    assert.include(stdout, `${out}: ${stored.length.toLocaleString("en-US")} bets in `)
    assert.deepStrictEqual(
      readdirSync(central.folder).filter((name) => name.startsWith("backup")),
      ["backup.sqlite"]
    )
  })

  it("can be put in the ledger's place, and the central goes on from there", async () => {
    await using central = await soldAndStopped({ agencies: 3 })
    const out = join(central.folder, "backup.sqlite")
    assert.strictEqual((await ledger("backup", central.ledgerPath, "--out", out)).code, 0)
    await copyFile(out, central.ledgerPath)
    await central.start()
    using agency = await FieldAgency.open(central, 3)
    assert.deepStrictEqual(
      (await agency.work(sales(3, 5, 1), 5)).winners,
      winnersOf(sales(3, 5, 1))
    )
  })

  it("overwrites nothing, and leaves nothing when it fails", async () => {
    await using central = await soldAndStopped({ agencies: 2 })
    const out = join(central.folder, "taken")
    writeFileSync(out, "mine")
    const taken = await ledger("backup", central.ledgerPath, "--out", out)
    assert.strictEqual(taken.code, 1)
    assert.include(taken.stderr, `${out} already exists`)
    assert.strictEqual(readFileSync(out, "utf8"), "mine")

    const db = new DatabaseSync(central.ledgerPath)
    db.exec("UPDATE chunk SET bets = 4 WHERE id = 1")
    db.close()
    // Who reads a ledger in use leaves SQLite's files beside it.
    const files = () => readdirSync(central.folder).filter((name) => !/-(?:wal|shm)$/.test(name))
    const before = files()
    const damaged = await ledger(
      "backup",
      central.ledgerPath,
      "--out",
      join(central.folder, "new")
    )
    assert.strictEqual(damaged.code, 1)
    assert.match(damaged.stderr, /\d problems/)
    const nowhere = join(central.folder, "nowhere/backup.sqlite")
    assert.strictEqual((await ledger("backup", central.ledgerPath, "--out", nowhere)).code, 1)
    assert.deepStrictEqual(files(), before)
  })
})

describe.concurrent("ledger begin", () => {
  it("keeps the ledger whose draw was held under the time of its draw, and the central sells again", async () => {
    await using central = await toldAndStopped()
    const before = statSync(central.ledgerPath).ino
    const { code, stderr, stdout } = await ledger(
      "begin",
      central.ledgerPath,
      "--winning-number",
      "1234",
      "--agencies",
      "2,"
    )
    assert.strictEqual(code, 0, stderr)
    const archive = /^(.*): the previous ledger$/m.exec(stdout)?.[1] ?? ""
    assert.match(archive, /\/ledger-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ\.sqlite$/)
    assert.strictEqual(statSync(archive).ino, before)
    assert.match(stdout, /: draw \d{4}-\d\d-\d\dT\d{6}(?:-2)?, agencies 2,, winning number 1234$/m)
    assert.include(stdout, "set lottery.agencies: 2, and lottery.winningNumber: 1234")
    assert.sameMembers(
      readdirSync(central.folder).filter((name) => name.includes("ledger")),
      ["ledger.sqlite", "ledger.sqlite.lock", archive.split("/").at(-1)]
    )
    using old = new LedgerFile(archive)
    assert.lengthOf(old.betsOf(1), 25)
    assert.include((await ledger("verify", archive)).stdout, "draw held; 0 problems")

    // The configuration is still yesterday's.
    await central.spawn()
    assert.strictEqual((await central.ended()).code, 78)
    await central.configure({ agencies: "2,", settings: { lottery: { winningNumber: 1234 } } })
    await central.start()
    using agency = await FieldAgency.open(central, 2)
    const bets = ["Ana,Lorca,30904465,1999-03-17,1234", "Eva,Sosa,30904466,1999-03-17,7574"]
    assert.deepStrictEqual(await agency.work(bets, 5), { logged: 2, winners: ["30904465"] })
  })

  it("takes the number and the agencies from the configuration where they aren't given", async () => {
    await using central = await Central.prepare({
      agencies: "2,4",
      settings: { lottery: { winningNumber: 77 } }
    })
    const { code, stdout } = await runMain(["ledger", "begin", "--config", central.configPath])
    assert.strictEqual(code, 0)
    assert.match(stdout, /ledger\.sqlite: draw \S+, agencies 2,4, winning number 77\n$/)
    await central.start()
  })

  it("refuses the name of the draw that is put aside, and takes another", async () => {
    const settings = { lottery: { agencies: 2, draw: "vespertina" } }
    const central = await tellAndStop(await sellAndStop({ settings }))
    const before = readFileSync(central.ledgerPath)
    const args = ["ledger", "begin", "--config", central.configPath]
    for (const more of [[], ["--draw", "vespertina"]]) {
      const same = await runMain([...args, ...more])
      assert.strictEqual(same.code, 1)
      assert.include(same.stderr, "the draw of the old ledger is also called vespertina")
    }
    assert.strictEqual((await runMain([...args, "--draw", "no/name"])).code, 2)
    assert.deepStrictEqual(readFileSync(central.ledgerPath), before)
    const other = await runMain([...args, "--draw", "nocturna"])
    assert.strictEqual(other.code, 0, other.stderr)
    assert.include(other.stdout, "draw nocturna, agencies 2, winning number 7574")
    assert.include(other.stdout, "set lottery.draw: nocturna")
    await central.spawn()
    assert.strictEqual((await central.ended()).code, 78)
    assert.include(
      central.errors,
      "the ledger began with draw nocturna, the configuration says vespertina"
    )
    await central.configure({ settings: { lottery: { agencies: 2, draw: "nocturna" } } })
    await central.start()
  })

  it("begins a ledger anew in which nothing is stored, with another roster and under the same name", async () => {
    await using central = await Central.start({ agencies: 3 })
    const name = /draw: (\S+)/.exec(central.lines("action: ledger")[0] ?? "")?.[1]
    await central.stop()
    await central.configure({ agencies: 4 })
    await central.spawn()
    assert.strictEqual((await central.ended()).code, 78)
    const { code, stderr, stdout } = await runMain([
      "ledger",
      "begin",
      "--config",
      central.configPath
    ])
    assert.strictEqual(code, 0, stderr)
    assert.strictEqual(
      stdout,
      `${central.ledgerPath}: draw ${name}, agencies 4, winning number 7574\n`
    )
    assert.sameMembers(
      readdirSync(central.folder).filter((file) => file.includes("ledger")),
      ["ledger.sqlite", "ledger.sqlite.lock"]
    )
    await central.start()
    using agency = await FieldAgency.open(central, 4)
    await agency.sendBets(sales(4, 5), 5, true)
  })

  it("refuses while the draw has not been held, and changes nothing", async () => {
    await using central = await soldAndStopped({ agencies: 3 })
    const before = readFileSync(central.ledgerPath)
    const { code, stderr } = await runMain(["ledger", "begin", "--config", central.configPath])
    assert.strictEqual(code, 1)
    assert.include(stderr, "its draw has not been held")
    assert.deepStrictEqual(readFileSync(central.ledgerPath), before)
  })

  it("names agencies that aren't known to have been told their winners, and requires --yes then", async () => {
    await using central = await soldAndStopped({ agencies: 2 })
    await central.start()
    {
      using wire = await Wire.connect(central.consultPort)
      assert.strictEqual((await wire.ask({ type_message: 3, agency: 2 })).type_message, 2)
      wire.vanish()
      await central.waitForLine("action: ganadores_informados | result: fail")
    }
    await central.stop()
    const before = readFileSync(central.ledgerPath)
    const args = ["ledger", "begin", "--config", central.configPath]
    const { code, stderr } = await runMain(args)
    assert.strictEqual(code, 1)
    assert.include(stderr, "agency 1: not known to have been told the winners; ")
    assert.include(
      stderr,
      "agency 2: sent the winners, but their receipt is not confirmed."
    )
    assert.deepStrictEqual(readFileSync(central.ledgerPath), before)
    assert.match((await ledger("info", central.ledgerPath)).stdout, /^told: +0 of 2 agencies$/m)
    assert.strictEqual((await runMain([...args, "--yes"])).code, 0)
  })

  it("names agencies that have finished without a bet, and wants --yes to begin anew", async () => {
    await using central = await Central.start({ agencies: 2 })
    using wire = await Wire.connect(central.betsPort)
    await wire.ask({ type_message: 2, agency: 2, payload: [] })
    await central.stop()
    const args = ["ledger", "begin", "--config", central.configPath]
    const { code, stderr } = await runMain(args)
    assert.strictEqual(code, 1)
    assert.include(stderr, "agency 2: finished without a bet, and would have to finish again")
    assert.strictEqual((await runMain([...args, "--yes"])).code, 0)
    assert.match((await ledger("info", central.ledgerPath)).stdout, /0 of 2 finished/)
  })

  it("refuses while a central runs on the ledger, and the central goes on", async () => {
    await using central = await toldAndStopped()
    await central.start()
    const { code, stderr } = await runMain(["ledger", "begin", "--config", central.configPath])
    assert.strictEqual(code, 1)
    assert.include(stderr, "in use by another process")
    using agency = await FieldAgency.open(central, 1)
    assert.deepStrictEqual(await agency.consult(), winnersOf(sales(1, 25, 2)))
  })

  it("refuses while another program reads the ledger, and goes through when it is done", async () => {
    await using central = await toldAndStopped()
    const args = ["ledger", "begin", "--config", central.configPath]
    {
      using reader = new LedgerFile(central.ledgerPath)
      assert.lengthOf(reader.betsOf(1), 25)
      const { code, stderr } = await runMain(args)
      assert.strictEqual(code, 1)
      assert.include(stderr, "another program has it open")
    }
    assert.strictEqual((await runMain(args)).code, 0)
  })

  it("never overwrites an older archive, and goes on after a crash between its two steps", async () => {
    await using central = await toldAndStopped()
    const args = ["ledger", "begin", "--config", central.configPath]
    using held = new DatabaseSync(central.ledgerPath, { readOnly: true })
    const heldAt = String(held.prepare("SELECT held_at FROM draw").get()?.["held_at"])
    held.close()
    const archive = join(central.folder, `ledger-${heldAt.replaceAll(":", "-")}.sqlite`)
    writeFileSync(archive, "older")
    const { code, stderr } = await runMain(args)
    assert.strictEqual(code, 1)
    assert.include(stderr, `${archive} already exists`)
    assert.strictEqual(readFileSync(archive, "utf8"), "older")

    rmSync(archive)
    linkSync(central.ledgerPath, archive)
    writeFileSync(`${central.ledgerPath}.next`, "half of a")
    assert.strictEqual((await runMain(args)).code, 0)
    assert.notStrictEqual(statSync(archive).ino, statSync(central.ledgerPath).ino)
    assert.include((await ledger("verify", archive)).stdout, "37 bets in 8 chunks")
    assert.include((await ledger("info", central.ledgerPath)).stdout, "0 bets in 0 chunks")
  })
})
