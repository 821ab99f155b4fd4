/**
 * The floor in bare Node: what floor.c does, with node:net and node:fs and nothing else. Frames are read and their
 * bodies kept; while one sync is under way the next round gathers; when it is done, its frames are acknowledged.
 *
 *     node bench/NetFloor.ts FILE        listens on a free port of this machine and prints it; ends on SIGTERM
 */
import { closeSync, fdatasync, openSync, writev } from "node:fs"
import { createServer, type Socket } from "node:net"

const [path = ""] = process.argv.slice(2)
const file = openSync(path, "w")
const buffersMax = 1024

const body = Buffer.from("{\"type_message\": 1, \"payload\": null}")
const answer = Buffer.alloc(4 + body.length)
answer.writeUInt32BE(body.length)
body.copy(answer, 4)

let bodies: Array<Buffer> = []
/** How many acknowledgements each connection is owed once the bodies are on disk. */
let owed = new Map<Socket, number>()
let syncing = false

const orStop = (then: () => void) => (error: Error | null) => {
  if (error !== null) throw error
  then()
}

const writeAll = (buffers: ReadonlyArray<Buffer>, then: () => void): void => {
  if (buffers.length === 0) return then()
  writev(
    file,
    buffers.slice(0, buffersMax),
    orStop(() => writeAll(buffers.slice(buffersMax), then))
  )
}

const sync = (): void => {
  if (syncing || owed.size === 0) return
  syncing = true
  const [writing, answering] = [bodies, owed]
  bodies = []
  owed = new Map()
  writeAll(writing, () =>
    fdatasync(
      file,
      orStop(() => {
        syncing = false
        for (const [socket, count] of answering) {
          socket.write(
            count === 1 ? answer : Buffer.concat(Array.from({ length: count }, () => answer))
          )
        }
        sync()
      })
    ))
}

const server = createServer({ noDelay: true }, (socket) => {
  let left: Buffer | undefined
  socket.on("error", () => socket.destroy())
  socket.on("data", (bytes: Buffer) => {
    const input = left === undefined ? bytes : Buffer.concat([left, bytes])
    let at = 0
    while (input.length - at >= 4) {
      const end = at + 4 + input.readUInt32BE(at)
      if (end > input.length) break
      bodies.push(input.subarray(at + 4, end))
      owed.set(socket, (owed.get(socket) ?? 0) + 1)
      at = end
    }
    left = at === input.length ? undefined : input.subarray(at)
    // One sync covers everything that came in this round of the event loop.
    setImmediate(sync)
  })
})
server.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, () => {
  const address = server.address()
  console.log(typeof address === "object" ? address?.port : address)
})

process.once("SIGTERM", () => {
  closeSync(file)
  process.exit()
})
