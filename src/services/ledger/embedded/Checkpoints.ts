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
 * Has a pass made each time that the log has grown by `checkpointBytes`. A pass that fails isn't lost: the next one,
 * or the writer when the log is full, copies what it left. Fails where its thread can't be started. Gives what is told
 * of bytes stored.
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
