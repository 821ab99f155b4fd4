/**
 * The log that operators read and their scripts grep: one line per event, `action: … | result: … | name: value`, after
 * `YYYY-MM-DD HH:MM:SS LEVEL    ` (local time), or one JSON object, whose time has the offset. Lines are gathered and written together, off the
 * path of chunks, at the latest after `log.flushMs`; the buffer is flushed at once when it is large and on closing.
 * Where they aren't read, what is held of them is bounded: lines beyond are left out, counted, and told of.
 * It never holds a bettor's name, document or birthdate.
 */
import { Cause, Context, Effect, Layer, Logger, References } from "effect"
import { localTime } from "../../domain/LocalTime.ts"
import { type LogLevel, Settings } from "./Settings.ts"

export type Details = Readonly<Record<string, string | number | boolean>>

const severity: Readonly<Record<LogLevel, number>> = {
  DEBUG: 10,
  INFO: 20,
  WARNING: 30,
  ERROR: 40,
  CRITICAL: 50
}

/** A buffer of this many characters is written without waiting. */
const bufferedCharactersMax = 64 * 1024

export interface LogOptions {
  readonly level: LogLevel
  readonly format: "text" | "json"
  readonly flushMs: number
}

/** Takes finished text, for instance `process.stdout.write`. */
export type LogSink = (text: string) => void

/** Lines that nobody has read yet. */
export interface UnreadLines {
  /** Beyond it lines are left out, until all that is held was read. */
  readonly bytesMax: number
  /** What the sink holds. */
  readonly bytes: () => number
}

const readAtOnce: UnreadLines = { bytesMax: Infinity, bytes: () => 0 }

/** How often it is looked whether lines that were left out can be told of. */
const leftOutMs = 100

const two = (value: number): string => (value < 10 ? `0${value}` : String(value))

const textTime = (at: Date): string =>
  `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} `
  + `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`

/** A value must not break its line or look like another pair. */
const plain = (value: string | number | boolean): string =>
  // oxlint-disable-next-line no-control-regex -- control characters are what it removes
  typeof value === "string" ? value.replace(/[|\u0000-\u001f\u007f-\u009f]/g, "/") : String(value)

interface Head {
  readonly level: LogLevel
  readonly result: string
  readonly text: string
}

export class LogWriter {
  readonly #threshold: number
  readonly #options: LogOptions
  readonly #sink: LogSink
  #buffer = ""
  #timer: NodeJS.Timeout | undefined
  #second = -1
  #time = ""
  readonly #unread: UnreadLines
  #leftOut = 0
  /** How lines of an action begin in this second. */
  readonly #heads = new Map<string, Head>()

  constructor(options: LogOptions, sink: LogSink, unread: UnreadLines = readAtOnce) {
    this.#unread = unread
    this.#options = options
    this.#threshold = severity[options.level]
    this.#sink = sink
  }

  enabled(level: LogLevel): boolean {
    return severity[level] >= this.#threshold
  }

  write(level: LogLevel, action: string, result: string, details?: Details): void {
    if (severity[level] < this.#threshold) return
    if (
      this.#leftOut > 0 || this.#buffer.length + this.#unread.bytes() > this.#unread.bytesMax
    ) return this.#leaveOut()
    this.#append(level, action, result, details)
    if (this.#buffer.length >= bufferedCharactersMax || severity[level] >= severity.ERROR) {
      this.flush()
    } else this.#timer ??= setTimeout(() => this.flush(), this.#options.flushMs)
  }

  #leaveOut(): void {
    this.#leftOut++
    this.#timer ??= setTimeout(() => this.flush(), leftOutMs)
  }

