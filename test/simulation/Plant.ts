/**
 * Loads the simulation with a mistake planted: the modules of the project are loaded again for each mutant, and the one
 * file is edited as it is loaded. This needs Node's own module loader, and so a process of its own.
 */
import { readFileSync } from "node:fs"
import { registerHooks } from "node:module"
import { mutants } from "./Mutants.ts"
import type { simulate } from "./Simulation.ts"

const root = new URL("../../", import.meta.url).href
const mark = /\?mutant=(\d+)$/

/** What a mutant changes in a file. */
const editsOf = (index: number, path: string) => {
  const mutant = mutants[index]
  return [mutant, mutant?.also].find((part) => part?.file === path)?.edits
}

/** The source with the mistake in it. */
const plant = (source: string, index: number, path: string): string =>
  (editsOf(index, path) ?? []).reduce((text, [original, planted]) => {
    if (text.split(original).length !== 2) {
      const name = mutants[index]?.name ?? ""
      throw new Error(`"${name}" doesn't fit ${path} any more: ${original.trim()}`)
    }
    return text.replace(original, () => planted)
  }, source)

registerHooks({
  resolve: (specifier, context, nextResolve) => {
    const resolved = nextResolve(specifier, context)
    const index = mark.exec(context.parentURL ?? "")?.[1]
    const ours = resolved.url.startsWith(root) && !resolved.url.includes("/node_modules/")
    return index !== undefined && ours
      ? { ...resolved, url: `${resolved.url}?mutant=${index}` }
      : resolved
  },
  load: (url, context, nextLoad) => {
    const loaded = nextLoad(url, context)
    const index = mark.exec(url)?.[1]
    if (index === undefined) return loaded
    const path = url.slice(root.length).replace(mark, "")
    if (editsOf(Number(index), path) === undefined) return loaded
    const source = readFileSync(new URL(path, root), "utf8")
    return { ...loaded, source: plant(source, Number(index), path) }
  }
})

interface Loaded {
  readonly simulate: typeof simulate
}

/** The simulation as if the mistake had been made. */
export const simulateMutant = async (index: number): Promise<typeof simulate> => {
  const loaded: Loaded = await import(`./Simulation.ts?mutant=${index}`)
  return loaded.simulate
}
