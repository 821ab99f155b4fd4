/**
 * The log that operators read and search: one line per event, either
 * `YYYY-MM-DD HH:MM:SS LEVEL    action: … | result: … | name: value` in local time, or one JSON object whose time has
 * the offset. Lines are gathered and written together, off the path of chunks: after `flushMs` at the latest, and at
 * once when the buffer is large, for errors, and on closing. When nobody reads the output, memory for it is bounded:
 * further lines are left out and counted. No line holds a bettor's name, document or birthdate.
 */
import { Cause, Context, Effect, Layer, Logger, References } from "effect"
import { localTime } from "../../domain/LocalTime.ts"
import { type LogLevel, logLevels } from "./LogLevel.ts"

export type Details = Readonly<Record<string, string | number | boolean>>

const levelsFrom = (level: LogLevel): ReadonlySet<LogLevel> =>
  new Set(logLevels.slice(logLevels.indexOf(level)))

/** Lines of these levels are written at once. */
const urgent = levelsFrom("ERROR")

/** A buffer of this many characters is written at once. */
const bufferedCharactersMax = 64 * 1024

export interface LogOptions {
  readonly level: LogLevel
  readonly format: "text" | "json"
  readonly flushMs: number
}

/** Takes whole lines. */
export type LogSink = (text: string) => void

/** Lines that the sink holds until they are read. */
interface UnreadLines {
  /** Above it, lines are left out until everything that the sink holds has been read. */
  readonly bytesMax: number
  readonly bytes: () => number
}

const readAtOnce: UnreadLines = { bytesMax: Infinity, bytes: () => 0 }

/** The interval of attempts to report lines that were left out. */
const leftOutMs = 100

const two = (value: number): string => (value < 10 ? `0${value}` : String(value))

const textTime = (at: Date): string =>
  `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} `
  + `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`

/** A value must neither break its line nor look like another pair. */
const plain = (value: string | number | boolean): string =>
  // oxlint-disable-next-line no-control-regex -- control characters are what it removes
  typeof value === "string" ? value.replace(/[|\u0000-\u001f\u007f-\u009f]/g, "/") : String(value)

interface Head {
  readonly level: LogLevel
  readonly result: string
  readonly text: string
}

export class LogWriter {
  readonly #enabled: ReadonlySet<LogLevel>
  readonly #options: LogOptions
  readonly #sink: LogSink
  #buffer = ""
  #timer: NodeJS.Timeout | undefined
  #second = -1
  #time = ""
  readonly #unread: UnreadLines
  #leftOut = 0
  /** The beginning of an action's lines in the current second. */
  readonly #heads = new Map<string, Head>()

  constructor(options: LogOptions, sink: LogSink, unread: UnreadLines = readAtOnce) {
    this.#unread = unread
    this.#options = options
    this.#enabled = levelsFrom(options.level)
    this.#sink = sink
  }

  enabled(level: LogLevel): boolean {
    return this.#enabled.has(level)
  }

  write(level: LogLevel, action: string, result: string, details?: Details): void {
    if (!this.#enabled.has(level)) return
    if (
      this.#leftOut > 0 || this.#buffer.length + this.#unread.bytes() > this.#unread.bytesMax
    ) return this.#leaveOut()
    this.#append(level, action, result, details)
    if (this.#buffer.length >= bufferedCharactersMax || urgent.has(level)) this.flush()
    else this.#timer ??= setTimeout(() => this.flush(), this.#options.flushMs)
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
    if (this.#leftOut > 0) this.#reportLeftOut()
    if (this.#buffer === "") return
    const text = this.#buffer
    this.#buffer = ""
    this.#sink(text)
  }

  /** Only after everything that was held has been read: so no line before or after the gap is missing. */
  #reportLeftOut(): void {
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

  /** Cached for the second: formatting it for every line would cost more than the rest of the line. */
  #head(level: LogLevel, action: string, result: string): string {
    const second = Math.floor(Date.now() / 1000)
    if (second !== this.#second) {
      this.#second = second
      this.#time = textTime(new Date(second * 1000))
      this.#heads.clear()
    }
    const kept = this.#heads.get(action)
    if (kept?.level === level && kept.result === result) return kept.text
    // `join` makes a flat string; a template would make a rope, which V8 walks again for every line.
    const text = [this.#time, level.padEnd(8), `action: ${action} | result: ${result}`].join(" ")
    this.#heads.set(action, { level, result, text })
    return text
  }

  #jsonLine(level: LogLevel, action: string, result: string, details?: Details): string {
    return `${JSON.stringify({ time: this.#jsonTime(), level, action, result, ...details })}\n`
  }

  /** `2026-11-24T21:03:05.123-03:00`: local time, as in the text format, with its offset. */
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

/** The position of the offset in a time with seconds. */
const secondsEnd = "2026-11-24T21:03:05".length

const writeToStdout: LogSink = (text) => {
  process.stdout.write(text)
}

export class OperatorLog extends Context.Service<OperatorLog, LogWriter>()(
  "loteria-nacional/services/base/OperatorLog"
) {
  /** Writes to stdout; Effect's own log goes the same way. */
  static readonly layer = (
    { unreadBytesMax, ...options }: LogOptions & { readonly unreadBytesMax: number }
  ) =>
    Layer.unwrap(Effect.gen(function*() {
      const writer = yield* Effect.acquireRelease(
        Effect.sync(() => {
          // A reader of stdout that goes away must not end the server.
          process.stdout.on("error", () => {})
          return new LogWriter(options, writeToStdout, {
            bytesMax: unreadBytesMax,
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
