/** Entry of the writer thread. */
import { workerData } from "node:worker_threads"
import { defect } from "./LedgerProblem.ts"
import { LedgerWriter } from "./LedgerWriter.ts"
import type { WriterReply, WriterRequest } from "./ThreadMessages.ts"
import { answerInOrder, openPort } from "./ThreadPort.ts"
import type { WriterConfig } from "./WriterConfig.ts"

const port = openPort()
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

answerInOrder(port, answer, (reply) => reply._tag === "Committed" ? [reply.buffer] : [])
