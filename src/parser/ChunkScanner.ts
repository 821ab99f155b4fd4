/**
 * The parser's fast path: one pass over a chunk's bytes that validates them and writes the stored form (Chunk.ts)
 * as it goes. It knows what agencies usually send: the four keys in any order, any JSON white space, plain integers or
 * decimal strings, names in raw UTF-8 or with the `\u00e1` escapes of old clients, quotes in them, items as text or as
 * five strings.
 *
 * It never refuses. Whatever is unusual or wrong (another key, a key twice, other escapes, surrogates, bytes that
 * aren't UTF-8, a broken rule) makes it give up, and ChunkReader decides. The result that it does give is exactly the
 * one that ChunkReader would have given; tests compare the two.
 */
import * as ascii from "../domain/Ascii.ts"
import { documentCharactersMax, isCalendarDate, nameCharactersMax } from "../domain/BetRules.ts"
import type { Chunk, Parsed } from "../domain/Chunk.ts"
import { readMessage } from "./ChunkReader.ts"

const { carriageReturn, comma, lineFeed, quote, space, tab } = ascii
const hyphen = 0x2d
const zero = 0x30
const nine = 0x39
const colon = 0x3a
const openBracket = 0x5b
const backslash = 0x5c
const closeBracket = 0x5d
const letterU = 0x75
const openBrace = 0x7b
const closeBrace = 0x7d

/** So many digits always make a safe integer. Longer ones are left to ChunkReader. */
const counterDigitsMax = 15

/** 1 for the bytes that stand for themselves in a name: printable ASCII but for `"`, `,` and `\`. */
const plainInName = new Uint8Array(256)
for (let byte = 0x20; byte < 0x7f; byte++) plainInName[byte] = 1
for (const byte of [quote, comma, backslash]) plainInName[byte] = 0

const plainInDocument = new Uint8Array(256)
for (const character of "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789") {
  plainInDocument[character.charCodeAt(0)] = 1
}

/** The value of a hexadecimal digit, 16 for any other byte. */
const hexadecimal = new Uint8Array(256).fill(16)
for (let value = 0; value < 16; value++) {
  hexadecimal[value.toString(16).charCodeAt(0)] = value
  hexadecimal[value.toString(16).toUpperCase().charCodeAt(0)] = value
}

const keyBytes = (key: string): Uint8Array => new TextEncoder().encode(`"${key}"`)
const typeKey = keyBytes("type_message")
const agencyKey = keyBytes("agency")
const seqKey = keyBytes("seq")
const payloadKey = keyBytes("payload")

const isContinuation = (byte: number): boolean => (byte & 0xc0) === 0x80

/**
 * Position and output of one scan. Methods that can give up return false (or 0), and the scan ends there, in whatever
 * state it is. One instance is reused, and so is the memory of its output, which only grows.
 */
class Scanner {
  #input: Uint8Array = new Uint8Array(0)
  #at = 0
  /** Never needs more room than the input: separators take the place of commas and quotes, escapes only shrink. */
  #body = new Uint8Array(64 * 1024)
  #written = 0
  #numbers = new Uint8Array(8 * 1024)
  #bets = 0
  /** 0 and false: not seen. */
  #type = 0
  #agency = 0
  #seq = 0
  #payloadSeen = false

  scan(input: Uint8Array): Chunk | undefined {
    this.#input = input
    this.#at = 0
    this.#written = 0
    this.#bets = 0
    this.#type = 0
    this.#agency = 0
    this.#seq = 0
    this.#payloadSeen = false
    this.#reserve(input.length)
    if (!this.#message() || this.#type === 0 || this.#agency === 0 || !this.#payloadSeen) {
      return undefined
    }
    return {
      agency: this.#agency,
      seq: this.#seq === 0 ? undefined : this.#seq,
      last: this.#type === 2,
      bets: this.#bets,
      numbers: this.#numbers.subarray(0, 2 * this.#bets),
      body: this.#body.subarray(0, this.#written)
    }
  }

  #reserve(inputBytes: number): void {
    if (this.#body.length >= inputBytes) return
    const capacity = Math.max(inputBytes, 2 * this.#body.length)
    this.#body = new Uint8Array(capacity)
    // A bet takes at least 20 bytes of JSON, and 2 here.
    this.#numbers = new Uint8Array(capacity >> 3)
  }

  /** The next byte that isn't white space, without taking it; 0 at the end. */
  #peek(): number {
    const input = this.#input
    let at = this.#at
    while (at < input.length) {
      const byte = input[at] ?? 0
      if (byte !== space && byte !== lineFeed && byte !== carriageReturn && byte !== tab) {
        this.#at = at
        return byte
      }
      at++
    }
    this.#at = at
    return 0
  }

  /** Takes the byte if it comes next, after any white space. */
  #takes(byte: number): boolean {
    if (this.#peek() !== byte) return false
    this.#at++
    return true
  }

