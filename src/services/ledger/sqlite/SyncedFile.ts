/**
 * A descriptor of the ledger's file, to sync the file beside SQLite. A process that closes any descriptor of a file
 * loses all its locks on that file, including SQLite's. So this one is opened once, and closed after SQLite's.
 */
import { closeSync, openSync } from "node:fs"

export class SyncedFile {
  readonly #path: string
  #descriptor: number | undefined

  constructor(path: string) {
    this.#path = path
  }

  open(): number {
    return this.#descriptor ??= openSync(this.#path, "r")
  }

  close(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor)
    this.#descriptor = undefined
  }
}
