/** `npm run cluster -- --agencies 200 --minutes 30 [--seed 7] [--postgres debian] [--faults kill,pause]`; see Moves.ts. */
import { parseArgs } from "node:util"
import { Postgres, postgresKinds } from "../support/Postgres.ts"
import { TcpProxy } from "../support/TcpProxy.ts"
import { faultNames, moves } from "./Moves.ts"

const { values } = parseArgs({
  options: {
    agencies: { type: "string", default: "200" },
    minutes: { type: "string", default: "30" },
    seed: { type: "string" },
    postgres: { type: "string", default: "npm" },
    faults: { type: "string", default: "kill,killAll,pause" }
  }
})
const seed = Number(values.seed ?? Date.now() % 1_000_000)
const agencies = Number(values.agencies)
const minutes = Number(values.minutes)
const wanted = values.faults.split(",")
const print = (line: string) => process.stdout.write(`${line}\n`)

print(
  `seed ${seed}: ${agencies} agencies, ${minutes} minutes, three servers, faults ${
    wanted.join(", ")
  }`
)
const kind = postgresKinds.find((one) => one.kind === values.postgres)?.kind ?? "npm"
await using postgres = await Postgres.start({ kind })
await using proxy = await TcpProxy.start(postgres.port)
const report = await moves({
  postgres,
  proxy,
  agencies,
  // About two a second from each.
  betsEach: Math.max(100, Math.round(minutes * 120)),
  seed,
  lastsMs: minutes * 60_000,
  moveEveryMs: 20_000,
  faults: faultNames.filter((name) => wanted.includes(name)),
  // Servers that are killed are back, and hundreds of agencies with them, before the next fault.
  faultEveryMs: 60_000,
  patienceMs: 600_000,
  onFault: print
})
const faults = Object.entries(report.faults).map(([name, times]) => `${times} ${name}`).join(", ")
print(
  `moves ${report.moves}, faults: ${faults}; claims ${report.claims}, connections superseded `
    + `${report.superseded}, commits in doubt ${report.inDoubt}; bets acknowledged and stored ${report.bets}, each once, `
    + "in order; one draw; every agency has exactly its winners"
)
