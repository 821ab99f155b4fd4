/** Waits for a condition, with a deadline whose error names it. Tests never just sleep. */
import { setTimeout } from "node:timers/promises"

const pollMs = 5

/**
 * The default deadline of a wait: far longer than the wait takes, even on a machine that is busy with other work.
 * A test of how fast something is measures the time itself.
 */
export const patienceMs = 30_000

/** Polls until `probe` gives something other than false or undefined, and gives that. */
export const waitUntil = async <A>(
  what: string,
  probe: () => A | false | undefined | Promise<A | false | undefined>,
  deadlineMs = patienceMs
): Promise<A> => {
  const start = performance.now()
  for (;;) {
    const result = await probe()
    if (result !== false && result !== undefined) return result
    if (performance.now() - start > deadlineMs) {
      throw new Error(`not within ${deadlineMs} ms: ${what}`)
    }
    await setTimeout(pollMs)
  }
}

/** Fails when the promise takes longer. */
export const within = async <A>(
  what: string,
  promise: Promise<A>,
  deadlineMs = patienceMs
): Promise<A> => {
  const done = new AbortController()
  const late = setTimeout(deadlineMs, undefined, { signal: done.signal }).then(
    () => {
      throw new Error(`not within ${deadlineMs} ms: ${what}`)
    },
    // The wait was called off: the promise has been settled.
    () => promise
  )
  try {
    return await Promise.race([promise, late])
  } finally {
    done.abort()
  }
}
