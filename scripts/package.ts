/**
 * Makes `dist` before `npm pack`, and with `clean` removes it afterwards: src as JavaScript, because Node strips no types
 * below node_modules. Types become blanks, as they do when Node runs the checkout, so the lines and columns of a stack
 * trace are those of the source. Strings that name our files then name the JavaScript: imports, and the entry files of
 * processes and threads.
 */
import { existsSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { stripTypeScriptTypes } from "node:module"
import { dirname, join } from "node:path"

const root = join(import.meta.dirname, "..")
const dist = join(root, "dist")

const javascriptName = (path: string): string => path.replace(/\.ts$/, ".js")

/** The formatter's quotes. A path that isn't one literal would be missed, and the test of the package would fail. */
const ownFile = /"(\.{1,2}\/[^"\n]+)\.ts"/g

const build = (): void => {
  for (const path of globSync("**/*.ts", { cwd: join(root, "src") })) {
    const source = join(root, "src", path)
    const text = stripTypeScriptTypes(readFileSync(source, "utf8"), { mode: "strip" })
    for (const [, named] of text.matchAll(ownFile)) {
      if (!existsSync(join(dirname(source), `${named}.ts`))) {
        throw new Error(`${source} names ${named}.ts, which doesn't exist`)
      }
    }
    const target = join(dist, javascriptName(path))
    mkdirSync(dirname(target), { recursive: true })
    writeFileSync(target, text.replace(ownFile, "\"$1.js\""))
  }
}

rmSync(dist, { recursive: true, force: true })
if (process.argv[2] !== "clean") build()
