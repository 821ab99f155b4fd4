/**
 * Finds the answers of each system in what a connection receives, for the load generator in Node. A scanner takes one
 * whole answer from the front, or reports that it is not whole yet.
 */
import type { Protocol } from "./Requests.ts"

export interface Answer {
  readonly bytes: number
  /** Whether it is one of the answers that a request waits for. */
  readonly counts: boolean
  readonly good: boolean
  /** A message that the server expects at once. */
  readonly reply?: string
}

const notWhole = undefined

const scanLottery = (input: Buffer): Answer | undefined => {
  if (input.length < 4 || input.length < 4 + input.readUInt32BE(0)) return notWhole
  const bytes = 4 + input.readUInt32BE(0)
  const good = /"type_message": *1(?!\d)/.test(input.toString("latin1", 4, bytes))
  return { bytes, counts: true, good }
}

const scanRedis = (input: Buffer): Answer | undefined => {
  const line = input.indexOf("\n") + 1
  if (line === 0) return notWhole
  const type = input.toString("latin1", 0, 1)
  const size = type === "$" ? Number.parseInt(input.toString("latin1", 1, line), 10) : -1
  const bytes = line + (size >= 0 ? size + 2 : 0)
  return bytes > input.length ? notWhole : { bytes, counts: true, good: type !== "-" }
}

const scanPostgres = (input: Buffer): Answer | undefined => {
  if (input.length < 5 || input.length < 1 + input.readUInt32BE(1)) return notWhole
  const type = input.toString("latin1", 0, 1)
  return { bytes: 1 + input.readUInt32BE(1), counts: type === "Z", good: type !== "E" }
}

const scanNats = (input: Buffer): Answer | undefined => {
  const line = input.indexOf("\n") + 1
  if (line === 0) return notWhole
  const words = input.toString("latin1", 0, line - 2).split(" ")
  if (words[0] === "MSG") {
    const bytes = line + Number(words.at(-1)) + 2
    if (bytes > input.length) return notWhole
    return {
      bytes,
      counts: true,
      good: !input.toString("latin1", line, bytes).includes("\"error\"")
    }
  }
  return {
    bytes: line,
    counts: words[0] === "PONG" || words[0] === "-ERR",
    good: words[0] !== "-ERR",
    ...(words[0] === "PING" ? { reply: "PONG\r\n" } : {})
  }
}

export type Scanner = (input: Buffer) => Answer | undefined

export const scanners: Readonly<Record<Protocol, Scanner>> = {
  lottery: scanLottery,
  redis: scanRedis,
  postgres: scanPostgres,
  nats: scanNats
}
