/**
 * A bound on the log lines of each kind in a window of time, so that a flood of lines neither fills the disk nor hides
 * other lines. Further lines are counted, and reported when the window ends. Its user keeps the number of kinds small.
 */
export interface LineBound {
  readonly linesMax: number
  readonly windowMs: number
}

export class BoundedLines<Kind> {
  readonly #bound: LineBound
  readonly #onLeftOut: (kind: Kind, lines: number) => void
  readonly #lines = new Map<Kind, number>()
  #window: NodeJS.Timeout | undefined

  constructor(bound: LineBound, onLeftOut: (kind: Kind, lines: number) => void) {
    this.#bound = bound
    this.#onLeftOut = onLeftOut
  }

  /** Counts a line of this kind, and says whether it may be written. */
  take(kind: Kind): boolean {
    const lines = (this.#lines.get(kind) ?? 0) + 1
    this.#lines.set(kind, lines)
    this.#window ??= setTimeout(() => this.endWindow(), this.#bound.windowMs).unref()
    return lines <= this.#bound.linesMax
  }

  /** Reports what was left out. To be called on closing too, when the current window is not over. */
  endWindow(): void {
    clearTimeout(this.#window)
    this.#window = undefined
    const ended = [...this.#lines]
    this.#lines.clear()
    for (const [kind, lines] of ended) {
      if (lines > this.#bound.linesMax) this.#onLeftOut(kind, lines - this.#bound.linesMax)
    }
  }
}
