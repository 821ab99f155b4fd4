/** `ledger copy` between a file and a real PostgreSQL, both ways, whole and cut short. */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect, Fiber, Result } from "effect"
import { copyFileSync, existsSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { AgencyId } from "../../../src/domain/Agency.ts"
import { DrawName, WinningNumber } from "../../../src/domain/Draw.ts"
import type { LedgerAddress } from "../../../src/services/admin/LedgerAddress.ts"
import { verifyLedger } from "../../../src/services/admin/LedgerCheck.ts"
import { copyLedger } from "../../../src/services/admin/LedgerCopy.ts"
import { ledgerInfo } from "../../../src/services/admin/LedgerInfo.ts"
import { results } from "../../../src/services/admin/LedgerReport.ts"
import { beginLedger } from "../../../src/services/admin/NextLedger.ts"
import { Keeper } from "../../../src/services/base/Keeper.ts"
import { parsePostgresUrl } from "../../../src/services/base/PostgresUrl.ts"
import { BetLedger } from "../../../src/services/ledger/BetLedger.ts"
import { openPostgresLedger } from "../../../src/services/ledger/postgres/PostgresLedger.ts"
import { runMain } from "../../support/Central.ts"
import { keptLedger, strictKeeper } from "../../support/Kept.ts"
import { betAt, chunkOf, plainChunk, type Selling, selling } from "../../support/LedgerChunks.ts"
import { Postgres } from "../../support/Postgres.ts"
import { Program } from "../../support/Program.ts"
import { StoredLottery } from "../../support/StoredLotteries.ts"
import { waitUntil } from "../../support/WaitUntil.ts"

const three = AgencyId.make(3)
const five = AgencyId.make(5)
const lottery = {
  roster: [three, five],
  winningNumber: WinningNumber.make(257),
  draw: DrawName.make("may")
}
const told = {
  agency: 5,
  how: "confirmed",
  at: "2026-12-24T20:15:00+01:00",
  address: "10.0.0.5",
  port: 4711,
  served: true
} as const

const urlOf = (text: string) => Result.getOrThrow(parsePostgresUrl(text))
const addressOf = (text: string, draw?: string): LedgerAddress => ({ url: urlOf(text), draw })
const copy = (from: LedgerAddress, to: LedgerAddress) => Effect.scoped(copyLedger(from, to))

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "loteria-copy-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true }))
)

const inFile = <A, E>(path: string, use: (ledger: Selling) => Effect.Effect<A, E>) =>
  Effect.provide(
    Effect.flatMap(BetLedger, (ledger) => use(selling(ledger))),
    keptLedger({ path, ...lottery }),
    { local: true }
  )

const inDatabase = <A, E>(url: string, use: (ledger: Selling) => Effect.Effect<A, E>) =>
  Effect.scoped(
    Effect.flatMap(
      openPostgresLedger({ ...lottery, url: urlOf(url), server: "one" }),
      (ledger) => use(selling(ledger))
    )
  ).pipe(Effect.provideService(Keeper, strictKeeper))

/** A ledger in which agencies take turns, with its draw. */
const soldAndDrawn = (path: string, rounds = 3) =>
  inFile(path, ({ commit, holdDraw, told: note }) =>
    Effect.gen(function*() {
      for (let seq = 1; seq <= rounds; seq++) {
        yield* commit([
          chunkOf(three, seq, [betAt(2 * seq, 257), betAt(2 * seq + 1, 1)]),
          plainChunk(five, seq, 3)
        ])
      }
      yield* commit([
        chunkOf(five, rounds + 1, [betAt(0, 257)], true),
        chunkOf(three, rounds + 1, [], true)
      ])
      yield* holdDraw
      yield* note([told])
    }))

/** All that a copy keeps. */
const kept = Effect.fnUntraced(function*(address: LedgerAddress) {
  const { beganAt, bets, chunks, draw, roster } = yield* ledgerInfo(address)
  const { problems } = yield* verifyLedger(address)
  return { beganAt, bets, chunks, draw, roster, problems, results: yield* results(address) }
})

