/** How long to wait before what failed is tried again: twice as long after each failure, up to a maximum. */
import { Duration, Effect, Schedule } from "effect"

export interface BackoffBounds {
  /** The wait after the first failure. */
  readonly firstMs: number
  readonly maxMs: number
}

/** 2^30 times the first wait is above any maximum; an infinite power would turn a first wait of 0 into NaN. */
const doublingsMax = 30

/** The wait after this many failures in a row. */
export const backoffMs = (failures: number, { firstMs, maxMs }: BackoffBounds): number =>
  Math.min(firstMs * 2 ** Math.min(failures - 1, doublingsMax), maxMs)

/** Tries again for ever, with those waits. */
export const backoff = (bounds: BackoffBounds): Schedule.Schedule<Duration.Duration> =>
  Schedule.fromStepWithMetadata(Effect.succeed(({ attempt }) => {
    const wait = Duration.millis(backoffMs(attempt, bounds))
    return Effect.succeed([wait, wait])
  }))
