/**
 * A group of chunks in one buffer, to hand it to the writer thread in one transfer:
 *
 *     0       8                 8 + 32 × count
 *     ├───────┼─────────────────┼──────────────────────────────────────────┤
 *     │ count │ count entries   │ numbers, body, numbers, body … in order  │
 *     └───────┴─────────────────┴──────────────────────────────────────────┘
 *
 *     entry:  agency f64 │ seq f64 │ bets u32 │ last u32 │ numbers' bytes u32 │ body's bytes u32
 *
 * Little-endian. The buffer can be longer than the group: it travels back and is used again.
 */
import { invariant } from "../../../domain/Invariant.ts"

export interface GroupChunk {
  readonly agency: number
  readonly seq: number
  readonly last: boolean
  readonly bets: number
  readonly numbers: Uint8Array
  readonly body: Uint8Array
}

const headerBytes = 8
const entryBytes = 32
/** New buffers are a multiple of this, so that the next, slightly larger group fits as well. */
const granuleBytes = 64 * 1024

/** Lays the group out in `spare` if it fits there, else in a new buffer. */
export const encodeGroup = (
  group: ReadonlyArray<GroupChunk>,
  spare: ArrayBuffer | undefined
): ArrayBuffer => {
  let total = headerBytes + entryBytes * group.length
  for (const chunk of group) total += chunk.numbers.length + chunk.body.length
  const buffer = spare !== undefined && spare.byteLength >= total
    ? spare
    : new ArrayBuffer(Math.ceil(total / granuleBytes) * granuleBytes)
  const view = new DataView(buffer)
  const bytes = new Uint8Array(buffer)
  view.setUint32(0, group.length, true)
  let entry = headerBytes
  let at = headerBytes + entryBytes * group.length
  for (const chunk of group) {
    view.setFloat64(entry, chunk.agency, true)
    view.setFloat64(entry + 8, chunk.seq, true)
    view.setUint32(entry + 16, chunk.bets, true)
    view.setUint32(entry + 20, chunk.last ? 1 : 0, true)
    view.setUint32(entry + 24, chunk.numbers.length, true)
    view.setUint32(entry + 28, chunk.body.length, true)
    entry += entryBytes
    bytes.set(chunk.numbers, at)
    at += chunk.numbers.length
    bytes.set(chunk.body, at)
    at += chunk.body.length
  }
  invariant(at === total, "a group fills what was counted for it")
  return buffer
}

/** The group in the buffer. `numbers` and `body` are views: they are valid until the buffer is given back. */
export const decodeGroup = (buffer: ArrayBuffer): ReadonlyArray<GroupChunk> => {
  const view = new DataView(buffer)
  const count = view.getUint32(0, true)
  const group: Array<GroupChunk> = []
  let entry = headerBytes
  let at = headerBytes + entryBytes * count
  for (let index = 0; index < count; index++) {
    const numbersBytes = view.getUint32(entry + 24, true)
    const bodyBytes = view.getUint32(entry + 28, true)
    group.push({
      agency: view.getFloat64(entry, true),
      seq: view.getFloat64(entry + 8, true),
      bets: view.getUint32(entry + 16, true),
      last: view.getUint32(entry + 20, true) === 1,
      numbers: new Uint8Array(buffer, at, numbersBytes),
      body: new Uint8Array(buffer, at + numbersBytes, bodyBytes)
    })
    at += numbersBytes + bodyBytes
    entry += entryBytes
  }
  return group
}
