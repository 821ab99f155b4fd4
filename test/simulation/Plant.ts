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

/** The source with the mistake in it. */
const plant = (source: string, index: number): string => {
  const mutant = mutants[index]
  if (mutant === undefined) throw new Error(`there is no mutant ${index}`)
  return mutant.edits.reduce((text, [original, planted]) => {
    if (text.split(original).length !== 2) {
      throw new Error(`"${mutant.name}" doesn't fit ${mutant.file} any more: ${original.trim()}`)
    }
    return text.replace(original, () => planted)
  }, source)
}

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
    if (path !== mutants[Number(index)]?.file) return loaded
    return { ...loaded, source: plant(readFileSync(new URL(path, root), "utf8"), Number(index)) }
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
