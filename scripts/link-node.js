/**
 * Runs after npm has installed the checkout (`prepare`), on whatever Node runs npm. npm 10 removes node_modules/.bin/node
 * when it omits the packages of other platforms, which contain a program of the same name; npm 11 keeps it.
 */
import { existsSync, mkdirSync, rmSync, symlinkSync } from "node:fs"
import { fileURLToPath } from "node:url"

const modules = fileURLToPath(new URL("../node_modules/", import.meta.url))
const program = `node-${process.platform}-${process.arch}/bin/node`
const link = `${modules}.bin/node`

if (existsSync(modules + program) && !existsSync(link)) {
  mkdirSync(`${modules}.bin`, { recursive: true })
  rmSync(link, { force: true })
  symlinkSync(`../${program}`, link)
}
