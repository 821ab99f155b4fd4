/** An agency of a demonstration: a process that delivers one bet file and prints its winners. */
import { Clock, Effect } from "effect"
import { isDocument } from "../../domain/BetRules.ts"
import type { Ports } from "./CentralRun.ts"
import { ChildFailed, runChild } from "./ChildRun.ts"
import type { GeneratedFile } from "./GeneratedFiles.ts"

/** The central is on this machine: an agency that can't reach it for this long never will. */
const giveUpAfterS = 30

const progressLine = /action: (apuestas_enviadas|resume) \| result: success \|.* cantidad: (\d+)$/

export interface AgencyOutcome {
  readonly agency: number
  /** How many it knows to be stored. */
  readonly bets: number
  /** The documents that the agency printed. */
  readonly winners: ReadonlyArray<string>
  /** From the agency's start until it had its winners. */
  readonly ms: number
}

/**
 * `centrals` in the order in which the agency tries them. `onDelivered` is called with the number of bets in each chunk that was acknowledged.
 */
export const runAgency = Effect.fnUntraced(function*(
  file: GeneratedFile,
  centrals: ReadonlyArray<Ports>,
  folder: string,
  onDelivered: (bets: number) => void
) {
  const name = `agency-${file.agency}`
  const started = yield* Clock.currentTimeMillis
  const winners: Array<string> = []
  let bets = 0
  const onLine = (line: string) => {
    const [, action, cantidad] = progressLine.exec(line) ?? []
    if (action !== undefined) {
      // On a new connection it learns how much is stored: more than it knew, if an answer was lost.
      const more = action === "resume" ? Number(cantidad) - bets : Number(cantidad)
      bets += more
      onDelivered(more)
    } else if (isDocument(line)) winners.push(line)
  }
  const flags = {
    id: file.agency,
    file: file.path,
    server: centrals.map((ports) => `127.0.0.1:${ports.bets}`).join(","),
    consult: centrals.map((ports) => `127.0.0.1:${ports.consult}`).join(","),
    "give-up-after": giveUpAfterS
  }
  const args = ["agency", ...Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`)]
  const child = yield* runChild(name, args, folder, onLine)
  const code = yield* child.exitCode
  if (code !== 0) return yield* new ChildFailed({ name, problem: `ended with exit code ${code}` })
  const ms = (yield* Clock.currentTimeMillis) - started
  const outcome: AgencyOutcome = { agency: file.agency, bets, winners, ms }
  return outcome
}, Effect.scoped)
