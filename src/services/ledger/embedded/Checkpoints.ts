/** Keeps the write-ahead log short beside the commits: see CheckpointThread.ts. */
import { Effect, Queue } from "effect"
import { Keeper } from "../../base/Keeper.ts"
import type {
  CheckpointConfig,
  CheckpointReply,
  CheckpointRequest
} from "../sqlite/ThreadMessages.ts"
import { ReplacedThread } from "./ReplacedThread.ts"

/**
 * Starts a pass each time that the log has grown by `checkpointBytes`. What a failed pass leaves is copied by the next
 * one, or by the writer when the log is full. Fails if the thread can't be started. Returns a function to be called
 * with the bytes of each stored group.
 */
export const runCheckpoints = Effect.fnUntraced(function*(
  config: CheckpointConfig & { readonly checkpointBytes: number }
) {
  const keeper = yield* Keeper
  const thread = yield* Effect.acquireRelease(
    Effect.sync(() =>
      new ReplacedThread<CheckpointRequest, CheckpointReply>(
        new URL("../sqlite/CheckpointThread.ts", import.meta.url),
        config,
        (id) => ({ _tag: "Close", id })
      )
    ),
    ({ close }) => close
  )
  const due = yield* Queue.dropping<void>(1)
  yield* thread.call((id) => ({ _tag: "Open", id }))
  yield* keeper.loop(
    "checkpoints",
    Effect.andThen(
      Queue.take(due),
      Effect.ignore(thread.call((id) => ({ _tag: "Pass", id })))
    )
  )
  let grown = 0
  return (bytes: number): void => {
    grown += bytes
    if (grown < config.checkpointBytes) return
    grown = 0
    Queue.offerUnsafe(due, undefined)
  }
})
