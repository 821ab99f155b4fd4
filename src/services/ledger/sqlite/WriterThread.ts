/** Entry of the writer thread: answers the main thread's requests one after another. */
import { parentPort, workerData } from "node:worker_threads"
import { defect, toFailure } from "./LedgerProblem.ts"
import { LedgerWriter } from "./LedgerWriter.ts"
import type { Failed, WriterReply, WriterRequest } from "./ThreadMessages.ts"
import type { WriterConfig } from "./WriterConfig.ts"

const port = parentPort
if (port === null) throw new Error("WriterThread.ts is the entry of a thread")
const config: WriterConfig = workerData
let writer: LedgerWriter | undefined

const opened = (): LedgerWriter => {
  if (writer === undefined) throw defect("the ledger is not open")
  return writer
}

const answer = (request: WriterRequest): WriterReply => {
  const { id } = request
  switch (request._tag) {
    case "Open": {
      const { agencies, draw, drawName, isNew, told } = writer = new LedgerWriter(config)
      return { _tag: "Opened", id, agencies, draw, drawName, told, isNew }
    }
    case "Commit":
      opened().commit(request.buffer)
      return { _tag: "Committed", id, buffer: request.buffer }
    case "HoldDraw":
      return { _tag: "Drawn", id, draw: opened().holdDraw() }
    case "Look":
      return { _tag: "Looked", id, displaced: opened().lookAtPlace() }
    case "Told":
      opened().noteTold(request.records)
      return { _tag: "Noted", id }
    case "Close":
      writer?.close(request.unused)
      port.close()
      return { _tag: "Closed", id }
  }
}

port.on("message", (request: WriterRequest) => {
  let reply: WriterReply | Failed
  try {
    reply = answer(request)
  } catch (error) {
    reply = { _tag: "Failed", id: request.id, failure: toFailure(error) }
  }
  port.postMessage(reply, reply._tag === "Committed" ? [reply.buffer] : [])
})
