/** SQLite's result codes, and what they mean for a ledger. */

/** Primary codes by name: https://sqlite.org/rescode.html. */
export const sqliteCode = {
  busy: 5,
  locked: 6,
  noMemory: 7,
  readOnly: 8,
  ioError: 10,
  corrupt: 11,
  full: 13,
  cantOpen: 14,
  protocol: 15,
  constraint: 19,
  notADatabase: 26
} as const

/** The extended result code, if SQLite reported the error. */
export const resultCode = (error: unknown): number | undefined =>
  error instanceof Error && "errcode" in error && typeof error.errcode === "number"
    ? error.errcode
    : undefined

/** The primary result code: the low byte of the extended one. */
export const primaryCode = (error: unknown): number | undefined => {
  const code = resultCode(error)
  return code === undefined ? undefined : code & 0xff
}

const transient: ReadonlySet<number | undefined> = new Set([
  sqliteCode.busy,
  sqliteCode.locked,
  sqliteCode.noMemory,
  sqliteCode.readOnly,
  sqliteCode.ioError,
  sqliteCode.full,
  sqliteCode.cantOpen,
  sqliteCode.protocol
])

/** Whether waiting, room on the disk or a repaired file system can make the operation succeed. */
export const isTransient = (error: unknown): boolean => transient.has(primaryCode(error))

const damage: ReadonlySet<number | undefined> = new Set([
  sqliteCode.corrupt,
  sqliteCode.notADatabase
])

/** Whether SQLite itself found damage. */
export const isDamage = (error: unknown): boolean => damage.has(primaryCode(error))
