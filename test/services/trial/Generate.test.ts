import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { invalidField } from "../../../src/domain/BetRules.ts"
import { agencySizes, generateBets, sizeSpread } from "../../../src/services/trial/Generate.ts"

const integer = (minimum: number, maximum: number) =>
  Schema.Int.check(Schema.isBetween({ minimum, maximum }))

const Seed = integer(0, Number.MAX_SAFE_INTEGER)

describe("agencySizes", () => {
  it.prop(
    "adds up to the bets asked for, and gives every agency a size of at least 0",
    { agencies: integer(1, 200), bets: integer(0, 200_000), seed: Seed },
    ({ agencies, bets, seed }) => {
      const sizes = agencySizes({ agencies, bets, seed })
      assert.strictEqual(sizes.length, agencies)
      assert.isTrue(sizes.every((size) => Number.isInteger(size) && size >= 0))
      assert.strictEqual(sizes.reduce((sum, size) => sum + size, 0), bets)
    }
  )

  it.prop("makes the largest agency about 20 times the smallest", { seed: Seed }, ({ seed }) => {
    const sizes = agencySizes({ agencies: 5, bets: 80_000, seed })
    assert.closeTo(Math.max(...sizes) / Math.min(...sizes), sizeSpread, 0.1)
  })

  it("orders the agencies differently with another seed", () => {
    const orders = Array.from(
      { length: 10 },
      (_, seed) => agencySizes({ agencies: 5, bets: 80_000, seed }).join()
    )
    assert.isAbove(new Set(orders).size, 1)
  })
})

describe("generateBets", () => {
  it.prop(
    "makes valid bets only, the same ones for the same seed",
    { seed: Seed, agency: integer(1, 10_000) },
    ({ agency, seed }) => {
      const bets = [...generateBets(seed, agency, 200)]
      assert.strictEqual(bets.length, 200)
      for (const bet of bets) assert.isUndefined(invalidField(bet))
      assert.deepStrictEqual(bets, [...generateBets(seed, agency, 200)])
    }
  )

  it.prop(
    "makes other bets for another agency and for another seed",
    { seed: integer(0, 2 ** 40), agency: integer(1, 10_000) },
    ({ agency, seed }) => {
      const bets = [...generateBets(seed, agency, 20)].join()
      assert.notStrictEqual(bets, [...generateBets(seed, agency + 1, 20)].join())
      assert.notStrictEqual(bets, [...generateBets(seed + 1, agency, 20)].join())
    }
  )

  it("never changes what a seed gives: files made from it can be compared across versions", () => {
    assert.deepStrictEqual([...generateBets(42, 1, 2)], [
      ["Valentina", "Suárez", "49705582", "1950-06-02", "7136"],
      ["Carla", "Lorca", "20762023", "1966-04-23", "2608"]
    ])
    assert.deepStrictEqual(agencySizes({ agencies: 5, bets: 80_000, seed: 42 }), [
      4567,
      43_191,
      20_425,
      9657,
      2160
    ])
  })

  it("spreads the numbers evenly, so that a winning number needn't be planted", () => {
    const counts = new Uint32Array(10)
    let sevens = 0
    for (const bet of generateBets(7, 3, 80_000)) {
      const number = Number(bet[4])
      counts[Math.floor(number / 1000)] = (counts[Math.floor(number / 1000)] ?? 0) + 1
      if (number === 7574) sevens++
    }
    // 8,000 expected in each tenth, with a standard deviation of 85.
    for (const count of counts) assert.closeTo(count, 8000, 425)
    assert.isAbove(sevens, 0)
  })

  it("has two-word first names, accents, apostrophes, quotes and commas", () => {
    const bets = [...generateBets(42, 1, 10_000)]
    for (const wanted of [/^[^ ]+ [^ ]+$/, /[áéíóúñü]/]) {
      assert.isTrue(bets.some(([first]) => wanted.test(first)))
    }
    for (const wanted of [/[áéíóúñü]/, /'/, /"/, /,/]) {
      assert.isTrue(bets.some(([, last]) => wanted.test(last)))
    }
  })
})