describe("ledger copy", () => {
  let postgres: Postgres
  beforeAll(async () => {
    postgres = await Postgres.start()
  })
  afterAll(() => postgres[Symbol.asyncDispose]())
  const newDatabase = Effect.promise(() => postgres.createDatabase())
  const query = (url: string, statement: string) =>
    Effect.promise(() => postgres.query(statement, [], url))

  it.live("into a database, into another, and back into a file keeps everything", () =>
    Effect.gen(function*() {
      const place = yield* folder
      const [first, last] = [join(place, "first.sqlite"), join(place, "last.sqlite")]
      yield* soldAndDrawn(first)
      const [one, two] = [yield* newDatabase, yield* newDatabase]
      const copied = { drawName: "may", chunks: 8, bets: 16, chunksBefore: 0 }
      assert.deepStrictEqual(yield* copy(first, addressOf(one)), copied)
      assert.deepStrictEqual(yield* copy(addressOf(one), addressOf(two)), copied)
      assert.deepStrictEqual(yield* copy(addressOf(two), last), copied)
      const expected = yield* kept(first)
      assert.deepStrictEqual(expected.problems, [])
      for (const address of [addressOf(one), addressOf(two), last]) {
        assert.deepStrictEqual(yield* kept(address), expected)
      }
      assert.deepStrictEqual(readdirSync(place).filter((name) => name.includes("partial")), [])
      // Once more: all of it is there, and is compared.
      assert.deepStrictEqual(
        yield* copy(first, addressOf(two)),
        { ...copied, chunksBefore: 8 }
      )
      // Both are served.
      const chunks = yield* inFile(last, ({ chunkAt }) => chunkAt(five, 2))
      assert.deepStrictEqual(chunks._tag, "Some")
      const { draw } = yield* inDatabase(two, ({ standing }) => standing)
      assert.deepStrictEqual(draw, yield* inFile(first, ({ holdDraw }) => holdDraw))
    }).pipe(Effect.scoped))

  it.live("of a lottery under way can be continued by its servers, in order", () =>
    Effect.gen(function*() {
      const path = join(yield* folder, "ledger.sqlite")
      const url = yield* newDatabase
      yield* beginLedger(addressOf(url), lottery)
      const stored = new StoredLottery(postgres, url, "may")
      yield* Effect.promise(() => stored.store([plainChunk(three, 1, 2), plainChunk(three, 2, 1)]))
      yield* copy(addressOf(url), path)
      yield* inFile(
        path,
        ({ commit }) => commit([plainChunk(three, 3, 1, true), plainChunk(five, 1, 1)])
      )
      const { bets, problems } = yield* kept(path)
      assert.deepStrictEqual([bets, problems], [5, []])
      const other = yield* newDatabase
      yield* copy(path, addressOf(other))
      yield* inDatabase(
        other,
        ({ commit, holdDraw }) => Effect.andThen(commit([plainChunk(five, 2, 3, true)]), holdDraw)
      )
      const moved = yield* kept(addressOf(other))
      assert.deepStrictEqual([moved.bets, moved.problems], [8, []])
      assert.isDefined(moved.draw)
    }).pipe(Effect.scoped))

  it.live("that is cut short can't be served, is compared, and goes on where it stopped", () =>
    Effect.gen(function*() {
      const place = yield* folder
      const [path, back] = [join(place, "ledger.sqlite"), join(place, "back.sqlite")]
      yield* soldAndDrawn(path)
      const url = yield* newDatabase
      yield* copy(path, addressOf(url))
      // What a copy has left that was killed in the middle.
      yield* query(url, "DELETE FROM winner")
      yield* query(url, "DELETE FROM draw")
      yield* query(url, "DELETE FROM told")
      yield* query(url, "DELETE FROM chunk WHERE (agency, seq) >= (5, 2)")
      yield* query(url, "UPDATE agency SET finished = false WHERE agency = 5")
      yield* query(url, "UPDATE lottery SET checksum = -1, held_at = NULL, held_by = NULL")
      const open = inDatabase(url, () => Effect.void)
      const refusals: ReadonlyArray<Effect.Effect<void, Error>> = [
        Effect.asVoid(open),
        Effect.asVoid(results(addressOf(url))),
        Effect.asVoid(verifyLedger(addressOf(url))),
        Effect.asVoid(beginLedger(addressOf(url), lottery)),
        Effect.asVoid(copy(addressOf(url), back))
      ]
      for (const refused of refusals) {
        assert.include((yield* Effect.flip(refused)).message, "into it is not finished")
      }
      const { chunksBefore } = yield* copy(path, addressOf(url))
      assert.strictEqual(chunksBefore, 5)
      assert.deepStrictEqual(yield* kept(addressOf(url)), yield* kept(path))
      // One that isn't the beginning of this ledger is left as it is.
      yield* query(url, "UPDATE lottery SET checksum = -1")
      yield* query(
        url,
        "UPDATE chunk SET last = NOT last, checksum = 0 WHERE agency = 5 AND seq = 2"
      )
      assert.include(
        (yield* Effect.flip(copy(path, addressOf(url)))).message,
        "chunk 2 of agency 5 is not what was stored"
      )
    }).pipe(Effect.scoped))

  it.live("isn't complete when its source grew meanwhile, and is when it is run again", () =>
    Effect.gen(function*() {
      const place = yield* folder
      const [path, grown] = [join(place, "ledger.sqlite"), join(place, "grown.sqlite")]
      const url = yield* newDatabase
      yield* inFile(path, ({ commit }) => commit([plainChunk(three, 1, 2)]))
      yield* copy(path, addressOf(url))
      yield* query(url, "UPDATE lottery SET checksum = -1")
      yield* inFile(path, ({ commit }) => commit([plainChunk(three, 2, 2)]))
      copyFileSync(path, grown)
      yield* inFile(grown, ({ commit }) => commit([plainChunk(five, 1, 1)]))
      yield* query(url, "CREATE TABLE let_go ()")
      // Holds the copy's next step until there is a row.
      const holding = postgres.query(
        `DO $$ BEGIN
           PERFORM FROM lottery FOR UPDATE;
           WHILE NOT EXISTS (SELECT FROM let_go) LOOP PERFORM pg_sleep(0.01); END LOOP;
         END $$`,
        [],
        url
      )
      const isThere = (what: string, statement: string) =>
        Effect.promise(() =>
          waitUntil(what, async () => (await postgres.query(statement, [], url)).length > 0)
        )
      yield* isThere(
        "the lock",
        "SELECT 1 FROM pg_locks WHERE relation = 'lottery'::regclass AND mode = 'RowShareLock'"
      )
      const copying = yield* Effect.forkChild(Effect.flip(copy(path, addressOf(url))))
      yield* isThere(
        "the waiting copy",
        "SELECT 1 FROM pg_stat_activity WHERE application_name = 'loteria-command' AND wait_event_type = 'Lock'"
      )
      // No server can, since the copy holds the lock.
      const db = new DatabaseSync(path)
      db.prepare("ATTACH ? AS grown").run(grown)
      db.exec("INSERT INTO chunk SELECT * FROM grown.chunk WHERE agency = 5")
      db.close()
      yield* query(url, "INSERT INTO let_go DEFAULT VALUES")
      yield* Effect.promise(() => holding)
      assert.include((yield* Fiber.join(copying)).message, "was written to during the copy")
      assert.include(
        (yield* Effect.flip(results(addressOf(url)))).message,
        "into it is not finished"
      )
      const { bets, chunksBefore } = yield* copy(path, addressOf(url))
      assert.deepStrictEqual([bets, chunksBefore], [5, 2])
      assert.deepStrictEqual(yield* kept(addressOf(url)), yield* kept(path))
    }).pipe(Effect.scoped))

  it.live("goes on with a file that was cut short, and leaves that of another ledger", () =>
    Effect.gen(function*() {
      const place = yield* folder
      const [path, back] = [join(place, "ledger.sqlite"), join(place, "back.sqlite")]
      yield* inFile(path, ({ commit }) => commit([plainChunk(three, 1, 2), plainChunk(five, 1, 1)]))
      copyFileSync(path, `${back}.copy.partial`)
      yield* inFile(path, ({ commit }) => commit([plainChunk(three, 2, 2, true)]))
      assert.strictEqual((yield* copy(path, back)).chunksBefore, 2)
      assert.deepStrictEqual(yield* kept(back), yield* kept(path))
      const other = join(place, "other.sqlite")
      yield* inFile(other, ({ commit }) => commit([plainChunk(three, 1, 3)]))
      const target = join(place, "target.sqlite")
      copyFileSync(other, `${target}.copy.partial`)
      assert.include(
        (yield* Effect.flip(copy(path, target))).message,
        "its chunk 1 of agency 3 is not that of"
      )
      assert.isFalse(existsSync(target))
    }).pipe(Effect.scoped))

  it.live("refuses a ledger that servers use, on either side", () =>
    Effect.gen(function*() {
      const place = yield* folder
      const [path, other] = [join(place, "ledger.sqlite"), join(place, "other.sqlite")]
      yield* soldAndDrawn(path)
      const [url, served] = [yield* newDatabase, yield* newDatabase]
      yield* copy(path, addressOf(url))
      const stop = "servers are connected to this database: one; stop them all"
      const refusals = [
        [inFile(path, () => copy(path, other)), "is in use by another process"],
        [inDatabase(url, () => copy(addressOf(url), other)), stop],
        [inDatabase(served, () => copy(path, addressOf(served))), stop]
      ] as const
      for (const [refused, message] of refusals) {
        assert.include((yield* Effect.flip(refused)).message, message)
      }
      assert.isFalse(existsSync(other))
      // They have stopped.
      yield* copy(addressOf(url), other)
    }).pipe(Effect.scoped))

  it.live("refuses to copy a ledger to itself, by whatever name", () =>
    Effect.gen(function*() {
      const place = yield* folder
      const [path, link] = [join(place, "ledger.sqlite"), join(place, "link.sqlite")]
      yield* soldAndDrawn(path, 1)
      symlinkSync(path, link)
      const url = yield* newDatabase
      yield* copy(path, addressOf(url))
      const bare = new URL(url)
      bare.password = ""
      const refusals = [
        copy(path, path),
        copy(path, link),
        copy(addressOf(url, "may"), addressOf(url)),
        copy(addressOf(url), addressOf(bare.href))
      ]
      for (const refused of refusals) {
        assert.include(
          (yield* Effect.flip(refused)).message,
          "it is the ledger to copy; it is left"
        )
      }
    }).pipe(Effect.scoped))

  it.live("leaves what else is at the target", () =>
    Effect.gen(function*() {
      const place = yield* folder
      const [path, other] = [join(place, "ledger.sqlite"), join(place, "other.sqlite")]
      yield* soldAndDrawn(path)
      yield* soldAndDrawn(other, 2)
      const url = yield* newDatabase
      yield* beginLedger(addressOf(url), lottery)
      const refusals = [
        [copy(path, addressOf(url)), "it holds another lottery of the name may"],
        [copy(path, other), "is not that of"],
        [inFile(other, () => copy(path, other)), "is in use by another process"],
        [
          inFile(join(place, "new.sqlite"), () => copy(path, join(place, "new.sqlite"))),
          "is in use"
        ]
      ] as const
      const before = yield* kept(other)
      for (const [refused, message] of refusals) {
        assert.include((yield* Effect.flip(refused)).message, message)
      }
      assert.deepStrictEqual(yield* kept(other), before)
      assert.strictEqual((yield* ledgerInfo(addressOf(url))).bets, 0)
    }).pipe(Effect.scoped))

  it.live("killed at any moment is finished by the same command, both ways", () =>
    Effect.gen(function*() {
      const place = yield* folder
      const [path, back] = [join(place, "ledger.sqlite"), join(place, "back.sqlite")]
      yield* inFile(path, ({ commit }) =>
        Effect.forEach(
          Array.from({ length: 40 }, (_, index) => index + 1),
          (seq) => commit([plainChunk(three, seq, 2000), plainChunk(five, seq, 2000)])
        ))
      const url = yield* newDatabase
      yield* beginLedger(addressOf(url), { ...lottery, draw: DrawName.make("april") })
      // A partition takes over its parent's triggers. This one holds up the copy in its middle.
      yield* query(url, "CREATE TABLE let_go ()")
      yield* query(
        url,
        `CREATE FUNCTION hold_up() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           WHILE NEW.seq = 20 AND NOT EXISTS (SELECT FROM let_go) LOOP PERFORM pg_sleep(0.01); END LOOP;
           RETURN NEW;
         END $$`
      )
      yield* query(
        url,
        "CREATE TRIGGER hold_up BEFORE INSERT ON chunk FOR EACH ROW EXECUTE FUNCTION hold_up()"
      )
      const into = ["ledger", "copy", "--from", path, "--to", url]
      const out = ["ledger", "copy", "--from", url, "--draw", "may", "--to", back]
      const killed = async (args: ReadonlyArray<string>, hasBegun: () => Promise<boolean>) => {
        using program = new Program(args)
        await waitUntil("the first chunks", hasBegun)
        process.kill(program.pid, "SIGKILL")
        await program.ended()
      }
      const isHeldUp = async () => {
        const sleeping = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        return (await postgres.query(sleeping, [], url)).length > 0
      }
      yield* Effect.promise(async () => {
        await killed(into, isHeldUp)
        await postgres.query("INSERT INTO let_go DEFAULT VALUES", [], url)
        const ended = await runMain(into)
        assert.strictEqual(ended.code, 0, ended.stderr)
        const [, before] =
          /: draw may, 160,000 bets in 80 chunks, of which (\d+) chunks were there, /
            .exec(ended.stdout) ?? []
        assert.isAbove(Number(before), 0)
        assert.isBelow(Number(before), 20)
        // It may be too fast to be killed in its middle.
        await killed(
          out,
          () => Promise.resolve(existsSync(back) || hasChunks(`${back}.copy.partial`))
        )
        const again = await runMain(out)
        assert.strictEqual(again.code, 0, again.stderr)
        assert.match(again.stdout, /80 chunks, of which \d+ chunks were there/)
      })
      assert.deepStrictEqual(yield* kept(back), yield* kept(path))
      assert.deepStrictEqual((yield* kept(back)).problems, [])
    }).pipe(Effect.scoped))
})

const hasChunks = (path: string): boolean => {
  if (!existsSync(path)) return false
  try {
    using db = new DatabaseSync(path, { readOnly: true })
    return db.prepare("SELECT 1 FROM chunk LIMIT 3").all().length === 3
  } catch {
    // It is being made.
    return false
  }
}
