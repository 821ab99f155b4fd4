/**
 * A parser child that misbehaves on request: the `fault` in a frame's JSON is what it does instead of answering. If the
 * frame names a file as `once`, it does so only while there is no such file, and creates it: the next child behaves.
 * Any other frame is parsed as the real child does it.
 *
 * - die: exits, in the middle of its work
 * - hang: does nothing any more
 * - garbage: answers bytes that are no response
 * - announce: announces an answer that is longer than the longest
 * - disorder: answers a request that nobody made
 * - outgrow: answers, and asks to be replaced
 */
import { existsSync, writeFileSync } from "node:fs"
import { Socket } from "node:net"
import { FrameDecoder } from "../../src/domain/Frame.ts"
import { readMessage } from "../../src/parser/ChunkReader.ts"
import {
  decodeRequest,
  encodeNotice,
  encodeResponse,
  idAfter
} from "../../src/parser/ParserPipe.ts"

const pipe = new Socket({ fd: 3 })
const decoder = new FrameDecoder()

const faultOf = (body: Uint8Array): unknown => {
  const { fault, once }: { readonly fault?: unknown; readonly once?: unknown } = JSON.parse(
    new TextDecoder().decode(body)
  )
  if (typeof once !== "string") return fault
  if (existsSync(once)) return undefined
  writeFileSync(once, "")
  return fault
}

const handle = (id: number, body: Uint8Array): void => {
  switch (faultOf(body)) {
    case "die":
      process.exit(7)
    case "hang":
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
      return
    case "garbage":
      pipe.write(Uint8Array.from([0, 0, 0, 40, ...Array.from({ length: 40 }, () => 0xee)]))
      return
    case "announce":
      pipe.write(Uint8Array.of(0xff, 0xff, 0xff, 0xff))
      return
    case "disorder":
      pipe.write(encodeResponse(idAfter(id), readMessage(body)))
      return
    case "outgrow":
      pipe.write(encodeResponse(id, readMessage(body)))
      pipe.write(encodeNotice("Outgrown"))
      return
    default:
      pipe.write(encodeResponse(id, readMessage(body)))
  }
}

pipe.on("data", (bytes: Buffer) => {
  decoder.push(bytes)
  for (let step = decoder.next(); step._tag !== "Starved"; step = decoder.next()) {
    if (step._tag === "Announced") decoder.accept()
    else {
      const request = decodeRequest(step.body)
      if (request !== undefined) handle(request.id, request.body)
    }
  }
})
pipe.on("error", () => process.exit(0))
pipe.on("close", () => process.exit(0))
process.on("disconnect", () => process.exit(0))
pipe.write(encodeNotice("Ready"))
