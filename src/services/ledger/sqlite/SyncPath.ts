/** Makes a change of names last: a new, renamed or removed file is on disk once its folder has been synced. */
import * as fs from "node:fs"

/** Puts a file, or the names in a folder, on disk. */
export const syncPath = (place: string): void => {
  const descriptor = fs.openSync(place, "r")
  try {
    fs.fsyncSync(descriptor)
  } finally {
    fs.closeSync(descriptor)
  }
}
