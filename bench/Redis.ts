/**
 * Redis streams, synced before each answer (`appendfsync always`), with pipelining as its manual advises: an entry per
 * bet, or an opaque entry per chunk. No snapshots and no rewriting of its log while it is measured.
 */
import { totalmem } from "node:os"
import { join } from "node:path"
import { endChild, freePort, pidOf, run, runWell, spawnLogged, untilReady, which } from "./Child.ts"
import type { Candidates, Contender, Place, Running } from "./Contender.ts"
import { type Encoding, redisChunks, redisEntries } from "./Requests.ts"
import { diskBytes } from "./Usage.ts"

const start = async (
  program: string,
  { bets, folder }: Place,
  encoding: Encoding
): Promise<Running> => {
  const port = await freePort()
  const logFile = join(folder, "log")
  const settings = {
    port: String(port),
    bind: "127.0.0.1",
    dir: folder,
    appendonly: "yes",
    appendfsync: "always",
    save: "",
    // It keeps everything in memory. When memory runs out it refuses requests, and the run reports that.
    maxmemory: String(Math.floor(totalmem() / 2)),
    "auto-aof-rewrite-percentage": "0"
  }
  const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value])
  const child = spawnLogged(program, args, logFile, { cwd: folder })
  const ask = (...words: ReadonlyArray<string>) => ["-p", String(port), ...words]
  await untilReady(
    child,
    logFile,
    async () => (await run("redis-cli", ask("PING"))).stdout.startsWith("PONG")
  )
  return {
    port,
    pid: pidOf(child),
    finish: async () => {
      const entries = Number(await runWell("redis-cli", ask("XLEN", "bets")))
      await endChild(child)
      return {
        unit: "bets",
        count: entries * (bets / encoding.answers(bets)),
        diskBytes: diskBytes(join(folder, "appendonlydir"))
      }
    }
  }
}

export const redis = async (): Promise<Candidates> => {
  const program = await which("redis-server")
  if (program === undefined || await which("redis-cli") === undefined) {
    return { contenders: [], remarks: ["Redis isn't installed (package redis-server)"] }
  }
  const version = /v=(\S+)/.exec(await runWell(program, ["--version"]))?.[1] ?? ""
  const contender = (name: string, encoding: Encoding): Contender => ({
    name,
    encoding,
    start: (place) => start(program, place, encoding)
  })
  return {
    contenders: [
      contender("Redis, an entry per bet", redisEntries),
      contender("Redis, an entry per chunk", redisChunks)
    ],
    remarks: [
      `redis-server ${version}: a stream, appendfsync always, no snapshots, no rewriting of its log`
    ]
  }
}
