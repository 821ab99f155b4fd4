/**
 * Entry of the reader thread. Requests are answered as they come, even in the middle of a digest; only digests wait for
 * each other. If the ledger can't be opened, the request fails, and the next one tries again.
 */
import { workerData } from "node:worker_threads"
import { LedgerReader, type ReaderConfig } from "./LedgerReader.ts"
import type { Failed, ReaderReply, ReaderRequest } from "./ThreadMessages.ts"
import { failedReply, openPort } from "./ThreadPort.ts"

const port = openPort()
const config: ReaderConfig = workerData
let reader: LedgerReader | undefined
let digests: Promise<void> = Promise.resolve()

const opened = (): LedgerReader => reader ??= new LedgerReader(config)

const send = (reply: ReaderReply | Failed): void => {
  const moved = reply._tag === "Chunk" && reply.chunk !== undefined
    ? [reply.chunk.numbers.buffer, reply.chunk.body.buffer]
    : reply._tag === "Bets"
    ? [reply.read.bytes.buffer]
    : []
  port.postMessage(reply, moved)
}

const fail = (id: number, error: unknown): void => send(failedReply(id, error))

const digest = async (id: number, agency: number): Promise<void> => {
  try {
    send({ _tag: "Digested", id, digest: await opened().digest(agency) })
  } catch (error) {
    fail(id, error)
  }
}

const answer = (request: ReaderRequest): void => {
  const { id } = request
  switch (request._tag) {
    case "Open":
      opened()
      return send({ _tag: "Ready", id })
    case "ChunkAt":
      return send({ _tag: "Chunk", id, chunk: opened().chunkAt(request.agency, request.seq) })
    case "ReadBets": {
      const { agency, bytes, offset, seq } = request
      return send({ _tag: "Bets", id, read: opened().readBets(agency, seq, offset, bytes) })
    }
    case "Digest":
      digests = digests.then(() => digest(id, request.agency))
      return
    case "Close":
      send({ _tag: "Closed", id })
      // A digest in progress fails at its next chunk, and nobody waits for it any more.
      reader?.close()
      port.close()
  }
}

port.on("message", (request: ReaderRequest) => {
  try {
    answer(request)
  } catch (error) {
    fail(request.id, error)
  }
})
