/** The results of one `npm run bench`, as stored in bench/results. */
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { Comparison } from "./Comparison.ts"
import type { Conditions } from "./Conditions.ts"
import type { DrawResult } from "./Draw.ts"
import type { GrowthResult } from "./Growth.ts"
import type { IdleResult } from "./Idle.ts"
import type { AloneResult } from "./PostgresLedger.ts"
import type { ServersResult } from "./Servers.ts"
import type { SnapshotResult } from "./Snapshot.ts"

export interface Results {
  readonly conditions: Conditions
  readonly command: string
  readonly quick: boolean
  readonly pairs: number
  readonly seconds: number
  readonly warmupSeconds: number
  readonly remarks: ReadonlyArray<string>
  readonly comparisons: ReadonlyArray<Comparison>
  readonly draws: ReadonlyArray<DrawResult>
  readonly growth: GrowthResult | undefined
  readonly idle: IdleResult | undefined
  readonly alone: AloneResult | undefined
  readonly servers: ServersResult | undefined
  readonly snapshot: SnapshotResult | undefined
}

export const resultsFolder = join(import.meta.dirname, "results")

/** One file for each day and set of parts; a repetition replaces it. */
export const writeResults = (results: Results, what: string): string => {
  mkdirSync(resultsFolder, { recursive: true })
  const path = join(resultsFolder, `${results.conditions.date.slice(0, 10)}-${what}.json`)
  writeFileSync(path, `${JSON.stringify(results, null, 2)}\n`)
  return path
}
