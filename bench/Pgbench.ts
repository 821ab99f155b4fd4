/**
 * pgbench, PostgreSQL's own measure of what a server can take in: one INSERT of 64 chunks a transaction, prepared, into a
 * partition that is made as the ledger's own. It locks nothing, asks for no epoch, and knows all values beforehand.
 */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import type { BenchChunk } from "./BenchChunk.ts"
import { runWell } from "./Child.ts"

/** Chunks in a group; each is one row. */
export const groupChunks = 64

interface PgbenchRun {
  readonly chunksPerSecond: number
  readonly chunks: number
  /** Of pgbench itself. */
  readonly cpuSeconds: number
}

/** It takes 255 values at most: what is the same for all rows is written out. */
const script = (lottery: number): string => {
  const rows = Array.from(
    { length: groupChunks },
    (_, at) => `(${lottery}, ${at + 1}, :seq, 1, false, 100, 100, 4000000000, :numbers, :body)`
  )
  return `\\set next :next + 1
\\set seq :client_id * 1000000000 + :next
INSERT INTO chunk (lottery, agency, seq, epoch, last, bets, total, checksum, numbers, body)
VALUES ${rows.join(", ")};
`
}

export class Pgbench {
  readonly #program: string
  readonly #arguments: ReadonlyArray<string>
  #runs = 0

  /** It writes to the database's first lottery. */
  constructor(
    program: string,
    folder: string,
    port: number,
    database: string,
    { body, numbers }: BenchChunk
  ) {
    this.#program = program
    const file = join(folder, "pgbench.sql")
    writeFileSync(file, script(1))
    this.#arguments = [
      "--host=127.0.0.1",
      `--port=${port}`,
      "--username=postgres",
      "--no-vacuum",
      "--protocol=prepared",
      `--file=${file}`,
      `--define=numbers=\\x${Buffer.from(numbers).toString("hex")}`,
      `--define=body=${Buffer.from(body).toString()}`,
      database
    ]
  }

  async run(connections: number, seconds: number): Promise<PgbenchRun> {
    const before = 1_000_000 * this.#runs++
    const said = await runWell("sh", [
      "-c",
      // The shell's own statistics hold the CPU time of the program that it waited for.
      "\"$@\" && cat /proc/$$/stat",
      "sh",
      this.#program,
      `--define=next=${before}`,
      `--client=${connections}`,
      `--jobs=${connections}`,
      `--time=${Math.ceil(seconds)}`,
      ...this.#arguments
    ])
    const transactions = Number(/actually processed: (\d+)/.exec(said)?.[1])
    const perSecond = Number(/^tps = ([\d.]+)/m.exec(said)?.[1])
    const fields = said.slice(said.lastIndexOf(")") + 2).split(" ")
    // cutime and cstime, in hundredths of a second; the slice begins at field 3.
    const cpuSeconds = (Number(fields[16 - 3]) + Number(fields[17 - 3])) / 100
    return {
      chunksPerSecond: perSecond * groupChunks,
      chunks: transactions * groupChunks,
      cpuSeconds
    }
  }
}
