/** The bets that a simulated agency sells. The judge compares everything with them. */
import { createHash } from "node:crypto"
import type { AgencyId } from "../../src/domain/Agency.ts"
import { type BetFields, fieldsOfBet } from "../../src/domain/Bet.ts"
import { recordOf } from "../../src/domain/BetRecord.ts"
import { csvLine } from "../../src/domain/Csv.ts"
import type { Random } from "./Random.ts"

const names = ["Ana", "José María", "Ñandú", "O'Higgins", "漢 字", "\"Pepe\""] as const
const namesWithCommas = [...names, "Lorca, hijo"] as const

export class AgencyFile {
  readonly agency: AgencyId
  readonly bets: ReadonlyArray<BetFields>
  /** The bets as the ledger keeps them. */
  readonly records: ReadonlyArray<string>

  constructor(agency: AgencyId, bets: ReadonlyArray<BetFields>) {
    this.agency = agency
    this.bets = bets
    this.records = bets.map((bet) => recordOf(fieldsOfBet(bet)))
  }

  /** The digest that RESUME_POINT must tell when so many bets are stored. */
  digest(bets: number): string {
    const hash = createHash("sha256")
    for (const bet of this.bets.slice(0, bets)) hash.update(csvLine(this.agency, fieldsOfBet(bet)))
    return hash.digest("hex")
  }

  winners(winningNumber: number): ReadonlyArray<string> {
    return this.bets.filter(({ number }) => Number(number) === winningNumber)
      .map(({ document }) => document)
  }
}

/**
 * A file of random bets. Some bets are the same as an earlier one, as when somebody buys twice; only the first is never
 * sold again, since that is the one coincidence that the protocol lets go wrong for agencies without `seq`. The field has
 * no way to send a name with a comma.
 */
export const randomFile = (
  random: Random,
  agency: AgencyId,
  length: number,
  winningNumber: number,
  withCommas: boolean
): AgencyFile => {
  const pickName = () => random.pick(withCommas ? namesWithCommas : names)
  const bets: Array<BetFields> = []
  for (let index = 0; index < length; index++) {
    const again = index > 2 && random.chance(0.05) ? bets[random.integer(1, index - 1)] : undefined
    bets.push(
      again ?? {
        firstName: pickName(),
        lastName: pickName(),
        document: String(agency * 1_000_000 + index),
        birthdate: `19${random.integer(10, 99)}-0${random.integer(1, 9)}-1${random.integer(0, 9)}`,
        number: random.chance(0.1)
          ? String(winningNumber).padStart(random.integer(1, 4), "0")
          : String(random.integer(0, 9999))
      }
    )
  }
  return new AgencyFile(agency, bets)
}
