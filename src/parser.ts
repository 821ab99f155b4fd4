/**
 * Entry of a parser child: requests come in and responses go out, in order, over one duplex pipe on fd 3
 * (parser/ParserPipe.ts). Nothing is kept from one request to the next, so the server can kill it at any time.
 * When it takes more memory than its argument says, in MiB, it asks to be replaced.
 *
 * It ends by itself when its parent is gone, however that went: the pipe ends, or the IPC channel does. Signals that a
 * terminal sends to the whole group are the parent's to decide upon. No Effect here: it would cost each child
 * 170 ms and 45 MB at start.
 */
import { Socket } from "node:net"
import { setPriority } from "node:os"
import { FrameDecoder } from "./domain/Frame.ts"
import { parseMessage } from "./parser/ChunkScanner.ts"
import { decodeRequest, noRequest, requestBytesMax, ResponseBatch } from "./parser/ParserPipe.ts"

/** What one read takes at most: some dozens of usual chunks, answered in one write. */
const readBytes = 256 * 1024
/** How much is parsed between two looks at the memory: a look costs as much as a small chunk. */
const lookBytes = 1024 * 1024

/**
 * Behind the server, which wakes a parser at every turn and would otherwise wait for it where cores are few: what came
 * meanwhile is parsed together.
 */
const niceness = 5
try {
  setPriority(niceness)
} catch {
  // Not allowed everywhere, and only a matter of speed.
}

const memoryBytesMax = Number(process.argv[2] ?? Infinity) * 1024 * 1024
let parsedBytes = 0
let replacementAsked = false

const decoder = new FrameDecoder()
const responses = new ResponseBatch(readBytes)
let paused = false

/** The parent doesn't keep to the pipe's format: nothing that follows can be trusted. */
const outOfStep = (): never => process.exit(1)

/** Parses every whole request among the bytes. The decoder is left without a view of them: their memory is reused. */
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
      if (parsedBytes >= lookBytes) look()
    }
  }
}

/** Engines give memory back late or, if something leaks, never: it isn't worth finding out which. */
const look = (): void => {
  parsedBytes = 0
  if (replacementAsked || process.memoryUsage.rss() <= memoryBytesMax) return
  replacementAsked = true
  responses.add(noRequest, { _tag: "WrongPort", agency: undefined })
}

/** The written bytes' memory is free again. */
const written = (): void => {
  if (!paused) return
  paused = false
  pipe.resume()
}

/** Says whether to read on: not before the parent has taken the last answers, which also bounds what is held. */
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
