/**
 * So many log lines of each kind in a window of time: what comes in floods must not fill the disk, nor hide what else is
 * said. Lines beyond are counted, and told of when the window ends. Kinds are few: whoever uses it sees to that.
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

  /** Whether a line of this kind may be written; if not, it counts as left out. */
  take(kind: Kind): boolean {
    const lines = (this.#lines.get(kind) ?? 0) + 1
    this.#lines.set(kind, lines)
    this.#window ??= setTimeout(() => this.endWindow(), this.#bound.windowMs).unref()
    return lines <= this.#bound.linesMax
  }

  /** Tells what was left out. To be called at the end, too: the window's own end may not come. */
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
