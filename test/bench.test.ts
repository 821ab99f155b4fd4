/** The bench counts right. How fast anything is, no test asks. */
import { assert, describe, it } from "@effect/vitest"
import { once } from "node:events"
import { mkdtempSync, rmSync } from "node:fs"
import { createServer, type Server, type Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { central } from "../bench/Central.ts"
import { median } from "../bench/Comparison.ts"
import type { Contender } from "../bench/Contender.ts"
import { nodeFloor } from "../bench/Floors.ts"
import { LoadGenerator } from "../bench/LoadGenerator.ts"
import { measure, type Measurement } from "../bench/Measure.ts"
import { measureAlone } from "../bench/PostgresLedger.ts"
import { requestFiles } from "../bench/Requests.ts"
import { FrameDecoder } from "../src/domain/Frame.ts"
import { chunkProcessedFrame } from "../src/domain/Message.ts"
import { missing } from "./support/Installed.ts"

const measureShortly = async (
  contender: Contender,
  generatorFor: (folder: string) => LoadGenerator | Promise<LoadGenerator>
): Promise<Measurement> => {
  const folder = mkdtempSync(join(tmpdir(), "loteria-bench-"))
  try {
    const generator = await generatorFor(folder)
    const bench = { folder, generator, warmupSeconds: 0.1, seconds: 0.3, pairs: 1 }
    return await measure(bench, contender, { bets: 10, connections: 5 })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Answers every frame, and keeps how many bytes of each came first. */
class RecordingServer {
  readonly firstPieces: Array<number> = []
  readonly #server: Server

  private constructor() {
    this.#server = createServer((socket) => this.#serve(socket))
  }

  static async start(): Promise<RecordingServer> {
    const started = new RecordingServer()
    started.#server.listen(0, "127.0.0.1")
    await once(started.#server, "listening")
    return started
  }

  get port(): number {
    const address = this.#server.address()
    return typeof address === "object" && address !== null ? address.port : 0
  }

  close(): void {
    this.#server.close()
  }

  #serve(socket: Socket): void {
    const decoder = new FrameDecoder()
    socket.on("error", () => {})
    socket.on("data", (bytes: Buffer) => {
      if (!decoder.midFrame) this.firstPieces.push(bytes.length)
      decoder.push(bytes)
      for (let step = decoder.next(); step._tag !== "Starved"; step = decoder.next()) {
        if (step._tag === "Announced") decoder.accept()
        else socket.write(chunkProcessedFrame)
      }
    })
  }
}

describe("the bench", () => {
  it("finds in the central's ledger exactly what the load generator was acknowledged", async () => {
    const run = await measureShortly(central, (folder) => LoadGenerator.create(folder))
    assert.deepStrictEqual(run.problems, [])
    assert.isAbove(run.acknowledged, 0)
    assert.strictEqual(run.stored, run.acknowledged)
  })

  it("notices what is acknowledged and not stored, also where Node is the load generator", async () => {
    const forgetful: Contender = {
      ...nodeFloor,
      start: async (place) => {
        const running = await nodeFloor.start(place)
        const finish = async () => {
          const stored = await running.finish()
          return { ...stored, count: stored.count - 1 }
        }
        return { ...running, finish }
      }
    }
    const run = await measureShortly(forgetful, () => LoadGenerator.inNode)
    assert.strictEqual(run.problems.length, 1)
    assert.strictEqual(
      run.problems[0],
      `LOST: ${run.stored + 1} bytes acknowledged, ${run.stored} stored`
    )
  })

  it.each([["in C", true], ["in Node", false]] as const)(
    "writes header and body apart when told to, as agencies of the field do (%s)",
    async (_, inC) => {
      const folder = mkdtempSync(join(tmpdir(), "loteria-bench-"))
      const server = await RecordingServer.start()
      try {
        const generator = inC ? await LoadGenerator.create(folder) : LoadGenerator.inNode
        const files = await requestFiles(folder, central.encoding, 10)
        const load = { port: server.port, files, connections: 1, perConnection: 20 }
        const together = await generator.load(load)
        assert.deepStrictEqual([together.acknowledged, together.cut], [200, 0])
        assert.isTrue(server.firstPieces.every((bytes) => bytes > 4))
        server.firstPieces.length = 0
        const apart = await generator.load({ ...load, splitWrites: true })
        assert.deepStrictEqual([apart.acknowledged, apart.cut], [200, 0])
        // Nagle's algorithm holds the body back until the header has been acknowledged. A reader that is late finds both.
        assert.lengthOf(server.firstPieces, 20)
        assert.include(server.firstPieces, 4)
      } finally {
        server.close()
        rmSync(folder, { recursive: true, force: true })
      }
    },
    30_000
  )

  const noPgbench = missing("pgbench")
  const skipped = noPgbench === undefined ? "" : ` (skipped: ${noPgbench})`
  it.skipIf(noPgbench !== undefined)(
    `finds in PostgreSQL exactly the chunks that its ledger acknowledged, beside pgbench${skipped}`,
    async () => {
      const folder = mkdtempSync(join(tmpdir(), "loteria-bench-"))
      try {
        const generator = LoadGenerator.inNode
        const bench = { folder, generator, warmupSeconds: 0.1, seconds: 0.3, pairs: 1 }
        const result = await measureAlone(bench, () => {})
        assert.isObject(result)
        for (const { ratio, runs } of typeof result === "string" ? [] : result.contests) {
          assert.isAbove(ratio, 0)
          assert.lengthOf(runs, 1)
        }
      } finally {
        rmSync(folder, { recursive: true, force: true })
      }
    }
  )

  it("takes medians", () => {
    assert.strictEqual(median([3, 1, 2]), 2)
    assert.strictEqual(median([4, 1, 3, 2]), 2.5)
  })
})