  #takesKey(key: Uint8Array): boolean {
    const at = this.#at
    if (at + key.length > this.#input.length) return false
    for (let index = 0; index < key.length; index++) {
      if (this.#input[at + index] !== key[index]) return false
    }
    this.#at = at + key.length
    if (this.#takes(colon)) return true
    // The next key to be compared begins where this one does.
    this.#at = at
    return false
  }

  #message(): boolean {
    if (!this.#takes(openBrace)) return false
    do {
      if (this.#peek() !== quote || !this.#member()) return false
    } while (this.#takes(comma))
    if (!this.#takes(closeBrace)) return false
    this.#peek()
    return this.#at === this.#input.length
  }

  /** A key that comes twice is treated as an unknown one. */
  #member(): boolean {
    if (this.#type === 0 && this.#takesKey(typeKey)) {
      this.#type = this.#counter(true)
      return this.#type === 1 || this.#type === 2
    }
    if (this.#agency === 0 && this.#takesKey(agencyKey)) {
      this.#agency = this.#counter(true)
      return this.#agency !== 0
    }
    if (this.#seq === 0 && this.#takesKey(seqKey)) {
      this.#seq = this.#counter(false)
      return this.#seq !== 0
    }
    if (!this.#payloadSeen && this.#takesKey(payloadKey)) {
      this.#payloadSeen = true
      return this.#items()
    }
    return false
  }

  /** An integer from 1, or a string of its digits where `text` allows one; 0 to give up. */
  #counter(text: boolean): number {
    const quoted = this.#peek() === quote
    if (quoted && !text) return 0
    if (quoted) this.#at++
    const begin = this.#at
    const input = this.#input
    let at = begin
    let value = 0
    while (at < input.length) {
      const byte = input[at] ?? 0
      if (byte < zero || byte > nine) break
      value = value * 10 + byte - zero
      at++
    }
    if (at - begin > counterDigitsMax || input[begin] === zero) return 0
    this.#at = at
    // A fraction or an exponent is left unread, and the caller gives up on it.
    if (quoted && input[this.#at++] !== quote) return 0
    return value
  }

  #items(): boolean {
    if (!this.#takes(openBracket)) return false
    if (this.#takes(closeBracket)) return true
    do {
      const byte = this.#peek()
      this.#at++
      if (byte === quote) {
        if (!this.#bet(comma)) return false
      } else if (byte === openBracket) {
        if (!this.#takes(quote) || !this.#bet(quote) || !this.#takes(closeBracket)) return false
      } else return false
    } while (this.#takes(comma))
    return this.#takes(closeBracket)
  }

  /** One bet, whose first four fields end with `end`: a comma in text items, a quote in five strings. */
  #bet(end: number): boolean {
    return this.#name(end) && this.#next(end)
      && this.#name(end) && this.#next(end)
      && this.#document(end) && this.#next(end)
      && this.#birthdate(end) && this.#next(end)
      && this.#number()
  }

  /** From the end of one field to the first byte of the next. */
  #next(end: number): boolean {
    return end === comma || (this.#takes(comma) && this.#takes(quote))
  }

  /** A byte beyond the input reads as 0, which is allowed nowhere, so that the input's end needs no check of its own. */
  #name(end: number): boolean {
    const input = this.#input
    const body = this.#body
    const plain = plainInName
    let at = this.#at
    let to = this.#written
    /** `to - begin` counts characters. */
    let begin = to
    for (;;) {
      let byte = input[at] ?? 0
      while (plain[byte] === 1) {
        body[to++] = byte
        byte = input[++at] ?? 0
      }
      if (byte === end) break
      if (byte === comma) {
        body[to++] = byte
        at++
        continue
      }
      const moved = byte === backslash ? this.#escape(at, to) : this.#multibyte(at, to)
      if (moved === 0) return false
      at += moved >> 3
      to += moved & 7
      begin += (moved & 7) - 1
    }
    const characters = to - begin
    if (characters === 0 || characters > nameCharactersMax) return false
    body[to] = tab
    this.#at = at + 1
    this.#written = to + 1
    return true
  }

  /**
   * Copies one character of two to four bytes, which must be well-formed UTF-8 and not a control character. Gives how
   * many bytes were read, times 8, plus how many were written; 0 to give up.
   */
  #multibyte(at: number, to: number): number {
    const input = this.#input
    const body = this.#body
    if (at + 4 > input.length) return 0
    const first = input[at] ?? 0
    const second = input[at + 1] ?? 0
    const third = input[at + 2] ?? 0
    if (first < 0xc2 || first > 0xf4 || !isContinuation(second)) return 0
    body[to] = first
    body[to + 1] = second
    if (first < 0xe0) return first === 0xc2 && second < 0xa0 ? 0 : 2 * 8 + 2
    if (!isContinuation(third)) return 0
    body[to + 2] = third
    if (first < 0xf0) {
      // Three bytes where two are enough; surrogates.
      if ((first === 0xe0 && second < 0xa0) || (first === 0xed && second > 0x9f)) return 0
      return 3 * 8 + 3
    }
    const fourth = input[at + 3] ?? 0
    // Four bytes where three are enough; above U+10FFFF.
    if ((first === 0xf0 && second < 0x90) || (first === 0xf4 && second > 0x8f)) return 0
    if (!isContinuation(fourth)) return 0
    body[to + 3] = fourth
    return 4 * 8 + 4
  }

  /** As {@link #multibyte}, for `\"`, `\\` and `\uXXXX`. An escaped ASCII character is unusual, and could be a comma. */
  #escape(at: number, to: number): number {
    const input = this.#input
    const body = this.#body
    const escaped = input[at + 1] ?? 0
    if (escaped === quote || escaped === backslash) {
      body[to] = escaped
      return 2 * 8 + 1
    }
    if (at + 6 > input.length || escaped !== letterU) return 0
    const a = hexadecimal[input[at + 2] ?? 0] ?? 16
    const b = hexadecimal[input[at + 3] ?? 0] ?? 16
    const c = hexadecimal[input[at + 4] ?? 0] ?? 16
    const d = hexadecimal[input[at + 5] ?? 0] ?? 16
    if ((a | b | c | d) > 15) return 0
    const code = a << 12 | b << 8 | c << 4 | d
    if (code < 0xa0 || (code >= 0xd800 && code <= 0xdfff)) return 0
    if (code < 0x800) {
      body[to] = 0xc0 | code >> 6
      body[to + 1] = 0x80 | code & 0x3f
      return 6 * 8 + 2
    }
    body[to] = 0xe0 | code >> 12
    body[to + 1] = 0x80 | code >> 6 & 0x3f
    body[to + 2] = 0x80 | code & 0x3f
    return 6 * 8 + 3
  }

  #document(end: number): boolean {
    const input = this.#input
    const body = this.#body
    const plain = plainInDocument
    const begin = this.#at
    let at = begin
    let to = this.#written
    let byte = input[at] ?? 0
    while (plain[byte] === 1) {
      body[to++] = byte
      byte = input[++at] ?? 0
    }
    const characters = at - begin
    if (characters === 0 || characters > documentCharactersMax || byte !== end) return false
    body[to] = tab
    this.#at = at + 1
    this.#written = to + 1
    return true
  }

  /** The integer of `count` digits from `at`; negative if one of them isn't a digit. */
  #digits(at: number, count: number): number {
    let value = 0
    for (let index = 0; index < count; index++) {
      const digit = (this.#input[at + index] ?? 0) - zero
      if (digit < 0 || digit > 9) return -1
      value = value * 10 + digit
    }
    return value
  }

  #birthdate(end: number): boolean {
    const input = this.#input
    const body = this.#body
    const at = this.#at
    const to = this.#written
    if (at + 11 > input.length || input[at + 4] !== hyphen || input[at + 7] !== hyphen) return false
    if (input[at + 10] !== end) return false
    const year = this.#digits(at, 4)
    if (!isCalendarDate(year, this.#digits(at + 5, 2), this.#digits(at + 8, 2))) return false
    for (let index = 0; index < 10; index++) body[to + index] = input[at + index] ?? 0
    body[to + 10] = tab
    this.#at = at + 11
    this.#written = to + 11
    return true
  }

  #number(): boolean {
    const input = this.#input
    const body = this.#body
    const begin = this.#at
    let at = begin
    let to = this.#written
    let value = 0
    let digit = (input[at] ?? 0) - zero
    while (digit >>> 0 <= 9) {
      value = value * 10 + digit
      body[to++] = digit + zero
      digit = (input[++at] ?? 0) - zero
    }
    if (at === begin || at - begin > 4 || digit !== quote - zero) return false
    body[to] = lineFeed
    this.#at = at + 1
    this.#written = to + 1
    const numbers = this.#numbers
    const bets = this.#bets++
    numbers[2 * bets] = value >> 8
    numbers[2 * bets + 1] = value & 0xff
    return true
  }
}

const scanner = new Scanner()

/**
 * The chunk, or undefined where ChunkReader must decide. `numbers` and `body` are views of memory that the next scan
 * overwrites: whoever keeps them copies them, as encodeResponse does.
 */
export const scanChunk = (body: Uint8Array): ({ readonly _tag: "Chunk" } & Chunk) | undefined => {
  const chunk = scanner.scan(body)
  return chunk === undefined ? undefined : { _tag: "Chunk", ...chunk }
}

/** Parses the body of a frame on the bets port. The result's bytes last until the next call: see {@link scanChunk}. */
export const parseMessage = (body: Uint8Array): Parsed => scanChunk(body) ?? readMessage(body)
