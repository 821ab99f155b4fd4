/**
 * PostgreSQL in the ways that its manual advises for bulk intake ("Populating a Database"): many rows a transaction by
 * prepared INSERTs that are sent without waiting, an INSERT of whole arrays, or COPY; and room for its log.
 */
import { join } from "node:path"
import { endChild, pidOf, runWell } from "./Child.ts"
import type { Candidates, Contender, Place, Running } from "./Contender.ts"
import { Cluster, findPrograms } from "./PostgresCluster.ts"
import {
  type Encoding,
  postgresArrays,
  postgresCopy,
  postgresRows,
  postgresTable
} from "./Requests.ts"

const startOn = async (cluster: Cluster, { connections }: Place): Promise<Running> => {
  const { child, port } = await cluster.start(connections)
  await cluster.ask(port, "DROP TABLE IF EXISTS bet")
  await cluster.ask(port, postgresTable)
  // Writes that earlier runs left behind must not slow this one.
  await cluster.ask(port, "CHECKPOINT")
  return {
    port,
    pid: pidOf(child),
    finish: async () => {
      const count = Number(await cluster.ask(port, "SELECT count(*) FROM bet"))
      const diskBytes = Number(await cluster.ask(port, "SELECT pg_total_relation_size('bet')"))
      // "Fast": it does not wait for its clients to disconnect.
      await endChild(child, "SIGINT")
      return { unit: "bets", count, diskBytes }
    }
  }
}

export const postgres = async (workFolder: string): Promise<Candidates> => {
  const programs = await findPrograms()
  if (programs === undefined) {
    return { contenders: [], remarks: ["PostgreSQL isn't installed (package postgresql)"] }
  }
  const version = (await runWell(join(programs, "postgres"), ["--version"])).trim()
  const cluster = await Cluster.create(programs, workFolder)
  const contender = (name: string, encoding: Encoding): Contender => ({
    name,
    encoding,
    start: (place) => startOn(cluster, place)
  })
  return {
    contenders: [
      contender("PostgreSQL, an INSERT per bet", postgresRows),
      contender("PostgreSQL, an INSERT of arrays", postgresArrays),
      contender("PostgreSQL, COPY", postgresCopy)
    ],
    remarks: [
      `${version}: fsync and synchronous_commit on, max_wal_size 8 GB, a row per bet in a table with a primary key, a transaction per chunk; `
      + "its bytes on disk are the table's, without its log"
    ]
  }
}
