/**
 * The entry in plain JavaScript, which old versions of Node can read too: they are told what is needed, instead of failing
 * on the first line that they don't know. A checkout runs its TypeScript; a package has JavaScript made of it
 * (scripts/package.ts).
 */
import { existsSync, readFileSync } from "node:fs"

const { engines } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"))
const needed = engines.node.replace(">=", "")

const isOlder = (version, other) => {
  const [a, b] = [version, other].map((text) => text.split(".").map(Number))
  const differing = a.findIndex((part, index) => part !== b[index])
  return differing !== -1 && a[differing] < b[differing]
}

if (isOlder(process.versions.node, needed)) {
  process.stderr.write(
    `loteria: needs Node ${needed} or later, and this is ${process.versions.node} (${process.execPath}). `
      + "On Linux `npm ci`, or `npm install` of the package, brings one; npm scripts, `npx loteria` and bin/loteria "
      + "use it. If it was installed without: npm leaves it out, without an error, when it can't be downloaded or "
      + "optional dependencies are omitted.\n"
  )
  // What sysexits.h has for a configuration: starting again doesn't help.
  process.exitCode = 78
} else {
  const source = new URL("../src/main.ts", import.meta.url)
  await import(existsSync(source) ? source.href : new URL("../dist/main.js", import.meta.url).href)
}
