/** Backups that are interrupted. The command as a process is tried in e2e/ledger.test.ts. */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Option } from "effect"
import { mkdtempSync, readdirSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { parseRoster } from "../../../src/domain/Agency.ts"
import { WinningNumber } from "../../../src/domain/Draw.ts"
import { backupLedger } from "../../../src/services/admin/LedgerBackup.ts"
import { beginLedger } from "../../../src/services/admin/NextLedger.ts"
import { waitUntil } from "../../support/WaitUntil.ts"

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "loteria-admin-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true }))
)

describe("backupLedger", () => {
  it.live("leaves nothing when it is interrupted, and the ledger as it was", () =>
    Effect.gen(function*() {
      const path = join(yield* folder, "ledger.sqlite")
      const roster = Option.getOrThrow(parseRoster("5", 5))
      const begun = yield* beginLedger(path, { roster, winningNumber: WinningNumber.make(1) })
      assert.isUndefined(begun.archive)
      const db = new DatabaseSync(path)
      // Pages to copy; what is in them doesn't matter.
      db.exec("CREATE TABLE filler (bytes BLOB); INSERT INTO filler VALUES (zeroblob(64000000))")
      db.close()
      const files = () => readdirSync(join(path, ".."))
      const before = files()
      const backup = yield* Effect.forkChild(backupLedger(path, join(path, "../backup.sqlite")))
      yield* Effect.promise(() =>
        waitUntil("a copy", () => files().some((name) => name.startsWith("backup")))
      )
      yield* Fiber.interrupt(backup)
      const exit = yield* Fiber.await(backup)
      assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
      assert.deepStrictEqual(
        files().filter((name) => !/-(?:wal|shm)$/.test(name)),
        before
      )
    }).pipe(Effect.scoped))
})
