/** Reports as JSON, for scripts: keys in snake_case as in the protocol, and null for what is not known. */
import { Console, type Effect } from "effect"
import { Flag } from "effect/cli"

export const jsonFlag = Flag.Boolean("json").pipe(
  Flag.withDefault(false),
  Flag.withDescription("Print JSON, for scripts")
)

const withSnakeKeys = (value: unknown): unknown => {
  if (value === undefined) return null
  if (Array.isArray(value)) return value.map(withSnakeKeys)
  if (typeof value !== "object" || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [
      key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      withSnakeKeys(inner)
    ])
  )
}

export const printJson = (report: object): Effect.Effect<void> =>
  Console.log(JSON.stringify(withSnakeKeys(report), null, 2))
