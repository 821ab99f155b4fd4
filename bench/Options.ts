/** The options of `npm run bench`, with their defaults; `--quick` shortens everything to about two minutes. */
import { parseArgs } from "node:util"

export const parts = [
  "chunks",
  "latency",
  "node",
  "postgres",
  "redis",
  "nats",
  "ledger",
  "servers",
  "snapshot",
  "draw",
  "growth",
  "idle"
] as const
export type Part = (typeof parts)[number]

export interface Options {
  readonly quick: boolean
  readonly parts: ReadonlyArray<Part>
  /** Bets in a chunk, and connections, of the parts that compare. */
  readonly chunks: ReadonlyArray<number>
  /** The same for the databases and queues: there are several, so by default each gets fewer. */
  readonly rivalChunks: ReadonlyArray<number>
  readonly connections: ReadonlyArray<number>
  readonly pairs: number
  readonly seconds: number
  readonly warmupSeconds: number
  /** Chunks a second for `latency`; undefined: half of the central's highest rate. */
  readonly rate: number | undefined
  /** The numbers of bets before the draw, measured one after the other. */
  readonly drawBets: ReadonlyArray<number>
  /** The size of the ledger in `growth` and `idle`. */
  readonly ledgerBets: number
  readonly idleConnections: number
  /** Clients write header and body separately, as those of the field do. */
  readonly splitWrites: boolean
  /** Where servers keep their data; undefined: a temporary folder on a real disk. */
  readonly folder: string | undefined
  /** Only draw the charts again, from the existing results. */
  readonly chartsOnly: boolean
}

export const usage = `npm run bench -- [options]

  --quick              everything small: a look, not a measurement (about 2 minutes)
  --only a,b           some of: ${parts.join(", ")}
                         chunks    the central and the floor (floor.c), every chunk and connections asked for
                         latency   both in an open loop at half of the central's highest rate
                         node      the central and the floor in bare node:net
                         postgres, redis, nats   the central and each, where installed
                         ledger    the ledger in PostgreSQL without a server, and pgbench
                         servers   one, two and three servers over one PostgreSQL, the embedded ledger, and pgbench
                         snapshot  one server over PostgreSQL, alone and while another session holds a snapshot
                         draw      last chunk to last winner
                         growth    CPU per bet with a small and a large ledger, and starts with it
                         idle      thousands of waiting consults under full load
  --chunks 1,10,100,1000   bets in a chunk (the databases: 1,100,1000)
  --connections 5,50,1000  bets connections ("chunks" only; the others use 50)
  --pairs 5            how often each is measured, in turn
  --seconds 15         of each measurement, after --warmup 2
  --rate N             chunks a second for latency
  --draw 100000,1000000,10000000   bets before the draw
  --ledger 10000000    bets of growth and idle
  --idle 9000          waiting consults
  --split-writes       clients write header and body apart, without TCP_NODELAY, as those of the field do
                         ("chunks" and "latency": the central and the floor)
  --folder F           where the servers keep their data (default: a temporary folder that isn't in memory)
  --charts             draw bench/results/*.svg again from the results that are there, and measure nothing`

const positive = (name: string, text: string): number => {
  const value = Number(text)
  if (!(value > 0)) throw new Error(`--${name}: ${text} is not a positive number`)
  return value
}

const partOf = (name: string): Part => {
  const part = parts.find((candidate) => candidate === name)
  if (part === undefined) {
    throw new Error(`--only: there is no ${name}; there are ${parts.join(", ")}`)
  }
  return part
}

export const readOptions = (args: ReadonlyArray<string>): Options | "help" => {
  const text = { type: "string" } as const
  const { values } = parseArgs({
    args: [...args],
    options: {
      help: { type: "boolean", short: "h" },
      quick: { type: "boolean" },
      charts: { type: "boolean" },
      "split-writes": { type: "boolean" },
      only: text,
      chunks: text,
      connections: text,
      pairs: text,
      seconds: text,
      warmup: text,
      rate: text,
      draw: text,
      ledger: text,
      idle: text,
      folder: text
    }
  })
  if (values.help === true) return "help"
  const quick = values.quick === true
  const numberOf = (
    name: "pairs" | "seconds" | "warmup" | "ledger" | "idle",
    full: number,
    small: number
  ) => values[name] === undefined ? (quick ? small : full) : positive(name, values[name])
  const numbersOf = (
    name: "chunks" | "connections" | "draw",
    full: ReadonlyArray<number>,
    small: ReadonlyArray<number>
  ) =>
    values[name] === undefined
      ? (quick ? small : full)
      : values[name].split(",").map((item) => positive(name, item))
  return {
    quick,
    parts: values.only === undefined ? parts : values.only.split(",").map(partOf),
    chunks: numbersOf("chunks", [1, 10, 100, 1000], [1, 100, 1000]),
    rivalChunks: numbersOf("chunks", [1, 100, 1000], [100]),
    connections: numbersOf("connections", [5, 50, 1000], [50]),
    pairs: numberOf("pairs", 5, 1),
    seconds: numberOf("seconds", 15, 1),
    warmupSeconds: numberOf("warmup", 2, 0.5),
    rate: values.rate === undefined ? undefined : positive("rate", values.rate),
    drawBets: numbersOf("draw", [100_000, 1_000_000, 10_000_000], [100_000]),
    ledgerBets: numberOf("ledger", 10_000_000, 1_000_000),
    idleConnections: numberOf("idle", 9000, 1000),
    splitWrites: values["split-writes"] === true,
    folder: values.folder,
    chartsOnly: values.charts === true
  }
}
