/** Reads columns of rows by the types that they must have. Another type is a mistake of ours in a statement. */
import { invariant } from "../../../domain/Invariant.ts"

export type Row = Readonly<Record<string, unknown>>

/** A `bigint` of PostgreSQL comes as a BigInt, an `integer` as a number. */
export const integer = (row: Row | undefined, column: string): number => {
  const value = Number(row?.[column])
  invariant(Number.isSafeInteger(value), "a column holds a whole number")
  return value
}

export const text = (row: Row | undefined, column: string): string => {
  const value = row?.[column]
  invariant(typeof value === "string", "a column holds text")
  return value
}

export const isNull = (row: Row | undefined, column: string): boolean => row?.[column] === null

export const flag = (row: Row | undefined, column: string): boolean => {
  const value = row?.[column]
  invariant(typeof value === "boolean", "a column holds true or false")
  return value
}

/** A view of what came from the socket, which it keeps in memory. */
export const bytes = (row: Row | undefined, column: string): Uint8Array => {
  const value = row?.[column]
  invariant(value instanceof Uint8Array, "a column holds bytes")
  return value
}
