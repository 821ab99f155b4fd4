/** The two floors: floor.c, where there is a C compiler, and the same in bare node:net. */
import { readFileSync, statSync } from "node:fs"
import { join } from "node:path"
import { endChild, pidOf, spawnLogged, untilReady } from "./Child.ts"
import type { Contender, Place, Running } from "./Contender.ts"
import { lottery } from "./Requests.ts"
import { diskBytes } from "./Usage.ts"

const start = async (
  file: string,
  args: ReadonlyArray<string>,
  { folder }: Place
): Promise<Running> => {
  const data = join(folder, "frames")
  const logFile = join(folder, "log")
  const child = spawnLogged(file, [...args, data], logFile)
  const port = await untilReady(
    child,
    logFile,
    () => Number(/^(\d+)\n/.exec(readFileSync(logFile, "utf8"))?.[1] ?? 0) || undefined
  )
  return {
    port,
    pid: pidOf(child),
    finish: async () => {
      await endChild(child)
      return { unit: "bytes", count: statSync(data).size, diskBytes: diskBytes(data) }
    }
  }
}

export const cFloor = (program: string): Contender => ({
  name: "the floor (C)",
  encoding: lottery,
  start: (place) => start(program, [], place)
})

export const nodeFloor: Contender = {
  name: "the floor (node:net)",
  encoding: lottery,
  start: (place) => start(process.execPath, [join(import.meta.dirname, "NetFloor.ts")], place)
}
