/** What a ledger is opened for writing with: its file, its lottery, and its bounds. */

export interface WriterBounds {
  /** Of a new file. A chunk of the usual size fits into one page; smaller pages make a commit cost half as much again. */
  readonly pageBytes: number
  /** With this many pages in the write-ahead log the writer itself copies the rest, so that the log can begin anew. */
  readonly walPagesMax: number
  /** What is left of the log's file after a checkpoint that followed a surge. */
  readonly walBytesKept: number
  /** How long an operation waits for another program that holds the file before it fails as unavailable. */
  readonly busyTimeoutMs: number
  /** How many chunks a start reads at most, beside the snapshot. */
  readonly snapshotChunks: number
}

export const writerDefaults: WriterBounds = {
  pageBytes: 16 * 1024,
  walPagesMax: 4096,
  walBytesKept: 64 * 1024 * 1024,
  busyTimeoutMs: 1000,
  snapshotChunks: 4096
}

export interface WriterConfig extends WriterBounds {
  /** As it was configured: links are followed. */
  readonly path: string
  /** The roster in the notation of the configuration, and its agencies. */
  readonly roster: string
  readonly agencies: ReadonlyArray<number>
  readonly winningNumber: number
  /** The draw's name; undefined: that of an existing ledger; of a new one, a name made from the time. */
  readonly draw?: string | undefined
}