  #append(level: LogLevel, action: string, result: string, details?: Details): void {
    this.#buffer += this.#options.format === "text"
      ? this.#textLine(level, action, result, details)
      : this.#jsonLine(level, action, result, details)
  }

  flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#leftOut > 0) this.#tellLeftOut()
    if (this.#buffer === "") return
    const text = this.#buffer
    this.#buffer = ""
    this.#sink(text)
  }

  /** Once all that was held is read: the lines in between are missing then, and none before or after. */
  #tellLeftOut(): void {
    if (this.#unread.bytes() > 0) {
      this.#timer = setTimeout(() => this.flush(), leftOutMs)
      return
    }
    const lines = this.#leftOut
    this.#leftOut = 0
    this.#append("WARNING", "log", "left_out", {
      cantidad: lines,
      detail: "the log was not read in time: see log.unreadBytesMax"
    })
  }

  #textLine(level: LogLevel, action: string, result: string, details?: Details): string {
    let line = this.#head(level, action, result)
    if (details !== undefined) {
      for (const name in details) line += ` | ${name}: ${plain(details[name] ?? "")}`
    }
    return `${line}\n`
  }

  /** Kept for the second: making it for every line would cost more than the rest of the line. */
  #head(level: LogLevel, action: string, result: string): string {
    const second = Math.floor(Date.now() / 1000)
    if (second !== this.#second) {
      this.#second = second
      this.#time = textTime(new Date(second * 1000))
      this.#heads.clear()
    }
    const kept = this.#heads.get(action)
    if (kept?.level === level && kept.result === result) return kept.text
    // Joined, it is one piece for V8; a template would be a rope, walked anew in every line.
    const text = [this.#time, level.padEnd(8), `action: ${action} | result: ${result}`].join(" ")
    this.#heads.set(action, { level, result, text })
    return text
  }

  #jsonLine(level: LogLevel, action: string, result: string, details?: Details): string {
    return `${JSON.stringify({ time: this.#jsonTime(), level, action, result, ...details })}\n`
  }

  /** `2026-11-24T21:03:05.123-03:00`: the clock on the wall, as in the text format, and where that wall is. */
  #jsonTime(): string {
    const now = Date.now()
    const second = Math.floor(now / 1000)
    if (second !== this.#second) {
      this.#second = second
      this.#time = localTime(new Date(second * 1000))
    }
    const milliseconds = String(now - 1000 * second).padStart(3, "0")
    return `${this.#time.slice(0, secondsEnd)}.${milliseconds}${this.#time.slice(secondsEnd)}`
  }
}

/** Where the offset begins in a time to the second. */
const secondsEnd = "2026-11-24T21:03:05".length

const writeToStdout: LogSink = (text) => {
  process.stdout.write(text)
}

export class OperatorLog extends Context.Service<OperatorLog, LogWriter>()(
  "loteria-nacional/services/base/OperatorLog"
) {
  /** Writes to stdout; what Effect itself logs goes the same way. */
  static readonly layer = Layer.unwrap(Effect.gen(function*() {
    const { log } = yield* Settings
    const writer = yield* Effect.acquireRelease(
      Effect.sync(() => {
        // A reader of our stdout that went away must not end the server.
        process.stdout.on("error", () => {})
        return new LogWriter(log, writeToStdout, {
          bytesMax: log.unreadBytesMax,
          bytes: () => process.stdout.destroyed ? 0 : process.stdout.writableLength
        })
      }),
      (opened) => Effect.sync(() => opened.flush())
    )
    return Layer.mergeAll(
      Layer.succeed(OperatorLog, writer),
      Logger.layer([effectLogger(writer)]),
      Layer.succeed(References.MinimumLogLevel, "Info")
    )
  }))
}

const levelOf: Readonly<Record<string, LogLevel>> = {
  Fatal: "CRITICAL",
  Error: "ERROR",
  Warn: "WARNING",
  Info: "INFO"
}

const effectLogger = (writer: LogWriter) =>
  Logger.make<unknown, void>(({ cause, logLevel, message }) => {
    writer.write(levelOf[logLevel] ?? "DEBUG", "log", "info", {
      message: Array.isArray(message) ? message.map(String).join(" ") : String(message),
      ...(cause.reasons.length === 0 ? {} : { cause: Cause.pretty(cause) })
    })
  })
