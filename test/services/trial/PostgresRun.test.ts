import { assert, describe, it, vi } from "@effect/vitest"
import { Effect, Exit, Scope } from "effect"
import { existsSync, lstatSync, mkdtempSync, readdirSync, rmSync } from "node:fs"
import { connect } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { postgresPrograms } from "../../../src/services/trial/PostgresPrograms.ts"
import { initPostgres, startPostgres } from "../../../src/services/trial/PostgresRun.ts"
import { isAlive } from "../../support/Processes.ts"

const accepts = (port: number) =>
  Effect.callback<boolean>((resume) => {
    const socket = connect({ host: "127.0.0.1", port })
    socket.once("connect", () => resume(Effect.succeed(true)))
    socket.once("error", () => resume(Effect.succeed(false)))
    return Effect.sync(() => socket.destroy())
  })

describe("a PostgreSQL for trials", () => {
  it.live("runs from the npm package, and nothing of it is left at the end", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const { folder, run } = yield* Effect.gen(function*() {
        const programs = yield* postgresPrograms()
        const data = yield* initPostgres(programs)
        const started = yield* startPostgres(data, { settings: { cluster_name: "trial" } })
        return { folder: programs.folder, run: started }
      }).pipe(Scope.provide(scope))
      assert.isTrue(yield* accepts(run.port))
      // The links that the package's install script would make.
      const libraries = readdirSync(join(folder, "postgres/native/lib"))
      assert.isTrue(
        libraries.some((name) =>
          lstatSync(join(folder, "postgres/native/lib", name)).isSymbolicLink()
        )
      )
      yield* Scope.close(scope, Exit.void)
      assert.isFalse(isAlive(run.pid))
      assert.isFalse(existsSync(folder))
      assert.include(run.log(), "database system is shut down")
    }))

  it.live("recovers from a crash on its data, on the same port", () =>
    Effect.gen(function*() {
      const data = yield* initPostgres(yield* postgresPrograms())
      const first = yield* startPostgres(data)
      yield* first.end("immediate")
      assert.isFalse(yield* accepts(first.port))
      const second = yield* startPostgres(data, { port: first.port })
      assert.strictEqual(second.url, first.url)
      assert.include(second.log(), "automatic recovery in progress")
    }).pipe(Effect.scoped))

  it.live("says what PostgreSQL said when it can't start", () =>
    Effect.gen(function*() {
      const data = yield* initPostgres(yield* postgresPrograms())
      const settings = { shared_buffers: "nonsense" }
      const { message } = yield* Effect.flip(startPostgres(data, { settings }))
      assert.include(message, "PostgreSQL ended at its start: ")
      assert.include(message, "shared_buffers")
    }).pipe(Effect.scoped))

  it.live.skipIf(process.getuid?.() !== 0)(
    "started by root, is where the user nobody gets to, whatever TMPDIR says",
    () =>
      Effect.gen(function*() {
        const closed = mkdtempSync(join(tmpdir(), "loteria-closed-"))
        vi.stubEnv("TMPDIR", closed)
        const { folder } = yield* postgresPrograms()
        assert.isFalse(folder.startsWith(closed))
        vi.unstubAllEnvs()
        rmSync(closed, { recursive: true })
      }).pipe(Effect.scoped)
  )

  it.live("names the programs that aren't there", () =>
    Effect.gen(function*() {
      const programs = yield* postgresPrograms("/nowhere")
      const { message } = yield* Effect.flip(initPostgres(programs))
      assert.strictEqual(message, "PostgreSQL can't start initdb: there is no such file or folder")
    }).pipe(Effect.scoped))
})
