/**
 * The real parser child with a trap in it: in the middle of a read, a frame with `"trap": "die"` ends it, and one with
 * `"trap": "hang"` makes it hang. Everything else is src/parser.ts as it is.
 */
import { registerHooks } from "node:module"

const original = "export const parseMessage = "
const trapped = `const springs = (body, what) => Buffer.from(body).includes('"trap":"' + what + '"')
export const parseMessage = (body) => {
  if (springs(body, "die")) process.exit(7)
  if (springs(body, "hang")) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
  return untrapped(body)
}
const untrapped = `

registerHooks({
  load: (url, context, nextLoad) => {
    const loaded = nextLoad(url, context)
    if (!url.endsWith("/src/parser/ChunkScanner.ts")) return loaded
    const source = String(loaded.source)
    if (!source.includes(original)) throw new Error("the trap doesn't fit the parser any more")
    return { ...loaded, source: source.replace(original, trapped) }
  }
})

await import("../../src/parser.ts")
