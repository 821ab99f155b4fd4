/**
 * Entry of a parser child: requests come in and responses go out, in order, over one duplex pipe on fd 3
 * (parser/ParserPipe.ts). Nothing is kept from one request to the next, so the server can kill the child at any time.
 * When the child takes more memory than its argument allows, in MiB, it asks to be replaced.
 *
 * It ends when its parent does, in whatever way: at the end of the pipe, or of the IPC channel. It ignores signals that
 * a terminal sends to the whole process group: when to end is the parent's decision. No Effect here: it would cost each
 * child 170 ms and 45 MB at its start.
 */
import { Socket } from "node:net"
import { setPriority } from "node:os"
import { FrameDecoder } from "./domain/Frame.ts"
import { parseMessage } from "./parser/ChunkScanner.ts"
import { decodeRequest, encodeNotice, requestBytesMax, ResponseBatch } from "./parser/ParserPipe.ts"

/** What one read takes at most: some dozens of usual chunks, answered in one write. */
const readBytes = 256 * 1024
/** How much is parsed between two checks of the memory: a check costs as much as a small chunk. */
const checkBytes = 1024 * 1024

/**
 * Lower than the server's priority: the server wakes a parser at every turn of its event loop, and where cores are few
 * it would have to wait for that parser. This way requests gather meanwhile, and are parsed together.
 */
const niceness = 5
try {
  setPriority(niceness)
} catch {
  // Not allowed everywhere, and only a matter of speed.
}

const memoryBytesMax = Number(process.argv[2] ?? Infinity) * 1024 * 1024
/** Since the last check of the memory. */
let parsedBytes = 0
let outgrown = false

const decoder = new FrameDecoder()
const responses = new ResponseBatch(readBytes)
let paused = false

/** What came isn't in the pipe's format, so nothing that follows can be trusted. */
const outOfStep = (): never => process.exit(1)

/** Parses every whole request in the bytes. The decoder keeps no view of them, since their memory is reused. */
const parse = (bytes: Uint8Array): void => {
  decoder.push(bytes)
  for (let step = decoder.next(); step._tag !== "Starved"; step = decoder.next()) {
    if (step._tag === "Announced") {
      if (step.bytes > requestBytesMax) outOfStep()
      decoder.accept()
    } else {
      const request = decodeRequest(step.body) ?? outOfStep()
      responses.add(request.id, parseMessage(request.body))
      parsedBytes += step.body.length
      if (parsedBytes >= checkBytes) checkMemory()
    }
  }
}

/** Memory that the engine hasn't given back yet can't be told from a leak, and a new child is cheap. */
const checkMemory = (): void => {
  parsedBytes = 0
  if (outgrown || process.memoryUsage.rss() <= memoryBytesMax) return
  outgrown = true
  responses.addNotice("Outgrown")
}

/** The memory of the bytes that were written is free again. */
const written = (): void => {
  if (!paused) return
  paused = false
  pipe.resume()
}

/** Gives whether to read on: not until the parent has taken the last answers, which bounds what is held here. */
const read = (bytesRead: number, buffer: Uint8Array): boolean => {
  parse(buffer.subarray(0, bytesRead))
  if (responses.length === 0) return true
  pipe.write(responses.take(), written)
  paused = pipe.writableLength > 0
  return !paused
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR2"]) process.on(signal, () => {})
process.on("disconnect", () => process.exit(0))
const pipe = new Socket({
  fd: 3,
  readable: true,
  writable: true,
  onread: { buffer: new Uint8Array(readBytes), callback: read }
})
pipe.on("error", () => process.exit(0))
pipe.on("close", () => process.exit(0))
pipe.resume()
pipe.write(encodeNotice("Ready"))
