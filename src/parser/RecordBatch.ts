/** Collects length-prefixed records in one piece of memory, which is used again after each {@link RecordBatch.take}. */
import { frameHeaderBytes } from "../domain/Limits.ts"

export const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)

export class RecordBatch {
  protected bytes: Uint8Array
  protected view: DataView
  #length = 0

  constructor(capacity: number) {
    this.bytes = new Uint8Array(capacity)
    this.view = viewOf(this.bytes)
  }

  get length(): number {
    return this.#length
  }

  /** Everything appended since the last call, as a view that the next record overwrites. */
  take(): Uint8Array {
    const taken = this.bytes.subarray(0, this.#length)
    this.#length = 0
    return taken
  }

  /** Makes room for a record, writes its length, and gives the offset of the record itself. */
  protected append(recordBytes: number): number {
    const at = this.#length
    this.#length = at + frameHeaderBytes + recordBytes
    if (this.#length > this.bytes.length) {
      const grown = new Uint8Array(Math.max(this.#length, 2 * this.bytes.length))
      grown.set(this.bytes.subarray(0, at))
      this.bytes = grown
      this.view = viewOf(grown)
    }
    this.view.setUint32(at, recordBytes)
    return at + frameHeaderBytes
  }
}
