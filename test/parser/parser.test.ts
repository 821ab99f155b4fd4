import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Schedule, Schema } from "effect"
import * as ChildProcess from "node:child_process"
import { once } from "node:events"
import * as Fs from "node:fs"
import { Socket } from "node:net"
import * as Path from "node:path"
import { FrameDecoder } from "../../src/domain/Frame.ts"
import { readMessage } from "../../src/parser/ChunkReader.ts"
import {
  decodeNotice,
  decodeResponse,
  encodeRequest,
  encodeResponse
} from "../../src/parser/ParserPipe.ts"

const root = Path.join(import.meta.dirname, "../..")
const parserFile = Path.join(root, "src/parser.ts")

const deadline = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  effect.pipe(Effect.timeout("20 seconds"))

/** The next `count` records that the child writes. */
const records = (pipe: Socket, count: number) =>
  Effect.callback<ReadonlyArray<Uint8Array>>((resume) => {
    const decoder = new FrameDecoder()
    const found: Array<Uint8Array> = []
    pipe.on("data", (bytes: Buffer) => {
      decoder.push(bytes)
      for (let step = decoder.next(); step._tag !== "Starved"; step = decoder.next()) {
        if (step._tag === "Announced") decoder.accept()
        else found.push(step.body)
      }
      if (found.length >= count) resume(Effect.succeed(found))
    })
  })

/** The real parser child once it is ready, killed at the latest when the test ends. */
const parser = Effect.gen(function*() {
  const child = yield* Effect.acquireRelease(
    Effect.sync(() =>
      ChildProcess.fork(parserFile, [], { stdio: ["ignore", "inherit", "inherit", "pipe", "ipc"] })
    ),
    (forked) => Effect.sync(() => forked.kill("SIGKILL"))
  )
  const pipe = child.stdio[3]
  assert.instanceOf(pipe, Socket)
  pipe.on("error", () => {})
  const exited = new Promise<number | NodeJS.Signals | null>((resolve) => {
    child.on("exit", (code, signal) => resolve(signal ?? code))
  })
  const said = yield* records(pipe, 1)
  assert.deepStrictEqual(said.map(decodeNotice), ["Ready"])
  return { child, pipe, exited: Effect.promise(() => exited) }
})

const send = (pipe: Socket, bodies: ReadonlyArray<Uint8Array>): void => {
  pipe.cork()
  for (const [id, body] of bodies.entries()) {
    for (const piece of encodeRequest(id, body)) pipe.write(piece)
  }
  pipe.uncork()
}

/** What the child must answer to the bodies, according to the slow path alone. */
const expected = (bodies: ReadonlyArray<Uint8Array>): ReadonlyArray<Uint8Array> =>
  bodies.map((body, id) => encodeResponse(id, readMessage(body)).subarray(4))

const chunk = (agency: number, bets: number): Uint8Array =>
  Buffer.from(JSON.stringify({
    type_message: 1,
    agency,
    payload: Array.from({ length: bets }, () => "Santiago Lionel,Peña,30904465,1999-03-17,2201")
  }))

/** Waits until the child has taken nothing for a while. */
const stuck = Effect.fnUntraced(function*(pipe: Socket) {
  for (let steady = 0, before = -1; steady < 20; before = pipe.writableLength) {
    yield* Effect.sleep("10 millis")
    steady = pipe.writableLength === before ? steady + 1 : 0
  }
})

/** Whether the process runs. A zombie doesn't. */
const runs = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return !Fs.existsSync(`/proc/${pid}/stat`)
      || !/^\d+ \(.*\) Z/s.test(Fs.readFileSync(`/proc/${pid}/stat`, "utf8"))
  } catch {
    return false
  }
}

const ended = (pid: number) =>
  Effect.suspend(() => runs(pid) ? Effect.fail("runs" as const) : Effect.void).pipe(
    Effect.retry({ schedule: Schedule.spaced("10 millis") })
  )

/** Every module that a file loads, by its static imports; types are erased and don't count. */
const modulesOf = (file: string, seen = new Set<string>()): ReadonlySet<string> => {
  if (seen.has(file)) return seen
  seen.add(file)
  const imports = Fs.readFileSync(file, "utf8")
    .matchAll(
      /^(?:import|export) (?!type )[^;]*? from "([^"]+)"|^import "([^"]+)"|import\("([^"]+)"\)/gms
    )
  for (const [, from, bare, dynamic] of imports) {
    const name = from ?? bare ?? dynamic ?? ""
    if (name.startsWith(".")) modulesOf(Path.join(Path.dirname(file), name), seen)
    else seen.add(name)
  }
  return seen
}

