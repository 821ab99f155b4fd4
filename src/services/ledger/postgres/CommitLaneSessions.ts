/**
 * The sessions of the commit lane: a fixed number of places, in each of which a session is opened, and after its loss
 * another one. A place doesn't disturb the others. Whoever needs a session waits while one may still come, and not once
 * the last attempt in every place has failed.
 */
import { Effect } from "effect"
import type { CommitLaneSession } from "./CommitLaneSession.ts"

type Wait = (effect: Effect.Effect<CommitLaneSession, string>) => void

interface Place {
  readonly opened: (session: CommitLaneSession) => void
  /** The last attempt to have a session here failed. */
  readonly failed: (problem: string) => void
}

export class CommitLaneSessions {
  readonly #idle: Array<CommitLaneSession> = []
  readonly #waiting: Array<Wait> = []
  /** The places where a session is, or where the first attempt to open one is under way. */
  #hopeful = 0
  #problem = ""

  place(): Place {
    let isHopeful = true
    this.#hopeful++
    return {
      opened: (session) => {
        if (!isHopeful) this.#hopeful++
        isHopeful = true
        this.offer(session)
      },
      failed: (problem) => {
        if (isHopeful) this.#hopeful--
        isHopeful = false
        this.#problem = problem
        if (this.#hopeful === 0) {
          for (const wait of this.#waiting.splice(0)) wait(Effect.fail(problem))
        }
      }
    }
  }

  /** Fails with the problem that was met last. */
  readonly take: Effect.Effect<CommitLaneSession, string> = Effect.callback((resume) => {
    const session = this.#nextIdle()
    if (session !== undefined) return resume(Effect.succeed(session))
    if (this.#hopeful === 0) return resume(Effect.fail(this.#problem))
    this.#waiting.push(resume)
  })

  /** The session is free again. */
  offer(session: CommitLaneSession): void {
    if (!session.isOpen) return
    const wait = this.#waiting.shift()
    if (wait === undefined) this.#idle.push(session)
    else wait(Effect.succeed(session))
  }

  #nextIdle(): CommitLaneSession | undefined {
    for (;;) {
      const session = this.#idle.shift()
      if (session === undefined || session.isOpen) return session
    }
  }
}
