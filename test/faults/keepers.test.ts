/**
 * A throw that nobody expected, planted at every root of src/services/base/Keeper.ts in the running server: what it ends, that
 * it is logged with its cause and counted, and that everything else goes on.
 */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { restartsMax } from "../../src/domain/Limits.ts"
import { type Root, roots } from "../../src/services/base/Keeper.ts"
import { Central } from "../support/Central.ts"
import { LedgerFile } from "../support/LedgerFile.ts"
import { sale, sales, winnersOf } from "../support/Sales.ts"
import { patienceMs } from "../support/WaitUntil.ts"
import { frame, Wire } from "../support/Wire.ts"

const frameBytesMax = 64 * 1024
const [bystanding, victim] = [1, 2] as const

/** A server with every root planted; nothing throws until it is told to. */
class PlantedCentral implements AsyncDisposable {
  readonly central: Central
  readonly #order: string
  #defects = 0

  private constructor(central: Central, order: string) {
    this.central = central
    this.#order = order
  }

  static async start(
    agencies = 2,
    connections: Readonly<Record<string, number>> = {}
  ): Promise<PlantedCentral> {
    const order = join(tmpdir(), `loteria-plant-${process.pid}-${started++}`)
    const central = await Central.start({
      agencies,
      settings: {
        log: { level: "DEBUG", flushMs: 0 },
        connections: { frameBytesMax, closeLingerMs: 100, ...connections },
        shutdown: { graceMs: 5000 }
      },
      nodeArguments: ["--import", join(import.meta.dirname, "PlantedThrows.ts")],
      environment: { LOTERIA_PLANT: order }
    })
    return new PlantedCentral(central, order)
  }

