/** Agencies that received their winners, and whether that is confirmed: in the ledger, in `results`, for exitWhenServed. */
import { assert, describe, it } from "@effect/vitest"
import { DatabaseSync } from "node:sqlite"
import { Central, type CentralOptions, runMain } from "../support/Central.ts"
import { sales } from "../support/Sales.ts"
import { Wire } from "../support/Wire.ts"

/** A central whose draw was held: each agency has sold a bet. */
const drawn = async (options: CentralOptions & { readonly agencies: number }): Promise<Central> => {
  const central = await Central.start(options)
  for (let agency = 1; agency <= options.agencies; agency++) {
    using wire = await Wire.connect(central.betsPort)
    const message = { type_message: 2, agency, payload: sales(agency, 1, 1) }
    assert.strictEqual((await wire.ask(message)).type_message, 1)
  }
  await central.waitForLine("action: sorteo | result: success")
  return central
}

/** Asks for the winners, and is answered. */
const ask = async (central: Central, agency: number): Promise<Wire> => {
  const wire = await Wire.connect(central.consultPort)
  assert.strictEqual((await wire.ask({ type_message: 3, agency })).type_message, 2)
  return wire
}

/** As the field's agencies do: it closes when it has read the answer. */
const askAndClose = async (central: Central, agency: number): Promise<number> => {
  using wire = await ask(central, agency)
  return wire.socket.localPort ?? 0
}

const fullResults = async (central: Central): Promise<string> => {
  const { code, stderr, stdout } = await runMain(["results", "--ledger", central.ledgerPath])
  assert.strictEqual(code, 0, stderr)
  return stdout
}

/** What `results` says in the column `told` of each agency. */
const toldOf = async (central: Central): Promise<ReadonlyArray<string>> =>
  (await fullResults(central)).split("\n").flatMap((line) => {
    const row = /^ +\d+ +\d+ +yes +\d+ +(.+)$/.exec(line)
    return row === null ? [] : [row[1] ?? ""]
  })

const awaitTold = (central: Central, agency: number, told: RegExp) =>
  central.waitUntil(`agency ${agency} told ${told}`, async () => {
    const text = (await toldOf(central))[agency - 1] ?? ""
    return told.test(text) && text
  })

const at = String.raw`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00`

