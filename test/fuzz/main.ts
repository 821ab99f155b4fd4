/** `npm run fuzz -- --minutes 10 [--seed 7]`: fuzzes a central of its own for as long as asked; see Fuzzer.ts. */
import { parseArgs } from "node:util"
import { fuzz } from "./Fuzzer.ts"

const { values } = parseArgs({
  options: { minutes: { type: "string", default: "1" }, seed: { type: "string" } }
})
const seed = Number(values.seed ?? Date.now() % 1_000_000)
const minutes = Number(values.minutes)
if (!Number.isSafeInteger(seed) || !(minutes > 0)) throw new Error("--minutes 10 --seed 7")
const start = performance.now()
const print = (line: string) => void process.stdout.write(`${line}\n`)

print(`seed ${seed}: ${minutes} min; again: npm run fuzz -- --minutes ${minutes} --seed ${seed}`)
const report = await fuzz({
  seed,
  ms: minutes * 60_000,
  onProgress: (line) => print(`${((performance.now() - start) / 1000).toFixed(0)} s: ${line}`)
})
for (const [kind, times] of [...report.kinds].toSorted()) {
  print(`${String(times).padStart(9)} ${kind}`)
}
print(
  `seed ${seed}: ${report.conversations} conversations of ${report.agencies} agencies, `
    + `${report.answers} answers as the protocol says, ${report.bets} bets stored once and in order; `
    + `the bystander's ${report.bystander.chunks} chunks, the slowest in `
    + `${Math.round(report.bystander.slowestMs)} ms; at most ${Math.round(report.memoryPeak)} MiB`
)
