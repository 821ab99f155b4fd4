/**
 * The frames that are in no child. Those that came while no child served wait for one. Those that were in a child when
 * it failed are suspects: any of them may be the one that did it. Each is tried once more, alone in a child, and given
 * up if that child fails too.
 *
 * The backlog is bounded by the workers, each of which waits for the frames that it took.
 */
import { invariant } from "../../domain/Invariant.ts"
import type { Job, ParserProblem } from "./ParserLink.ts"

/** How many children may fail with a frame in them before the frame is given up. */
const failuresMax = 2

const closedProblem = "the parsers are closed"

export class ParserBacklog {
  readonly #waiting: Array<Job> = []
  readonly #suspects: Array<Job> = []
  #closed = false

  get hasSuspects(): boolean {
    return this.#suspects.length > 0
  }

  wait(job: Job): void {
    if (this.#closed) job.done(closedProblem)
    else this.#waiting.push(job)
  }

  /** Takes in the frames that were in a child when it failed. */
  suspect(problem: ParserProblem, jobs: ReadonlyArray<Job>): void {
    for (const job of jobs) {
      job.failures++
      invariant(job.failures <= failuresMax, "a frame that was given up is in no child")
      if (this.#closed) job.done(closedProblem)
      else if (job.failures < failuresMax) this.#suspects.push(job)
      else job.done(problem)
    }
  }

  takeSuspect(): Job | undefined {
    return this.#suspects.shift()
  }

  takeWaiting(): ReadonlyArray<Job> {
    return this.#waiting.splice(0)
  }

  /** Nothing is parsed any more: not what is here, nor what comes. */
  close(): void {
    this.#closed = true
    for (const job of [...this.#waiting.splice(0), ...this.#suspects.splice(0)]) {
      job.done(closedProblem)
    }
  }
}