describe.concurrent("an agency that asks for its winners", () => {
  it("is told when it closes after the answer: when, and by which connection", async () => {
    await using central = await drawn({ agencies: 2 })
    assert.deepStrictEqual(await toldOf(central), ["-", "-"])
    const port = await askAndClose(central, 2)
    await awaitTold(central, 2, new RegExp(`^${at} 127\\.0\\.0\\.1:${port}$`))
    assert.strictEqual((await toldOf(central))[0], "-")
    assert.include(
      await fullResults(central),
      "1 of 2 agencies have confirmed that they were told their winners."
    )
    const line = `action: ganadores_informados | result: success | agencia: 2 | cantidad: 1 | `
      + `ip: 127.0.0.1 | port: ${port}`
    assert.deepStrictEqual(central.lines("action: ganadores_informados"), [line])
    await askAndClose(central, 1)
    await awaitTold(central, 1, /^\d/)
    assert.include(await fullResults(central), "Every agency has been told its winners.")
  })

  it("and resets the connection counts as sent, not told, until it asks again and closes; that stays", async () => {
    await using central = await drawn({ agencies: 1 })
    const first = await ask(central, 1)
    const firstPort = first.socket.localPort
    first.vanish()
    await awaitTold(central, 1, new RegExp(`^not confirmed: ${at} 127\\.0\\.0\\.1:${firstPort}$`))
    assert.deepStrictEqual(central.lines("action: ganadores_informados | result: success"), [])
    assert.include(
      central.lines("action: ganadores_informados | result: fail")[0],
      "problem: sent, not confirmed: the connection broke"
    )
    const port = await askAndClose(central, 1)
    const told = await awaitTold(central, 1, new RegExp(`^${at} 127\\.0\\.0\\.1:${port}$`))
    const again = await ask(central, 1)
    again.vanish()
    await central.waitUntil(
      "the reset",
      () => central.lines("action: ganadores_informados").length === 3
    )
    await central.stop()
    assert.deepStrictEqual(await toldOf(central), [told])
  })

  it("and doesn't close counts as sent, not told, when the central stops waiting for its FIN", async () => {
    await using central = await drawn({
      agencies: 1,
      settings: { connections: { closeLingerMs: 50 } }
    })
    using wire = await ask(central, 1)
    await awaitTold(central, 1, /^not confirmed: /)
    await wire.gone()
    assert.include(
      central.lines("action: ganadores_informados | result: fail")[0],
      "problem: sent, not confirmed: the agency didn't close"
    )
  })

  it("is told although the ledger can't record it for a while, and is recorded once it can", async () => {
    await using central = await drawn({ agencies: 2 })
    using other = new DatabaseSync(central.ledgerPath)
    other.exec("BEGIN IMMEDIATE")
    await askAndClose(central, 1)
    await central.waitForLine("action: told | result: fail")
    await askAndClose(central, 2)
    assert.deepStrictEqual(await toldOf(central), ["-", "-"])
    other.exec("ROLLBACK")
    await awaitTold(central, 1, /^\d/)
    await awaitTold(central, 2, /^\d/)
  })

  it("before the central is killed is not known to be told, or is", async () => {
    await using central = await drawn({ agencies: 2 })
    await askAndClose(central, 1)
    const told = await awaitTold(central, 1, /^\d/)
    {
      using other = new DatabaseSync(central.ledgerPath)
      other.exec("BEGIN IMMEDIATE")
      await askAndClose(central, 2)
      await central.waitForLine("action: told | result: fail")
      await central.kill()
    }
    await central.start()
    assert.deepStrictEqual(await toldOf(central), [told, "-"])
    const { code, stdout } = await runMain(["ledger", "verify", "--ledger", central.ledgerPath])
    assert.strictEqual(code, 0, stdout)
  })

  it("is noted when the central is told to stop at once", async () => {
    await using central = await drawn({ agencies: 1 })
    await askAndClose(central, 1)
    await central.waitForLine("action: ganadores_informados | result: success")
    assert.strictEqual((await central.stop()).code, 0)
    assert.match((await toldOf(central))[0] ?? "", /^\d/)
  })
})

describe.concurrent("a central with exitWhenServed", () => {
  const settings = { lottery: { exitWhenServed: true } }

  it("isn't done while an agency's answer was cut off, and is when it asks again and closes", async () => {
    await using central = await drawn({ agencies: 2, settings })
    await askAndClose(central, 1)
    const cut = await ask(central, 2)
    cut.vanish()
    await central.waitForLine("action: ganadores_informados | result: fail | agencia: 2")
    assert.isTrue(central.running)
    await askAndClose(central, 2)
    assert.strictEqual((await central.ended()).code, 0)
    assert.include(await fullResults(central), "Every agency has been told its winners.")
  })

  it("counts those who were told before a restart", async () => {
    await using central = await drawn({ agencies: 2, settings })
    await askAndClose(central, 2)
    await awaitTold(central, 2, /^\d/)
    await central.kill()
    await central.start()
    assert.isTrue(central.running)
    await askAndClose(central, 1)
    assert.strictEqual((await central.ended()).code, 0)
  })

  it("doesn't wait for ever for an agency that never closes, and says that it isn't sure", async () => {
    await using central = await drawn({
      agencies: 1,
      settings: { ...settings, connections: { closeLingerMs: 50 } }
    })
    using wire = await ask(central, 1)
    assert.strictEqual((await central.ended()).code, 0)
    await wire.gone()
    assert.match((await toldOf(central))[0] ?? "", /^not confirmed: /)
  })
})
