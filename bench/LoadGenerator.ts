/** Runs the load generator, in C or in Node, and reads its results. */
import type { ChildProcess } from "node:child_process"
import { once } from "node:events"
import { globSync, mkdirSync } from "node:fs"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { run, spawnChild, which } from "./Child.ts"
import type { RequestFiles } from "./Requests.ts"

/** The last line of `loadgen load`. Times are monotonic seconds, latencies milliseconds. */
export interface LoadResult {
  readonly acknowledged: number
  readonly acknowledgedBytes: number
  readonly requests: number
  readonly measured: number
  readonly seconds: number
  readonly p50: number
  readonly p99: number
  readonly p999: number
  readonly max: number
  readonly refused: number
  readonly firstRefusal: string
  readonly cut: number
  readonly unanswered: number
  readonly startedAt: number
  readonly lastAnswerAt: number
  readonly lastFinishSentAt: number
  readonly lastFinishAnsweredAt: number
  readonly cpu: number
}

export interface LoadOptions {
  readonly port: number
  readonly files: RequestFiles
  readonly connections: number
  readonly window?: number
  readonly firstAgency?: number
  readonly firstRequest?: number
  readonly warmup?: number
  readonly seconds?: number
  /** Requests a second in an open loop. */
  readonly rate?: number
  /** A number of requests for each connection, instead of a duration. */
  readonly perConnection?: number
  readonly finish?: boolean
  /** Header and body in two writes, without TCP_NODELAY, as clients of the field do. */
  readonly splitWrites?: boolean
  readonly marks?: ReadonlyArray<number>
}

export type LoadEvent = "start" | "begin" | "end" | "mark"

/** Consult connections that are open and have not asked yet. */
export interface Consults {
  readonly ask: () => Promise<void>
  readonly informed: () => Promise<Informed>
  readonly close: () => void
}

interface Informed {
  readonly informed: number
  readonly failed: number
  readonly bytes: number
  readonly firstAt: number
  readonly lastAt: number
}

const longestRunSeconds = 3600

/** Compiles `name.c`, or every C file of a folder of that name; undefined when there is no compiler. */
export const compileC = async (name: string, into: string): Promise<string | undefined> => {
  if (await which("cc") === undefined) return undefined
  const sources = globSync([`${name}.c`, `${name}/*.c`], { cwd: import.meta.dirname })
  mkdirSync(into, { recursive: true })
  const program = join(into, name)
  const { code, stderr } = await run(
    "cc",
    ["-O2", "-std=gnu11", "-o", program, ...sources],
    { cwd: import.meta.dirname }
  )
  if (code !== 0) throw new Error(`cc ${name}: ${stderr}`)
  return program
}

const argumentsOf = (values: Readonly<Record<string, unknown>>): ReadonlyArray<string> =>
  Object.entries(values).flatMap(([name, value]) =>
    value === undefined || value === false
      ? []
      : value === true
      ? [`--${name}`]
      : [`--${name}`, String(value)]
  )

export class LoadGenerator {
  readonly #command: readonly [string, ...ReadonlyArray<string>]
  readonly inC: boolean

  private constructor(program: string | undefined) {
    this.inC = program !== undefined
    this.#command = program === undefined
      ? [process.execPath, join(import.meta.dirname, "loadgen.ts")]
      : [program]
  }

  static readonly inNode = new LoadGenerator(undefined)

  /** Compiles the generator in C into the folder; without a compiler, uses the slower one in Node. */
  static async create(folder: string): Promise<LoadGenerator> {
    const program = await compileC("loadgen", folder)
    return program === undefined ? LoadGenerator.inNode : new LoadGenerator(program)
  }

  async load(
    options: LoadOptions,
    onEvent: (event: LoadEvent, bets: number) => void = () => undefined
  ): Promise<LoadResult> {
    const { bets, encoding, hello, requests } = options.files
    const child = this.#spawn("load", {
      port: options.port,
      protocol: encoding.protocol,
      requests,
      hello,
      "hello-answers": encoding.hello?.answers,
      bets,
      answers: encoding.answers(bets),
      connections: options.connections,
      window: options.window,
      "first-agency": options.firstAgency,
      "first-request": options.firstRequest,
      warmup: options.warmup,
      seconds: options.seconds ??
        (options.perConnection === undefined ? undefined : longestRunSeconds),
      rate: options.rate,
      "per-connection": options.perConnection,
      finish: options.finish,
      "split-writes": options.splitWrites,
      marks: options.marks?.join(",")
    })
    let result: LoadResult | undefined
    for await (const line of linesOf(child)) {
      const told: { readonly event: LoadEvent | "result"; readonly bets?: number } & LoadResult =
        JSON.parse(line)
      if (told.event === "result") result = told
      else onEvent(told.event, told.bets ?? 0)
    }
    if (result === undefined) throw new Error("the load generator has failed")
    return result
  }

  /** Opens the consult connections of the agencies 1 to `connections`. */
  async consults(port: number, connections: number): Promise<Consults> {
    const child = this.#spawn("consult", { port, connections })
    const lines = linesOf(child)[Symbol.asyncIterator]()
    const next = async (event: string): Promise<string> => {
      const { done, value } = await lines.next()
      if (done === true || !value.includes(`"event":"${event}"`)) {
        throw new Error(`the consults have failed, before: ${event}`)
      }
      return value
    }
    await next("open")
    return {
      ask: async () => {
        child.stdin?.write("ask\n")
        await next("asked")
      },
      informed: async () => {
        const informed: Informed = JSON.parse(await next("informed"))
        return informed
      },
      close: () => child.kill()
    }
  }

  #spawn(mode: string, values: Readonly<Record<string, unknown>>): ChildProcess {
    const [file, ...before] = this.#command
    return spawnChild(file, [...before, mode, ...argumentsOf(values)], {
      stdio: ["pipe", "pipe", "inherit"]
    })
  }
}

async function* linesOf(child: ChildProcess): AsyncGenerator<string> {
  if (child.stdout === null) return
  yield* createInterface({ input: child.stdout })
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit")
}
