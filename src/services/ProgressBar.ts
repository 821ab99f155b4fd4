/**
 * A line at the foot of a terminal that says how far a delivery is. It is drawn over itself; other lines are written
 * above it. Only for terminals: what goes to a file or a pipe has no line to draw over.
 */
import { Clock, Effect, type Scope } from "effect"
import { createLogUpdate } from "log-update"
import { pace, progressLine, sighted, type Sighting } from "../domain/Pace.ts"

/** Often enough to look alive. */
const redrawMs = 100

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
  follow(total: number): Effect.Effect<(bets: number) => Effect.Effect<void>, never, Scope.Scope> {
    let sightings: ReadonlyArray<Sighting> = []
    let bets: number | undefined
    const redraw = Effect.map(Clock.currentTimeMillis, (atMs) => {
      // How much the central holds isn't known before it is reached.
      if (bets !== undefined) sightings = sighted(sightings, { atMs, bets })
      const columns = this.#terminal.columns ?? columnsDefault
      this.show(progressLine(bets ?? 0, total, pace(sightings), columns))
    })
    return Effect.gen({ self: this }, function*() {
      yield* Effect.addFinalizer(() => Effect.andThen(redraw, Effect.sync(() => this.keep())))
      yield* redraw.pipe(Effect.delay(redrawMs), Effect.forever, Effect.forkScoped)
      return (stored) =>
        Effect.sync(() => {
          bets = stored
        })
    })
  }
}
