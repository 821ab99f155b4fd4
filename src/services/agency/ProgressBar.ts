/**
 * A line at the foot of a terminal that shows how far a delivery is. Each line is drawn over the one before, and other
 * output is written above it. Only for terminals: in a file or a pipe, no line can be drawn over.
 */
import { Clock, Effect, type Scope } from "effect"
import { createLogUpdate } from "log-update"
import type { DeliveryProgress } from "./AgencyClient.ts"
import { formatDuration, progressLine, rateOf, type Sample, withSample } from "./Pace.ts"

const redrawMs = 100
const wholeSecondMs = 1000

/** The width of a terminal that doesn't tell it. */
const columnsDefault = 80

export interface Terminal extends NodeJS.WritableStream {
  readonly columns?: number
}

export class ProgressBar {
  readonly #terminal: Terminal
  readonly #draw: ReturnType<typeof createLogUpdate>
  #line = ""

  constructor(terminal: Terminal) {
    this.#terminal = terminal
    // To hide the cursor, it would listen to signals, which base/Signals.ts handles.
    this.#draw = createLogUpdate(terminal, { showCursor: true })
  }

  /** Shows the line in place of the one before. */
  show(line: string): void {
    this.#line = line
    this.#draw(line)
  }

  /** Clears the line, calls `write`, which writes whole lines, and shows the line again below them. */
  above(write: () => void): void {
    if (this.#line === "") return write()
    this.#draw.clear()
    write()
    this.#draw(this.#line)
  }

  /** Leaves the line on the screen; further output goes below it. */
  keep(): void {
    this.#line = ""
    this.#draw.done()
  }

  /** Removes the line. */
  clear(): void {
    if (this.#line !== "") this.#draw.clear()
    this.#line = ""
  }

  /** Shows a delivery's progress until the scope ends, and leaves the last line. Gives the function that takes progress. */
  follow(
    total: number
  ): Effect.Effect<(progress: DeliveryProgress) => void, never, Scope.Scope> {
    let samples: ReadonlyArray<Sample> = []
    let progress: DeliveryProgress | undefined
    const redraw = Effect.map(Clock.currentTimeMillis, (atMs) => {
      // Before the central is reached, it isn't known how much it holds.
      if (progress?.bets !== undefined && !progress.waiting) {
        samples = withSample(samples, { atMs, bets: progress.bets })
      }
      const rate = progress?.waiting === true ? 0 : rateOf(samples)
      const columns = this.#terminal.columns ?? columnsDefault
      this.show(progressLine(progress?.bets ?? 0, total, rate, columns))
    })
    return Effect.gen({ self: this }, function*() {
      yield* Effect.addFinalizer(() => Effect.andThen(redraw, Effect.sync(() => this.keep())))
      yield* redraw.pipe(Effect.delay(redrawMs), Effect.forever, Effect.forkScoped)
      return (newest) => {
        // A rate from before the connection was lost says nothing about the time after.
        if (newest.waiting) samples = []
        progress = newest
      }
    })
  }

  /** Shows what is waited for, and for how long it has been, until the scope ends. */
  wait(what: string): Effect.Effect<void, never, Scope.Scope> {
    return Effect.gen({ self: this }, function*() {
      const since = yield* Clock.currentTimeMillis
      const redraw = Effect.map(Clock.currentTimeMillis, (now) => {
        const columns = this.#terminal.columns ?? columnsDefault
        const line = now - since < wholeSecondMs
          ? what
          : `${what} (${formatDuration(now - since)})`
        this.show(line.slice(0, Math.max(0, columns - 1)))
      })
      yield* Effect.addFinalizer(() => Effect.sync(() => this.clear()))
      yield* redraw
      yield* redraw.pipe(Effect.delay(wholeSecondMs), Effect.forever, Effect.forkScoped)
    })
  }
}
