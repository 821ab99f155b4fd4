/** A folder for one test, removed with all that is in it when the test ends. */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

export class TemporaryFolder implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "loteria-"))

  /** The path of something in it. */
  join(...names: ReadonlyArray<string>): string {
    return join(this.path, ...names)
  }

  /** Writes a file and returns its path. */
  write(name: string, text: string): string {
    const path = this.join(name)
    writeFileSync(path, text)
    return path
  }

  /** What is in it, sorted. */
  get names(): ReadonlyArray<string> {
    return readdirSync(this.path).toSorted()
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true })
  }
}