  /** The next time that the root runs, or each time, it throws. */
  plant(root: Root, each = false): void {
    this.#defects = this.central.lines("action: defect").length
    writeFileSync(this.#order, each ? `${root}!` : root)
  }

  /** The defect has happened, and is logged with its root, what it ends, its number and its cause. */
  async thrown(root: Root, by: Root = root): Promise<void> {
    const number = ++this.#defects
    const lines = () => this.central.lines("action: defect | result: fail")
    await this.central.waitUntil(
      `the defect of ${root}`,
      () => lines().length >= number,
      10_000
    )
    const line = lines()[number - 1] ?? ""
    assert.include(line, `root: ${root} | ends: ${roots[root]}`)
    assert.include(line, `defects: ${number} | cause: Error: planted: ${by}`)
    assert.isFalse(existsSync(this.#order))
  }

  /** No connection is forgotten or kept: as many have ended as were taken in, but for those that are open. */
  async left(open: number): Promise<void> {
    await this.central.waitUntil(
      `${open} connections left`,
      () =>
        this.central.lines("action: accept_connections | result: success").length
            - this.central.lines("action: connection_closed").length === open
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.central[Symbol.asyncDispose]()
  }
}

let started = 0

const chunkOf = (agency: number, seq: number, bets = 2) => ({
  type_message: 1,
  agency,
  seq,
  payload: Array.from({ length: bets }, (_, index) => sale(agency, (seq - 1) * bets + index))
})

/** Begins a frame of the given length and sends nothing of it. */
const announce = (wire: Wire, bytes: number): void =>
  wire.sendBytes([0, bytes >> 16, (bytes >> 8) & 255, bytes & 255])

/** Refusals need no disk and are long: many of them fill what the kernel holds for a peer that doesn't read. */
const manyRefused = Buffer.concat(
  Array.from({ length: 100_000 }, () => frame({ type_message: 1, agency: 9, seq: 1, payload: [] }))
)

type Trouble = (planted: PlantedCentral) => Promise<unknown>

const connected = (planted: PlantedCentral): Promise<Wire> => Wire.connect(planted.central.betsPort)

/** What was sent before is read by now: connections are taken in as they come. */
const read = async (planted: PlantedCentral, open: number): Promise<void> => {
  using probe = await connected(planted)
  await planted.left(open + 1)
  probe.vanish()
  await planted.left(open)
}

/** A victim is open, the root throws when it does something, and it is cut off or closed. */
const victimOf =
  (root: Root, act: (wire: Wire, planted: PlantedCentral) => unknown): Trouble =>
  async (
    planted
  ) => {
    using wire = await connected(planted)
    await planted.left(2)
    planted.plant(root)
    await act(wire, planted)
    await planted.thrown(root)
    // A peer that doesn't read sees its end only when it does.
    wire.socket.resume()
    if (!wire.socket.destroyed) await wire.gone()
  }

const onItsWayIn = (root: Root): Trouble => async (planted) => {
  planted.plant(root)
  using wire = await connected(planted)
  await planted.thrown(root)
  await wire.gone()
}

/** What throws while a victim waits for the room that another has. */
const waitingForRoom = (root: Root, counts: boolean): Trouble => async (planted) => {
  using holder = await connected(planted)
  using wire = await connected(planted)
  // A gap: it carries `seq`, and nothing of it is stored.
  if (counts) await wire.ask(chunkOf(victim, 9))
  announce(holder, frameBytesMax)
  await read(planted, 3)
  wire.send(chunkOf(victim, 1))
  await read(planted, 3)
  planted.plant(root)
  if (!counts) holder.vanish()
  await planted.thrown(root)
  holder.vanish()
  await wire.gone()
}

/** What the kernel holds of the central's answers to this peer: `local remote state tx:rx` in /proc/net/tcp. */
const unreadAnswers = (central: Central, wire: Wire): number => {
  const hex = (port = 0) => `:${port.toString(16).toUpperCase().padStart(4, "0")}`
  const line = readFileSync("/proc/net/tcp", "utf8").split("\n")
    .map((text) => text.trim().split(/\s+/))
    .find(([, local, remote]) =>
      local?.endsWith(hex(central.betsPort)) && remote?.endsWith(hex(wire.socket.localPort))
    )
  return Number.parseInt(line?.[4]?.split(":")[0] ?? "0", 16)
}

/** Sends what is refused, until the kernel takes no more of the refusals, which aren't read. */
const fillTheLine = async (wire: Wire, { central }: PlantedCentral): Promise<void> => {
  wire.socket.pause()
  wire.socket.write(manyRefused)
  let seen = { unread: 0, at: performance.now() }
  await central.waitUntil("a line that is full", () => {
    const unread = unreadAnswers(central, wire)
    if (unread !== seen.unread) seen = { unread, at: performance.now() }
    return unread > 0 && performance.now() - seen.at > 300
  }, 3 * patienceMs)
}

const abroad = ["waiting consult", "connection drained", "listener's error"] as const
type Abroad = (typeof abroad)[number]

/** Of a server whose ledger is in PostgreSQL: in test/services/ledger/postgres. */
type OfPostgres = "commit lane" | "poll of the database" | "notifications of the database"

/** Of every root that ends a connection or nothing, what makes it run. What it ends has ended when it is over. */
const troubles: {
  readonly [Name in Exclude<Root<"connection" | "nothing">, Abroad | OfPostgres>]: Trouble
} = {
  "connection in": onItsWayIn("connection in"),
  "connection taken in": onItsWayIn("connection taken in"),
  "socket data": victimOf("socket data", (wire) => wire.send(chunkOf(victim, 1))),
  "socket end": victimOf("socket end", (wire) => wire.finish()),
  "socket close": victimOf("socket close", (wire) => wire.socket.destroy()),
  "connection closed": victimOf("connection closed", (wire) => wire.socket.destroy()),
  "connection finished": victimOf("connection finished", (wire) => wire.sendBytes([0, 0, 0, 0])),
  "answers sent": victimOf("answers sent", async (wire, planted) => {
    await fillTheLine(wire, planted)
    wire.socket.resume()
  }),
  "room for a frame": waitingForRoom("room for a frame", false),
  "deadline for room": waitingForRoom("deadline for room", true),
  "deadline of a frame": victimOf("deadline of a frame", (wire) => announce(wire, 9)),
  "deadline of answers": victimOf("deadline of answers", fillTheLine),
  "deadline of a close": victimOf("deadline of a close", async (wire) => {
    // It never closes its own side.
    wire.sendBytes([0, 0, 0, 0])
    await wire.closed()
  }),
  "turn": victimOf("turn", (wire) => wire.send(chunkOf(victim, 1))),
  "answer to a stored chunk": async (planted) => {
    await victimOf("answer to a stored chunk", (wire) => wire.send(chunkOf(victim, 1)))(planted)
    using again = await connected(planted)
    const answer = await again.ask(chunkOf(victim, 1))
    assert.deepStrictEqual(answer, { type_message: 1, payload: null, seq: 1, duplicate: true })
    again.vanish()
  },
  "answer to a chunk not stored": async (planted) => {
    using writing = new DatabaseSync(planted.central.ledgerPath)
    writing.exec("BEGIN IMMEDIATE")
    await victimOf(
      "answer to a chunk not stored",
      (wire) => wire.send(chunkOf(victim, 2))
    )(planted)
    writing.exec("ROLLBACK")
  },
  "workers": async (planted) => {
    using wire = await connected(planted)
    planted.plant("workers")
    wire.send(chunkOf(victim, 2))
    // The turn that the worker had taken is over, with its connection.
    await planted.thrown("turn", "workers")
    await planted.thrown("workers")
    await wire.gone()
  },
  "parsers": async (planted) => {
    using wire = await connected(planted)
    planted.plant("parsers")
    // The frame is tried once more, in another child.
    assert.include(await wire.ask({ type_message: 4, agency: victim }), { type_message: 4 })
    await planted.thrown("parsers")
    // In the fiber of a child that is being started: another is started in its place.
    const { children } = planted.central
    planted.plant("parsers")
    for (const pid of children) process.kill(pid, "SIGKILL")
    await planted.thrown("parsers")
    assert.include(await wire.ask({ type_message: 4, agency: victim }), { type_message: 4 })
    await planted.central.waitUntil(
      "as many parsers as before",
      () => planted.central.children.length === children.length
    )
    wire.vanish()
  },
  "acceptor": async (planted) => {
    planted.plant("acceptor")
    using wire = await connected(planted)
    await planted.thrown("acceptor")
    assert.include(await wire.ask({ type_message: 4, agency: victim }), { type_message: 4 })
    wire.vanish()
  },
  "deadlines": async (planted) => {
    planted.plant("deadlines")
    await planted.thrown("deadlines")
    for (const end of ["a first", "a second"]) {
      using wire = await connected(planted)
      announce(wire, 9)
      assert.deepStrictEqual((await wire.closed()).map(({ code }) => code), ["TIMEOUT"], end)
    }
  },
  "look at the ledger's place": async (planted) => {
    planted.plant("look at the ledger's place")
    await planted.thrown("look at the ledger's place")
  },
  "descriptors": async (planted) => {
    planted.plant("descriptors")
    await planted.thrown("descriptors")
  },
  "checkpoints": async (planted) => {
    using wire = await connected(planted)
    planted.plant("checkpoints")
    const { seq } = await wire.ask({ type_message: 4, agency: victim })
    // Passes are made each time that the log has grown by 1 MiB.
    for (let next = Number(seq) + 1; next <= Number(seq) + 60; next++) {
      assert.include(await wire.ask(chunkOf(victim, next, 800)), { type_message: 1 })
    }
    await planted.thrown("checkpoints")
    wire.vanish()
  }
}

describe("a defect", () => {
  let planted: PlantedCentral
  let bystander: Wire
  let seq = 0

  beforeAll(async () => {
    planted = await PlantedCentral.start(2, {
      frameBudgetBytes: frameBytesMax,
      frameDeadlineMs: 2000,
      roomWaitMs: 300,
      answerDeadlineMs: 4000
    })
    bystander = await connected(planted)
    await planted.left(1)
  })

  afterAll(async () => {
    bystander[Symbol.dispose]()
    await planted[Symbol.asyncDispose]()
  })

  it.each(Object.entries(troubles))(
    "at \"%s\" ends what it may end: it is logged and counted, and a bystander goes on",
    async (_, trouble) => {
      await trouble(planted)
      await planted.left(1)
      seq++
      assert.deepStrictEqual(
        await bystander.ask(chunkOf(bystanding, seq)),
        { type_message: 1, payload: null, seq }
      )
    }
  )
})

describe.concurrent("a defect", () => {
  it("while a waiting agency is told its winners ends that consult; the others are told, and so is this one later", async () => {
    await using planted = await PlantedCentral.start()
    const { central } = planted
    const bets = [sales(1, 30, 3), sales(2, 20, 2)] as const
    const consult = { type_message: 3, payload: null }
    using first = await Wire.connect(central.consultPort)
    first.send({ ...consult, agency: 1 })
    using second = await Wire.connect(central.consultPort)
    second.send({ ...consult, agency: 2 })
    planted.plant("waiting consult")
    using seller = await connected(planted)
    await seller.ask({ type_message: 2, agency: 1, seq: 1, payload: bets[0] })
    using last = await connected(planted)
    await last.ask({ type_message: 2, agency: 2, seq: 1, payload: bets[1] })
    await planted.thrown("waiting consult")
    const told = [...await first.closed(), ...await second.closed()].map(({ payload }) => payload)
    assert.lengthOf(told, 1)
    assert.include(bets.map((sold) => winnersOf(sold).join(",")), told[0])
    for (const agency of [1, 2] as const) {
      using again = await Wire.connect(central.consultPort)
      const { payload } = await again.ask({ ...consult, agency })
      assert.strictEqual(payload, winnersOf(bets[agency - 1] ?? []).join(","))
    }
  })

  it("in a connection that is drained at the shutdown doesn't keep the others from it", async () => {
    await using planted = await PlantedCentral.start()
    using one = await connected(planted)
    using two = await connected(planted)
    for (const [index, wire] of [one, two].entries()) await wire.ask(chunkOf(index + 1, 1))
    planted.plant("connection drained")
    planted.central.signal("SIGTERM")
    await planted.thrown("connection drained")
    assert.deepStrictEqual([...await one.closed(), ...await two.closed()], [])
    assert.strictEqual((await planted.central.ended()).code, 0)
  })

  it("that comes again each time in what serves all ends the server with 1, in good order, after its bound", async () => {
    await using planted = await PlantedCentral.start(1, { frameDeadlineMs: 100 })
    const { central } = planted
    using wire = await connected(planted)
    await wire.ask(chunkOf(1, 1))
    planted.plant("deadlines", true)
    assert.strictEqual((await central.ended()).code, 1)
    assert.isAtLeast(central.lines("action: defect").length, restartsMax + 1)
    assert.deepStrictEqual(await wire.gone(), [])
    assert.lengthOf(central.lines("action: close_resource | result: success | resource: ledger"), 1)
    using ledger = new LedgerFile(central.ledgerPath)
    assert.lengthOf(ledger.seqs(1), 1)
  })
})

/** Only where several servers share a ledger. */
type OfSeveralServers = "news of other servers"
/** Of every root in the ledger's path, what makes it run after chunk 1 of agency 1 was acknowledged. */
const ends: {
  readonly [Name in Exclude<Root<"server">, OfSeveralServers>]: (
    wire: Wire,
    central: Central
  ) => void | Promise<void>
} = {
  "group commit": (wire) => wire.send(chunkOf(1, 2)),
  "question to the ledger": (wire) => wire.send({ type_message: 4, agency: 1 }),
  "draw": (wire) => wire.send({ ...chunkOf(1, 2), type_message: 2 }),
  "notes of who was told": async (wire, central) => {
    wire.send({ ...chunkOf(1, 2), type_message: 2 })
    using consult = await Wire.connect(central.consultPort)
    await consult.ask({ type_message: 3, agency: 1 })
  }
}

describe.concurrent("a defect in the ledger's path", () => {
  it.each(Object.entries(ends))(
    "(%s) ends the server with 1, in good order; what was acknowledged is there after the next start",
    async (name, act) => {
      const root = (Object.keys(ends) as ReadonlyArray<Root<"server">>).find((one) => one === name)
      await using planted = await PlantedCentral.start(1)
      const { central } = planted
      using wire = await connected(planted)
      await wire.ask(chunkOf(1, 1))
      planted.plant(root ?? assert.fail())
      await act(wire, central)
      assert.strictEqual((await central.ended()).code, 1)
      await planted.thrown(root ?? assert.fail())
      assert.lengthOf(
        central.lines("action: close_resource | result: success | resource: ledger"),
        1
      )
      const answered = (await wire.gone()).length
      await central.start()
      using again = await connected(planted)
      const { seq } = await again.ask({ type_message: 4, agency: 1 })
      assert.isAtLeast(Number(seq), 1 + answered)
    }
  )
})
