/** `npm run crash -- --rounds 500 [--seed 7]`: kill -9 of the server, as often as asked; see KillRounds.ts. */
import { parseArgs } from "node:util"
import { killRounds } from "./KillRounds.ts"

const { values } = parseArgs({
  options: { rounds: { type: "string", default: "100" }, seed: { type: "string" } }
})
const seed = Number(values.seed ?? Date.now() % 1_000_000)
const rounds = Number(values.rounds)
const start = performance.now()
const print = (line: string) => process.stdout.write(`${line}\n`)

print(`seed ${seed}: ${rounds} kills`)
const report = await killRounds(seed, rounds, 5, (lottery, { bets, rounds: kills }) => {
  const seconds = ((performance.now() - start) / 1000).toFixed(0)
  print(`${seconds} s: seed ${lottery}, ${kills} kills, ${bets} bets stored once and in order`)
})
print(
  `${report.rounds} kills, ${report.bets} bets, nothing lost and nothing doubled; `
    + `${Math.round(report.restartMs)} ms to be ready again on average`
)
