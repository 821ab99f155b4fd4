import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, FileSystem } from "effect"
import { join } from "node:path"
import { runChild } from "../../../src/services/trial/ChildRun.ts"

const logOf = Effect.fnUntraced(function*(folder: string, name: string) {
  const files = yield* FileSystem.FileSystem
  return yield* files.readFileString(join(folder, `${name}.log`))
})

describe("a child", () => {
  it.live("gives its lines and its exit code, and leaves them in its log", () =>
    Effect.gen(function*() {
      const folder = yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped()
      const lines: Array<string> = []
      const child = yield* runChild("wrong", ["nothing"], folder, (line) => lines.push(line))
      assert.strictEqual(yield* child.exitCode, 2)
      assert.isNotEmpty(lines)
      assert.strictEqual(yield* logOf(folder, "wrong"), lines.map((line) => `${line}\n`).join(""))
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))

  it.live("ends with its scope by SIGTERM, and its log has what it says at its end", () =>
    Effect.gen(function*() {
      const files = yield* FileSystem.FileSystem
      const folder = yield* files.makeTempDirectoryScoped()
      yield* files.writeFileString(join(folder, "bets.csv"), "Ana,Lorca,30904465,1999-03-17,7574\n")
      const trying = yield* Deferred.make<void>()
      // Nobody listens on this port: the agency tries again and again.
      const args = ["agency", "--id", "1", "--file", "bets.csv", "--server", "127.0.0.1:1"]
      yield* Effect.scoped(Effect.gen(function*() {
        yield* runChild("agency", args, folder, (line) => {
          if (line.includes("ECONNREFUSED")) Deferred.doneUnsafe(trying, Effect.void)
        })
        yield* Deferred.await(trying)
      }))
      assert.include(yield* logOf(folder, "agency"), "ended by a signal before its winners")
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))
})
