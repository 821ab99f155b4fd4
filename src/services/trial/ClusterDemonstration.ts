/**
 * A whole lottery with several servers over one PostgreSQL, on this machine. The agencies are spread over the servers, and
 * each knows the addresses of all. Half way the server that is busiest is killed; its agencies go on with the others.
 * The check is that of {@link ./Demonstration.ts}: against the files, which nothing of the run has touched.
 */
import { Clock, Deferred, Effect, Redacted, Result } from "effect"
import { parsePostgresUrl, type PostgresUrl, showPostgresUrl } from "../base/PostgresUrl.ts"
import { type CentralOptions, type CentralRun, startCentral } from "./CentralRun.ts"
import {
  check,
  type DemonstrationObserver,
  type DemonstrationOptions,
  runAgencies,
  winningNumber
} from "./Demonstration.ts"
import { type GeneratedFile, generateFiles } from "./GeneratedFiles.ts"
import { postgresPrograms } from "./PostgresPrograms.ts"
import { initPostgres, startPostgres } from "./PostgresRun.ts"

const serversCount = 3

/** The database of a PostgreSQL from npm, for the scope. */
const ownDatabase = Effect.gen(function*() {
  const data = yield* initPostgres(yield* postgresPrograms())
  const { url } = yield* startPostgres(data)
  const parsed = Result.getOrThrow(parsePostgresUrl(url))
  return { ...parsed, password: Redacted.make(data.password) }
})

/** The servers in the order in which the agency tries them: the agencies are spread over all. */
const rotated = (
  servers: ReadonlyArray<CentralRun>,
  { agency }: GeneratedFile
): ReadonlyArray<CentralRun> => {
  const first = agency % servers.length
  return [...servers.slice(first), ...servers.slice(0, first)]
}

/** In the database `given`, or in a PostgreSQL of the demonstration's own. Runs in `folder`, and leaves the logs there. */
export const demonstrateCluster = Effect.fnUntraced(function*(
  options: DemonstrationOptions,
  given: PostgresUrl | undefined,
  folder: string,
  { follow, note }: DemonstrationObserver
) {
  const files = yield* generateFiles(folder, options, { force: false, keep: false, ledgers: [] })
  yield* note(`generated ${options.bets} bets for ${options.agencies} agencies in ${folder}`)
  const database = given ?? (yield* ownDatabase)
  yield* note(`the database is ${showPostgresUrl(database)}`)
  // A database keeps many draws; this is one of its own.
  const draw = `demo-${yield* Clock.currentTimeMillis}`
  const lottery = { agencies: options.agencies, winningNumber, draw, ledger: database }
  const servers = yield* startServers(folder, lottery)
  for (const { name, ports } of servers) {
    yield* note(`${name} listens on port ${ports.bets} for bets and ${ports.consult} for consults`)
  }
  const course = new Course(files, options.bets)
  const run = Effect.flatMap(follow(options.bets), (show) =>
    runAgencies(
      files,
      (file) => rotated(servers, file).map(({ ports }) => ports),
      folder,
      (total, agency, bets) => {
        course.went(agency, bets)
        show(total)
      }
    )).pipe(Effect.scoped, Effect.ensuring(course.ended))
  const [outcomes, killed] = yield* Effect.all([run, killOne(servers, files, course, note)], {
    concurrency: 2
  }).pipe(Effect.raceFirst(Effect.raceAllFirst(servers.map(({ died }) => died))))
  yield* note("the draw was held and every agency has its winners")
  yield* check(files, outcomes, { url: database, draw })
  yield* note("checked: every count and every winner is as the files say")
  const others = servers.filter((server) => server !== killed)
  yield* Effect.forEach(others, ({ stop }) => stop, { concurrency: others.length })
  yield* note(
    `${others.map(({ name }) => name).join(" and ")} were stopped by SIGTERM: exit code 0`
  )
  return outcomes
}, Effect.scoped)

/** All at once: they make the database's tables together, too. */
const startServers = (folder: string, lottery: Omit<CentralOptions, "name">) =>
  Effect.forEach(
    Array.from({ length: serversCount }, (_, index) => `server-${index + 1}`),
    (name) => startCentral(folder, { name, ...lottery }),
    { concurrency: serversCount }
  )

/** Half way, kills the server of the agency that has most before it; gives that server. */
const killOne = Effect.fnUntraced(function*(
  servers: ReadonlyArray<CentralRun>,
  files: ReadonlyArray<GeneratedFile>,
  course: Course,
  note: DemonstrationObserver["note"]
) {
  yield* course.halfWay
  const victim = course.busiest(files).map((file) => rotated(servers, file)[0])[0]
  if (victim === undefined) return
  const moving = files.filter((file) =>
    rotated(servers, file)[0] === victim && course.remainingOf(file.agency) > 0
  )
  const { delivered } = course
  yield* victim.kill
  yield* note(
    `${victim.name} was killed (SIGKILL) after ${delivered} bets; agencies that it was serving: `
      + (moving.map(({ agency }) => agency).join(", ") || "none")
  )
  return victim
})

/** How far the agencies are. */
class Course {
  readonly #all: number
  readonly #remaining: Map<number, number>
  readonly #halfWay = Deferred.makeUnsafe<void>()

  constructor(files: ReadonlyArray<GeneratedFile>, all: number) {
    this.#all = all
    this.#remaining = new Map(files.map(({ agency, bets }) => [agency, bets]))
  }

  /** Waits until half of the bets are acknowledged, or the agencies are at their end. */
  get halfWay(): Effect.Effect<void> {
    return Deferred.await(this.#halfWay)
  }

  get ended(): Effect.Effect<void> {
    return Effect.asVoid(Deferred.succeed(this.#halfWay, undefined))
  }

  get delivered(): number {
    return this.#all - [...this.#remaining.values()].reduce((sum, bets) => sum + bets, 0)
  }

  went(agency: number, bets: number): void {
    this.#remaining.set(agency, this.remainingOf(agency) - bets)
    if (2 * this.delivered >= this.#all) Deferred.doneUnsafe(this.#halfWay, Effect.void)
  }

  /** Its bets that are not acknowledged. */
  remainingOf(agency: number): number {
    return this.#remaining.get(agency) ?? 0
  }

  /** Those with most bets before them first. */
  busiest(files: ReadonlyArray<GeneratedFile>): ReadonlyArray<GeneratedFile> {
    return files.toSorted((one, other) =>
      this.remainingOf(other.agency) - this.remainingOf(one.agency)
    )
  }
}
