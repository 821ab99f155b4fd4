/** A sync of what was made by name, where that has to last. */
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
