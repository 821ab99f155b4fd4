/** Whether a ledger's draw, and who was told its winners, agree with its chunks. */
import type { ToldRecord } from "../../domain/Draw.ts"
import type { Standing } from "../../domain/Standing.ts"

/** What a ledger says about itself besides its chunks. */
export interface Claims {
  readonly roster: ReadonlySet<number>
  readonly winningNumber: number
  readonly draw: ClaimedDraw | undefined
  readonly told: ReadonlyMap<number, ToldRecord>
  readonly winnerRows: number
}

/** `winners`: their documents by agency, in the order of the agency's bets. */
interface ClaimedDraw {
  readonly winningNumber: number
  readonly winners: ReadonlyMap<number, ReadonlyArray<string>>
}

/** What was found in the chunks. */
export interface Found {
  readonly standings: ReadonlyMap<number, Standing>
  readonly winners: ReadonlyMap<number, ReadonlyArray<string>>
}

export type AddProblem = (problem: string) => void

/** `found` must be of all chunks. */
export const compareDraw = (claims: Claims, found: Found, add: AddProblem): void => {
  const { draw, roster, told, winnerRows, winningNumber } = claims
  for (const agency of told.keys()) {
    if (!roster.has(agency)) add(`agency ${agency} was told winners, and is not in the roster`)
  }
  if (draw === undefined) {
    if (told.size > 0) add("agencies were told their winners without a draw")
    if (winnerRows > 0) add("there are winners without a draw")
    return
  }
  if (draw.winningNumber !== winningNumber) {
    add(`the draw was held with ${draw.winningNumber}, the ledger began with ${winningNumber}`)
  }
  for (const agency of roster) {
    if (found.standings.get(agency)?.finished !== true) {
      add(`the draw was held, and agency ${agency} has not finished`)
    }
  }
  for (const agency of new Set([...draw.winners.keys(), ...found.winners.keys()])) {
    const said = draw.winners.get(agency) ?? []
    const there = found.winners.get(agency) ?? []
    if (said.length !== there.length || said.some((document, index) => document !== there[index])) {
      add(
        `agency ${agency}: its ${said.length} stored winners are not the ${there.length} of its bets`
      )
    }
  }
}
