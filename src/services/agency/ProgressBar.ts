/**
 * A line at the foot of a terminal that says how far a delivery is. It is drawn over itself; other lines are written
 * above it. Only for terminals: what goes to a file or a pipe has no line to draw over.
 */
import { Clock, Effect, type Scope } from "effect"
import { createLogUpdate } from "log-update"
import type { DeliveryProgress } from "./AgencyClient.ts"
import { formatDuration, pace, progressLine, sighted, type Sighting } from "./Pace.ts"

/** Often enough to look alive. */
const redrawMs = 100
const wholeSecondMs = 1000

/** A terminal that doesn't tell its width. */
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
    // Hiding the cursor would bring listeners for signals, and those are ours.
    this.#draw = createLogUpdate(terminal, { showCursor: true })
  }

  /** Shows the line in place of the one before. */
  show(line: string): void {
    this.#line = line
    this.#draw(line)
  }

  /** Lets `write` put whole lines where the line stood, and shows it again below them. */
  above(write: () => void): void {
    if (this.#line === "") return write()
    this.#draw.clear()
    write()
    this.#draw(this.#line)
  }

  /** Leaves the line as it is, and goes on below it. */
  keep(): void {
    this.#line = ""
    this.#draw.done()
  }

  /** Takes the line away. */
  clear(): void {
    if (this.#line !== "") this.#draw.clear()
    this.#line = ""
  }

  /** Follows a delivery for as long as the scope lasts, and leaves its last line; gives what to tell it of progress. */
  follow(
    total: number
  ): Effect.Effect<(progress: DeliveryProgress) => void, never, Scope.Scope> {
    let sightings: ReadonlyArray<Sighting> = []
    let progress: DeliveryProgress | undefined
    const redraw = Effect.map(Clock.currentTimeMillis, (atMs) => {
      // How much the central holds isn't known before it is reached.
      if (progress?.bets !== undefined && !progress.waiting) {
        sightings = sighted(sightings, { atMs, bets: progress.bets })
      }
      const rate = progress?.waiting === true ? 0 : pace(sightings)
      const columns = this.#terminal.columns ?? columnsDefault
      this.show(progressLine(progress?.bets ?? 0, total, rate, columns))
    })
    return Effect.gen({ self: this }, function*() {
      yield* Effect.addFinalizer(() => Effect.andThen(redraw, Effect.sync(() => this.keep())))
      yield* redraw.pipe(Effect.delay(redrawMs), Effect.forever, Effect.forkScoped)
      return (told) => {
        // A rate from before the central was lost says nothing about now, nor about afterwards.
        if (told.waiting) sightings = []
        progress = told
      }
    })
  }

  /** Says what is waited for and since when, for as long as the scope lasts. */
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
