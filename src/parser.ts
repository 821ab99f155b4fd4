/**
 * Entry of a parser child: requests come in and responses go out, in order, over one duplex pipe on fd 3
 * (domain/ParserPipe.ts). It holds nothing between two requests, so that the server can kill it at any time.
 *
 * It ends by itself when its parent is gone, however that went: the pipe ends, or the IPC channel does. Signals that a
 * terminal sends to the whole group are the parent's to decide upon. No Effect here: it would cost each child
 * 170 ms and 45 MB at start.
 */
import { Socket } from "node:net"
import { parseMessage } from "./domain/ChunkScanner.ts"
import { FrameDecoder } from "./domain/Frame.ts"
import { decodeRequest, encodeResponse, requestBytesMax } from "./domain/ParserPipe.ts"

const pipe = new Socket({ fd: 3, readable: true, writable: true })
const decoder = new FrameDecoder()

/** The parent doesn't keep to the pipe's format: nothing that follows can be trusted. */
const outOfStep = (): never => process.exit(1)

/** Every whole request among the bytes, answered in one write. */
const answer = (bytes: Uint8Array): void => {
  decoder.push(bytes)
  pipe.cork()
  for (let step = decoder.next(); step._tag !== "Starved"; step = decoder.next()) {
    if (step._tag === "Announced") {
      if (step.bytes > requestBytesMax) outOfStep()
      decoder.accept()
    } else {
      const request = decodeRequest(step.body)
      if (request === undefined) return outOfStep()
      pipe.write(encodeResponse(request.id, parseMessage(request.body)))
    }
  }
  pipe.uncork()
  // A parent that doesn't read its answers gets no more work done for it.
  if (pipe.writableNeedDrain) pipe.pause()
}

process.on("SIGINT", () => {})
process.on("SIGTERM", () => {})
process.on("disconnect", () => process.exit(0))
pipe.on("data", answer)
pipe.on("drain", () => pipe.resume())
pipe.on("error", () => process.exit(0))
pipe.on("close", () => process.exit(0))
