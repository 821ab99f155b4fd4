/** Why a file could not be opened, read or written, in words for people. */

const reasons: ReadonlyMap<unknown, string> = new Map([
  ["ENOENT", "there is no such file or folder"],
  ["EACCES", "not permitted"],
  ["EROFS", "not permitted: the file system is read-only"],
  ["EISDIR", "a folder, not a file"],
  ["ENOTDIR", "not a folder"],
  ["ENXIO", "a socket or a device, which can't be read as a file"],
  ["ENOSPC", "the disk is full"],
  ["EDQUOT", "the disk is full (quota)"],
  ["ENAMETOOLONG", "the name is too long"]
])

export const systemReason = (cause: unknown): string => {
  const code = cause instanceof Error && "code" in cause ? cause.code : undefined
  return reasons.get(code) ?? `can't be read or written (${String(code)})`
}
