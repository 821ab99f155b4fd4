/**
 * Entry of the checkpoint thread: copies what the write-ahead log holds into the file while the writer goes on. Done by
 * the writer, in larger pieces, it made every commit that met it wait tens of milliseconds. A pass takes no lock that
 * a commit needs; it can't empty the log, which the writer does when a pass has left it little to copy.
 *
 * A pass that was overtaken by a commit leaves the file unsynced, until the writer, before it begins the log anew, has
 * to wait for all of it. So each pass syncs what it has copied.
 */
import { fdatasyncSync } from "node:fs"
import { setPriority } from "node:os"
import { DatabaseSync } from "node:sqlite"
import { parentPort, workerData } from "node:worker_threads"
import { toFailure } from "./LedgerProblem.ts"
import type {
  CheckpointConfig,
  CheckpointReply,
  CheckpointRequest,
  Failed
} from "./ThreadMessages.ts"

/** Behind those that agencies wait for. On Linux it is this thread's, elsewhere it would be the whole server's. */
const niceness = 5
try {
  if (process.platform === "linux") setPriority(niceness)
} catch {
  // Not allowed everywhere, and only a matter of speed.
}

const port = parentPort
if (port === null) throw new Error("CheckpointThread.ts is the entry of a thread")
const config: CheckpointConfig = workerData
let db: DatabaseSync | undefined

const opened = (): DatabaseSync => {
  if (db !== undefined) return db
  db = new DatabaseSync(config.path, { timeout: config.busyTimeoutMs })
  // What leaves the log must be in the file for good: the log's place is written over afterwards.
  db.exec("PRAGMA synchronous = FULL")
  return db
}

const answer = (request: CheckpointRequest): CheckpointReply => {
  const { id } = request
  switch (request._tag) {
    case "Open":
      opened()
      return { _tag: "Ready", id }
    case "Pass":
      opened().prepare("PRAGMA wal_checkpoint(PASSIVE)").get()
      fdatasyncSync(config.descriptor)
      return { _tag: "Passed", id }
    case "Close":
      db?.close()
      port.close()
      return { _tag: "Closed", id }
  }
}

port.on("message", (request: CheckpointRequest) => {
  let reply: CheckpointReply | Failed
  try {
    reply = answer(request)
  } catch (error) {
    reply = { _tag: "Failed", id: request.id, failure: toFailure(error) }
  }
  port.postMessage(reply)
})
