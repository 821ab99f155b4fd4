/**
 * Too few processes and threads, by real limits. Linux doesn't enforce them for root, and counts all of a user together:
 * so each central runs as a user that nobody else is.
 */
import { assert, describe, it } from "@effect/vitest"
import { execFileSync, spawn } from "node:child_process"
import { randomInt } from "node:crypto"
import { chownSync, readdirSync, readFileSync } from "node:fs"
import { Central, type CentralOptions, projectFolder } from "../support/Central.ts"
import { LedgerFile } from "../support/LedgerFile.ts"
import { isAlive, waitUntilGone } from "../support/Processes.ts"
import { sales } from "../support/Sales.ts"
import { Wire } from "../support/Wire.ts"

/** What a server takes, and what one parser does: see domain/Limits.ts. */
const server = 14
const parser = 8

const as = (user: number) => ["setpriv", `--reuid=${user}`, `--regid=${user}`, "--clear-groups"]

/** Why no central can run as another user here; undefined where it can. */
const obstacle = (): string | undefined => {
  const [setpriv = "", ...user] = as(randomInt(100_000, 2_000_000_000))
  try {
    execFileSync("prlimit", ["--nproc", setpriv, ...user, "true"], { stdio: "ignore" })
  } catch {
    return "only root, with prlimit and setpriv of util-linux, can start a server as another user"
  }
  const reads = `require("node:fs").readFileSync(${JSON.stringify(`${projectFolder}/src/main.ts`)})`
  try {
    execFileSync(setpriv, [...user, process.execPath, "-e", reads], { stdio: "ignore" })
    return undefined
  } catch {
    return `another user can't read ${projectFolder}, or run ${process.execPath}`
  }
}
const found = obstacle()

/** A central that may have so many processes and threads, together with others of its user. */
const prepare = async (
  limit: number,
  user: number,
  options: CentralOptions = {}
): Promise<Central> => {
  const through = ["prlimit", `--nproc=${limit}:${limit}`, ...as(user)]
  const central = await Central.prepare({ agencies: 2, ...options, through })
  chownSync(central.folder, user, user)
  return central
}

const newUser = () => randomInt(100_000, 2_000_000_000)

/** Of the running process, by its own user: root may lack the right. */
const setLimit = (pid: number, user: number, limit: number): void => {
  const [setpriv = "", ...rest] = as(user)
  execFileSync(setpriv, [...rest, "prlimit", `--pid=${pid}`, `--nproc=${limit}:`])
}

/** Whatever still runs as this user. */
const processesOf = (user: number): ReadonlyArray<number> =>
  readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map(Number).filter((pid) => {
    try {
      const status = readFileSync(`/proc/${pid}/status`, "utf8")
      return status.includes(`\nUid:\t${user}\t`) && isAlive(pid)
    } catch {
      return false
    }
  })

const readiness = async (central: Central): Promise<string> => {
  const response = await fetch(`http://127.0.0.1:${central.operationsPort}/readyz`)
  return `${response.status} ${await response.text()}`
}

const chunk = (seq: number) => ({ type_message: 1, agency: 1, seq, payload: sales(1, 2) })
const unnumbered = { type_message: 1, agency: 2, payload: sales(2, 3) }

