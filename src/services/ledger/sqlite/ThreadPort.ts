/** A ledger thread's end of the port to the main thread. */
import { type MessagePort, parentPort, type Transferable } from "node:worker_threads"
import { toFailure } from "./LedgerProblem.ts"
import type { Failed } from "./ThreadMessages.ts"

export const openPort = (): MessagePort => {
  if (parentPort === null) throw new Error("this file is the entry of a thread")
  return parentPort
}

export const failedReply = (id: number, error: unknown): Failed => ({
  _tag: "Failed",
  id,
  failure: toFailure(error)
})

/** Answers requests one after another. `moved` gives the buffers that are handed over with a reply. */
export const answerInOrder = <Request extends { readonly id: number }, Reply>(
  port: MessagePort,
  answer: (request: Request) => Reply,
  moved: (reply: Reply) => ReadonlyArray<Transferable> = () => []
): void => {
  port.on("message", (request: Request) => {
    try {
      const reply = answer(request)
      port.postMessage(reply, moved(reply))
    } catch (error) {
      port.postMessage(failedReply(request.id, error))
    }
  })
}
