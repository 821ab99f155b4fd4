/**
 * Plausible bets for trials and the demo, from a seed: the same seed gives the same bets on every machine. Names are
 * Argentine, with accents, two first names, and sometimes an apostrophe, a quote or a comma. Numbers are uniform, so any
 * winning number occurs about once in 10,000 bets. Agencies differ in size as real ones do.
 */
import type { FiveFields } from "../../domain/Bet.ts"
import { isCalendarDate, numberMax } from "../../domain/BetRules.ts"

export interface Generation {
  readonly agencies: number
  readonly bets: number
  readonly seed: number
}

/** The largest agency has this many times the bets of the smallest. */
export const sizeSpread = 20

const birthYearMin = 1930
const birthYearMax = 2006
const documentMin = 10_000_000
const documentMax = 49_999_999

const firstNames =
  ("Agustín,Ailén,Alejandro,Ámbar,Ana,Axel,Bautista,Belén,Benicio,Bruno,Camila,Carla,Catalina,"
    + "Ciro,Clara,Delfina,Diego,Elena,Emanuel,Emilia,Ezequiel,Facundo,Felipe,Franco,Gabriel,Gael,Guadalupe,Ignacio,"
    + "Inés,Isabella,Jazmín,Joaquín,Juan,Julieta,Lautaro,Leonel,Lionel,Lola,Lucía,Luján,Magalí,Malena,Martina,"
    + "Mateo,Maximiliano,Micaela,Milagros,Morena,Nahuel,Nicolás,Olivia,Pilar,Ramiro,Renata,Santiago,Sofía,Soledad,"
    + "Thiago,Tomás,Uma,Valentina,Valentín,Victoria,Zoe").split(",")

const lastNames =
  ("Abadía,Acosta,Aguirre,Álvarez,Andrade,Arellano,Arredondo,Benítez,Borges,Cabrera,Cáceres,"
    + "Córdoba,Demichelis,Domínguez,Duarte,Echeverría,Fernández,Ferreyra,Giménez,Giordano,Gómez,González,Güiraldes,"
    + "Huarte,Ibáñez,Juárez,Ledesma,León,Lorca,Luna,Mamani,Marín,Martínez,Mejía,Morales,Muñoz,Núñez,Ojeda,Ortiz,"
    + "Páez,Peralta,Pereyra,Quiroga,Quispe,Raimundo,Ríos,Rodríguez,Rotundo,Saldaña,Sánchez,Soto,Suárez,Toledo,"
    + "Valenzuela,Vázquez,Vera,Villalba,Yáñez,Zárate,Zúñiga").split(",")

/** Names that a bet file must quote, or that a careless reader gets wrong. One bet in a hundred has one of them. */
const awkwardLastNames = [
  "D'Angelo",
  "O'Higgins",
  "Dell'Oro",
  "Núñez \"Pepe\"",
  "\"Tito\" Peña",
  "Lorca, hijo",
  "Álzaga Unzué, viuda de Güemes"
]
const awkwardIn = 100

/** xoshiro128** of unsigned 32-bit words; splitmix32 fills its state. */
class Random {
  readonly #state: Uint32Array

  constructor(seed: number, stream: number) {
    let a = Math.imul(seed, 0x85ebca6b) ^ Math.imul(Math.floor(seed / 2 ** 32), 0x27d4eb2f)
      ^ Math.imul(stream + 1, 0xc2b2ae35)
    this.#state = Uint32Array.from({ length: 4 }, () => {
      a = (a + 0x9e3779b9) | 0
      let word = a ^ (a >>> 16)
      word = Math.imul(word, 0x21f0aaad)
      word ^= word >>> 15
      word = Math.imul(word, 0x735a2d97)
      return word ^ (word >>> 15)
    })
  }

  next(): number {
    const [s0 = 0, s1 = 0, s2 = 0, s3 = 0] = this.#state
    const scrambled = Math.imul(s1, 5)
    const t2 = s2 ^ s0
    const t3 = s3 ^ s1
    this.#state[0] = s0 ^ t3
    this.#state[1] = s1 ^ t2
    this.#state[2] = t2 ^ (s1 << 9)
    this.#state[3] = (t3 << 11) | (t3 >>> 21)
    return Math.imul((scrambled << 7) | (scrambled >>> 25), 9) >>> 0
  }

  /** An integer from 0 up to but not including `count`. */
  below(count: number): number {
    return Math.floor((this.next() / 2 ** 32) * count)
  }

  between(minimum: number, maximum: number): number {
    return minimum + this.below(maximum - minimum + 1)
  }

  pick<A>(values: ReadonlyArray<A>, fallback: A): A {
    return values[this.below(values.length)] ?? fallback
  }
}

/**
 * How many bets each agency sells: geometric from the largest to the smallest, in an order that the seed shuffles.
 * Adds up to `bets` exactly.
 */
export const agencySizes = ({ agencies, bets, seed }: Generation): ReadonlyArray<number> => {
  const random = new Random(seed, 0)
  const weights = Array.from(
    { length: agencies },
    (_, rank) => sizeSpread ** (-rank / Math.max(1, agencies - 1))
  )
  for (let last = weights.length - 1; last > 0; last--) {
    const other = random.below(last + 1)
    const weight = weights[last] ?? 0
    weights[last] = weights[other] ?? 0
    weights[other] = weight
  }
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  // Rounding the running total, not each share, leaves no remainder to distribute.
  let upTo = 0
  let given = 0
  return weights.map((weight, index) => {
    upTo += weight
    const until = index === agencies - 1 ? bets : Math.round((bets * upTo) / total)
    const size = until - given
    given = until
    return size
  })
}

const digits = (value: number, length: number): string => String(value).padStart(length, "0")

const generateBirthdate = (random: Random): string => {
  const year = random.between(birthYearMin, birthYearMax)
  const month = random.between(1, 12)
  const day = random.between(1, 31)
  return isCalendarDate(year, month, day)
    ? `${year}-${digits(month, 2)}-${digits(day, 2)}`
    : generateBirthdate(random)
}

const generateBet = (random: Random): FiveFields => {
  const name = random.pick(firstNames, "")
  const secondName = random.pick(firstNames, "")
  // About half of the people have two first names.
  const first = random.below(2) === 0 && secondName !== name ? `${name} ${secondName}` : name
  const last = random.below(awkwardIn) === 0
    ? random.pick(awkwardLastNames, "")
    : random.pick(lastNames, "")
  return [
    first,
    last,
    String(random.between(documentMin, documentMax)),
    generateBirthdate(random),
    String(random.between(0, numberMax))
  ]
}

/** The bets of one agency, one by one. They don't depend on the other agencies. */
export function* generateBets(seed: number, agency: number, count: number): Generator<FiveFields> {
  const random = new Random(seed, agency)
  for (let made = 0; made < count; made++) yield generateBet(random)
}
