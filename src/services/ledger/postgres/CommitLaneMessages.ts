/**
 * Messages that run a prepared statement, written into one buffer that is kept: it grows to the largest group that it ever
 * held, so that a group costs no allocation, and no copy but the one into it. All values are in PostgreSQL's binary
 * format, and no value is null.
 */

/** A type of PostgreSQL, and the one of its arrays, by their fixed ids. */
export interface ColumnType {
  readonly oid: number
  readonly arrayOid: number
}
export const bool: ColumnType = { oid: 16, arrayOid: 1000 }
export const bytea: ColumnType = { oid: 17, arrayOid: 1001 }
export const int8: ColumnType = { oid: 20, arrayOid: 1016 }
export const int4: ColumnType = { oid: 23, arrayOid: 1007 }
export const text: ColumnType = { oid: 25, arrayOid: 1009 }

/** New buffers are a multiple of this, so that the next, slightly larger group fits as well. */
const granuleBytes = 64 * 1024
const twoTo32 = 2 ** 32
const binary = 1

export class CommitLaneMessages {
  #bytes = Buffer.allocUnsafeSlow(granuleBytes)
  #view = viewOf(this.#bytes)
  #end = 0

  /**
   * Bind, Execute and Sync for the statement. `parameters` writes so many of them, in less than `capacity` bytes. What
   * it gives is valid until the next call.
   */
  run(statement: string, count: number, capacity: number, parameters: () => void): Uint8Array {
    this.#clear(capacity + fixedBytes)
    this.#message("B", () => {
      this.#cString("")
      this.#cString(statement)
      // One format for all parameters.
      this.#int16(1)
      this.#int16(binary)
      this.#int16(count)
      parameters()
      // One format for all columns of the result.
      this.#int16(1)
      this.#int16(binary)
    })
    this.#message("E", () => {
      this.#cString("")
      // All rows.
      this.#int32(0)
    })
    this.#message("S", () => {})
    return this.#bytes.subarray(0, this.#end)
  }

  /** A safe integer from 0. */
  readonly int8 = (value: number): void => {
    this.#int32(8)
    this.#view.setUint32(this.#end, Math.floor(value / twoTo32))
    this.#view.setUint32(this.#end + 4, value % twoTo32)
    this.#end += 8
  }

  readonly int4 = (value: number): void => {
    this.#int32(4)
    this.#int32(value)
  }

  readonly bool = (value: boolean): void => {
    this.#int32(1)
    this.#byte(value ? 1 : 0)
  }

  readonly bytes = (value: Uint8Array): void => {
    this.#int32(value.length)
    this.#bytes.set(value, this.#end)
    this.#end += value.length
  }

  /** An array of one dimension; an empty one has none. `element` writes one value of the type. */
  readonly array = <A>(
    type: ColumnType,
    of: ReadonlyArray<A>,
    element: (one: A) => void
  ): void => {
    this.#withLength(0, () => {
      this.#int32(of.length === 0 ? 0 : 1)
      this.#int32(0)
      this.#int32(type.oid)
      if (of.length === 0) return
      this.#int32(of.length)
      this.#int32(1)
      for (const one of of) element(one)
    })
  }

  #clear(capacity: number): void {
    this.#end = 0
    if (capacity <= this.#bytes.length) return
    this.#bytes = Buffer.allocUnsafeSlow(Math.ceil(capacity / granuleBytes) * granuleBytes)
    this.#view = viewOf(this.#bytes)
  }

  #message(type: string, content: () => void): void {
    this.#byte(type.charCodeAt(0))
    // A message's length counts itself.
    this.#withLength(4, content)
  }

  #withLength(more: number, content: () => void): void {
    const at = this.#end
    this.#end += 4
    content()
    this.#view.setInt32(at, this.#end - at - 4 + more)
  }

  #byte(value: number): void {
    this.#view.setUint8(this.#end, value)
    this.#end += 1
  }

  #int16(value: number): void {
    this.#view.setInt16(this.#end, value)
    this.#end += 2
  }

  #int32(value: number): void {
    this.#view.setInt32(this.#end, value)
    this.#end += 4
  }

  /** ASCII, ended by a zero. */
  #cString(value: string): void {
    this.#end += this.#bytes.write(value, this.#end, "latin1")
    this.#byte(0)
  }
}

/** More than the messages need besides their parameters. */
const fixedBytes = 256

const viewOf = (bytes: Buffer): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