describe("the parser child", () => {
  it.live("answers requests in order, whatever they hold", () =>
    Effect.gen(function*() {
      const { pipe } = yield* parser
      const garbage = yield* Arbitrary.sampleEffect(Arbitrary.schema(Schema.Uint8Array), {
        count: 50
      })
      const bodies = [chunk(3, 100), ...garbage, chunk(5, 0), chunk(2 ** 40, 20_000), chunk(1, 1)]
      send(pipe, bodies)
      const answers = yield* records(pipe, bodies.length)
      assert.deepStrictEqual(
        answers.map((answer) => Array.from(answer)),
        expected(bodies).map((record) => Array.from(record))
      )
    }).pipe(deadline), 30_000)

  it.live(
    "answers everything that it was sent while nobody read its answers",
    () =>
      Effect.gen(function*() {
        const { pipe } = yield* parser
        pipe.pause()
        const bodies = Array.from({ length: 2000 }, (_, index) => chunk(index + 1, 100))
        send(pipe, bodies)
        yield* stuck(pipe)
        // The child can't write its answers, so it has stopped reading: most requests are still here.
        assert.isAbove(pipe.writableLength, 5_000_000)
        pipe.resume()
        const answers = yield* records(pipe, bodies.length)
        const decoded = answers.map((answer) => decodeResponse(answer))
        for (const [index, answer] of decoded.entries()) {
          assert.strictEqual(answer?.id, index)
          assert.deepInclude(answer?.parsed, { _tag: "Chunk", agency: index + 1, bets: 100 })
        }
      }).pipe(deadline),
    30_000
  )

  it.live(
    "answers what it has been sent, then exits with 0, when its pipe ends",
    () =>
      Effect.gen(function*() {
        const { exited, pipe } = yield* parser
        send(pipe, [chunk(3, 100)])
        pipe.end()
        assert.strictEqual((yield* records(pipe, 1)).length, 1)
        assert.strictEqual(yield* exited, 0)
      }).pipe(deadline),
    30_000
  )

  it.live("exits with 0 when its parent disconnects", () =>
    Effect.gen(function*() {
      const { child, exited, pipe } = yield* parser
      send(pipe, [chunk(3, 1)])
      yield* records(pipe, 1)
      child.disconnect()
      assert.strictEqual(yield* exited, 0)
    }).pipe(deadline), 30_000)

  it.live("exits with 1 when the pipe is out of step", () =>
    Effect.gen(function*() {
      const { exited, pipe } = yield* parser
      pipe.write(Uint8Array.of(0xff, 0xff, 0xff, 0xff))
      assert.strictEqual(yield* exited, 1)
    }).pipe(deadline), 30_000)

  it.live("leaves SIGINT and SIGTERM to its parent", () =>
    Effect.gen(function*() {
      const { child, exited, pipe } = yield* parser
      send(pipe, [chunk(3, 1)])
      yield* records(pipe, 1)
      child.kill("SIGINT")
      child.kill("SIGTERM")
      send(pipe, [chunk(4, 1)])
      yield* records(pipe, 1)
      pipe.end()
      assert.strictEqual(yield* exited, 0)
    }).pipe(deadline), 30_000)

  for (const ipc of [true, false]) {
    it.live(
      `ends when its parent is killed with SIGKILL, ${ipc ? "with" : "without"} IPC`,
      () =>
        Effect.gen(function*() {
          const stdio = ["ignore", "inherit", "inherit", "pipe", ...(ipc ? ["ipc"] : [])]
          const script = `
          import { spawn } from "node:child_process"
          const args = [${JSON.stringify(parserFile)}]
          const child = spawn(process.execPath, args, { stdio: ${JSON.stringify(stdio)} })
          child.stdio[3].once("data", () => console.log(child.pid))
          child.stdio[3].write(Buffer.from([0, 0, 0, 5, 0, 0, 0, 1, 0x78]))
          setInterval(() => {}, 1000)`
          const parent = yield* Effect.acquireRelease(
            Effect.sync(() =>
              ChildProcess.spawn(process.execPath, ["--input-type=module", "-e", script], {
                stdio: ["ignore", "pipe", "inherit"]
              })
            ),
            (process) => Effect.sync(() => process.kill("SIGKILL"))
          )
          const [line] = yield* Effect.promise(() => once(parent.stdout, "data"))
          const pid = Number(String(line))
          assert.isTrue(runs(pid))
          parent.kill("SIGKILL")
          yield* ended(pid)
        }).pipe(deadline),
      30_000
    )
  }

  it("loads node:net, node:os, its own folder and the domain, and no Effect", () => {
    const modules = [...modulesOf(parserFile)].map((module) => Path.relative(root, module))
    assert.include(modules, "src/parser/ChunkScanner.ts")
    for (const module of modules) {
      assert.match(module, /^(?:src\/parser\.ts|src\/(?:parser|domain)\/\w+\.ts|node:(?:net|os))$/)
    }
  })
})