describe("a limit of processes below what the server needs", () => {
  it.for([server - 6, server - 1, server, server + 2, server + parser - 1])(
    "(%i) fails the start at once with what to do, and leaves nothing running",
    async (limit, { skip }) => {
      if (found !== undefined) return skip(found)
      const user = newUser()
      await using central = await prepare(limit, user)
      await central.spawn()
      const { code, ms } = await central.ended()
      assert.strictEqual(code, 1)
      assert.isBelow(ms, 8000)
      const needed = limit < server ? server : server + parser
      assert.match(
        central.errors,
        /^\S+ \S+ CRITICAL action: start \| result: fail \| problem: too few/
      )
      assert.include(
        central.errors,
        `${needed} are needed, and the limit of this user is ${limit}; `
          + `raise ulimit -u (with systemd LimitNPROC) to ${needed} or more`
      )
      assert.notInclude(central.errors, "    at ")
      assert.deepStrictEqual(processesOf(user), [])
    }
  )

  it("is named also where others of the same user have taken the rest", async ({ skip }) => {
    if (found !== undefined) return skip(found)
    const user = newUser()
    const [setpriv = "", ...rest] = as(user)
    using other = spawn(setpriv, [...rest, "sleep", "60"], { stdio: "ignore" })
    await using central = await prepare(server + parser, user)
    await central.waitUntil("the other process", () => processesOf(user).length === 1)
    await central.spawn()
    assert.strictEqual((await central.ended()).code, 1)
    assert.include(central.errors, "of which others have taken 1; raise ulimit -u")
    assert.deepStrictEqual(processesOf(user), [other.pid ?? 0])
  })

  it("is none where there are just as many as it needs: it starts and works", async ({ skip }) => {
    if (found !== undefined) return skip(found)
    await using central = await prepare(server + parser, newUser())
    await central.start()
    using wire = await Wire.connect(central.betsPort)
    assert.include(await wire.ask(chunk(1)), { type_message: 1, seq: 1 })
    assert.lengthOf(central.lines("action: parser_replaced"), 0)
    assert.strictEqual((await central.stop()).code, 0)
  })
})

/** With the latter a parser's Node has some of its threads, and hangs for want of the others. */
const shortages = [
  ["no process", 1, /could not be started \(.*EAGAIN.*raise ulimit -u/],
  ["a process without enough threads", server + 3, /the parser did not start in time/]
] as const

describe.each(shortages)("%s to be had while the server runs", (_, limit, problem) => {
  const settings = { parsers: { processes: 1, startDeadlineMs: 4000, restartMaxMs: 500 } }

  it(
    "keeps chunks waiting when the parsers die, isn't ready, and goes on by itself when there are some again",
    async ({ skip }) => {
      if (found !== undefined) return skip(found)
      const user = newUser()
      await using central = await prepare(1000, user, { settings })
      await central.start()
      using counting = await Wire.connect(central.betsPort)
      using plain = await Wire.connect(central.betsPort)
      assert.include(await counting.ask(chunk(1)), { type_message: 1, seq: 1 })
      assert.include(await plain.ask(unnumbered), { type_message: 1 })
      assert.match(await readiness(central), /^200 /)

      setLimit(central.pid, user, limit)
      for (const pid of central.children) process.kill(pid, "SIGKILL")
      counting.send(chunk(2))
      plain.send(unnumbered)
      await central.waitUntil(
        "two failed starts",
        () =>
          central.lines("action: parser_replaced").filter((line) => problem.test(line)).length > 1,
        20_000
      )
      assert.match(await readiness(central), /^503 .*parsers: no frame can be parsed/)
      assert.lengthOf(central.lines("action: apuesta_recibida"), 2)
      assert.isTrue(counting.open && plain.open)

      setLimit(central.pid, user, 1000)
      assert.include(await counting.answer(30_000), { type_message: 1, seq: 2 })
      assert.include(await plain.answer(), { type_message: 1 })
      assert.match(await readiness(central), /^200 /)
      assert.lengthOf(central.children, 1)
      const wire = await Wire.connect(central.betsPort)
      assert.include(await wire.ask({ type_message: 4, agency: 1 }), { seq: 2, bets: 4 })
      assert.strictEqual((await central.stop()).code, 0)
      using ledger = new LedgerFile(central.ledgerPath)
      assert.deepStrictEqual([...ledger.counts()], [[1, 4], [2, 6]])
    }
  )

  it("lets it end in good order, and leaves nothing running", async ({ skip }) => {
    if (found !== undefined) return skip(found)
    const user = newUser()
    await using central = await prepare(1000, user, { settings })
    await central.start()
    setLimit(central.pid, user, limit)
    const children = central.children
    for (const pid of children) process.kill(pid, "SIGKILL")
    await central.waitUntil(
      "another try",
      () =>
        central.children.some((pid) => !children.includes(pid))
        || central.lines("action: parser_replaced").some((line) => problem.test(line))
    )
    assert.strictEqual((await central.stop()).code, 0)
    await waitUntilGone(processesOf(user))
  })
})
