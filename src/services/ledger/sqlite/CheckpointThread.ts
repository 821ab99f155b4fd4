/**
 * Entry of the checkpoint thread, which copies the write-ahead log into the file while the writer continues. When the
 * writer did this, in larger pieces, every commit that met it waited tens of milliseconds. A pass takes no lock that a
 * commit needs. It can't empty the log; the writer does, once a pass has left it little to copy.
 *
 * A pass that a commit overtakes leaves the file unsynced, and the writer would have to wait for the whole sync before
 * it begins the log anew. So each pass syncs what it has copied.
 */
import { fdatasyncSync } from "node:fs"
import { setPriority } from "node:os"
import { DatabaseSync } from "node:sqlite"
import { workerData } from "node:worker_threads"
import type { CheckpointConfig, CheckpointReply, CheckpointRequest } from "./ThreadMessages.ts"
import { answerInOrder, openPort } from "./ThreadPort.ts"

/** Behind the threads that agencies wait for. On Linux it is the thread's; elsewhere it would be the whole server's. */
const niceness = 5
try {
  if (process.platform === "linux") setPriority(niceness)
} catch {
  // It isn't allowed everywhere, and is only a matter of speed.
}

const port = openPort()
const config: CheckpointConfig = workerData
let db: DatabaseSync | undefined

const opened = (): DatabaseSync => {
  if (db !== undefined) return db
  db = new DatabaseSync(config.path, { timeout: config.busyTimeoutMs })
  // What leaves the log must be in the file for good, because the log is overwritten afterwards.
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

answerInOrder(port, answer)
