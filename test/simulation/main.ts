/**
 * Simulates by hand: `npm run simulate -- --seeds 1000 [--from 1]`, one seed with its whole trace
 * (`npm run simulate -- --seed 42 --trace`), or with planted mistakes (`npm run simulate -- --mutants`).
 */
import { parseArgs } from "node:util"
import { mutants } from "./Mutants.ts"
import { simulate } from "./Simulation.ts"

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "200" },
    from: { type: "string", default: "1" },
    seed: { type: "string" },
    trace: { type: "boolean", default: false },
    mutants: { type: "boolean", default: false }
  }
})
const print = (line: string) => void process.stdout.write(`${line}\n`)
const first = Number(values.seed ?? values.from)
const count = values.seed === undefined ? Number(values.seeds) : 1
if (!Number.isSafeInteger(first) || !Number.isSafeInteger(count)) {
  throw new Error("a seed and a number of seeds are integers")
}

const runSeeds = (): boolean => {
  const counts = new Map<string, number>()
  const begun = process.cpuUsage()
  let failed = 0
  let events = 0
  let virtualMs = 0
  for (let seed = first; seed < first + count; seed++) {
    const result = simulate(seed, values.trace ? print : undefined)
    events += result.events
    virtualMs += result.virtualMs
    for (const [what, times] of result.counts) counts.set(what, (counts.get(what) ?? 0) + times)
    if (count === 1) print(`hash ${result.hash}`)
    if (result.failures.length === 0) continue
    failed++
    if (!values.trace) { for (const line of result.tail.slice(-20)) print(`  ${line}`) }
    print(`seed ${seed}: ${result.failures.join("; ")}`)
    print(`  again: npm run simulate -- --seed ${seed} --trace`)
  }
  const { system, user } = process.cpuUsage(begun)
  for (const [what, times] of [...counts].toSorted()) print(`${String(times).padStart(8)} ${what}`)
  print(
    `${count} seeds, ${failed} failed; ${events} events, ${
      Math.round(virtualMs / 1000)
    } virtual s, `
      + `${((user + system) / 1e6).toFixed(1)} s of CPU`
  )
  return failed === 0
}

/** The first seed that catches the mistake, and what it says. */
const runMutant = async (index: number): Promise<string | undefined> => {
  const { simulateMutant } = await import("./Plant.ts")
  const simulatePlanted = await simulateMutant(index)
  for (let seed = first; seed < first + count; seed++) {
    const [failure] = simulatePlanted(seed).failures
    if (failure !== undefined) return `caught by seed ${seed}, ${failure.split("\n")[0]}`
  }
  return undefined
}

const runMutants = async (): Promise<boolean> => {
  let survivors = 0
  for (const [index, { name }] of mutants.entries()) {
    const caught = await runMutant(index)
    if (caught === undefined) survivors++
    print(`${name}: ${caught ?? `NOT CAUGHT in ${count} seeds`}`)
  }
  print(`${mutants.length} mistakes planted, ${survivors} not caught`)
  return survivors === 0
}

process.exitCode = (values.mutants ? await runMutants() : runSeeds()) ? 0 : 1
