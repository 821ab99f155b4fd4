/**
 * The result that a bet file must have, read without any of the code that takes part in the run: the three fields that
 * matter are the last of a line and never quoted.
 */
import { Effect } from "effect"
import { createReadStream } from "node:fs"
import { createInterface } from "node:readline"

export interface Expectation {
  readonly bets: number
  /** The documents of the winning bets, in the order of the file. */
  readonly winners: ReadonlyArray<string>
}

const lastFields = /,([A-Za-z0-9]+),\d{4}-\d\d-\d\d,(\d+)$/

export const expectationOf = (path: string, winningNumber: number): Effect.Effect<Expectation> =>
  Effect.promise(async () => {
    const winners: Array<string> = []
    let bets = 0
    for await (
      const line of createInterface({ input: createReadStream(path), crlfDelay: Infinity })
    ) {
      bets++
      const match = lastFields.exec(line)
      if (match?.[1] !== undefined && Number(match[2]) === winningNumber) winners.push(match[1])
    }
    return { bets, winners }
  })
