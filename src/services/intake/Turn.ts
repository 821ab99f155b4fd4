/**
 * A turn is the handling of one frame of one session. Turns wait in one queue, and workers take them. A turn ends once;
 * only then does its connection take its next frame.
 */
import { Cause, Effect } from "effect"
import type { Parsed } from "../../domain/Chunk.ts"
import { invariant } from "../../domain/Invariant.ts"
import type { RootKeeper } from "../base/Keeper.ts"
import type { Session } from "./Session.ts"

/** `muted`: done, and all further input of the connection is discarded. */
export type TurnEnd = "done" | "muted"

/** A handler's result. After `later` the part that keeps the turn (a desk, the open group) ends it. */
export type TurnResult = TurnEnd | "later"

/** Most frames are handled synchronously and cost no fiber. An effect is a step that has to wait. */
export type Step = TurnResult | Effect.Effect<TurnResult>

const noBytes = new Uint8Array(0)

export class Turn {
  readonly session: Session
  /** The parsed frame, when the turn replaces one that waited. */
  readonly parsed: Parsed | undefined
  #frame: Uint8Array
  #stage: "waiting" | "begun" | "over" = "waiting"

  constructor(session: Session, frame: Uint8Array, parsed?: Parsed) {
    this.session = session
    this.#frame = frame
    this.parsed = parsed
  }

  /** Empty once the turn is over, because its memory then counts for other frames. */
  get frame(): Uint8Array {
    return this.#frame
  }

  get waiting(): boolean {
    return this.#stage === "waiting"
  }

  get over(): boolean {
    return this.#stage === "over"
  }

  begin(): void {
    invariant(this.#stage === "waiting", "a turn is begun once")
    this.#stage = "begun"
  }

  end(how: TurnEnd = "done"): void {
    invariant(this.#stage !== "over", "a turn ends once")
    this.#leave()
    this.session.connection.endTurn(how === "muted")
  }

  /** Ends this turn so that it can wait. Gives its replacement, whose frame is parsed already. */
  again(parsed: Parsed): Turn {
    invariant(this.#stage === "begun", "a turn that was begun is replaced")
    const turn = new Turn(this.session, this.#frame, parsed)
    this.#leave()
    return turn
  }

  #leave(): void {
    this.#stage = "over"
    this.#frame = noBytes
  }
}

/**
 * Begins a turn, runs its handler, and ends the turn: with the handler's result or, after a defect, together with its
 * connection. Gives an effect if the handler has to wait.
 */
export const runTurn = <Input>(
  keeper: RootKeeper,
  turn: Turn,
  handler: (turn: Turn, input: Input) => Step,
  input: Input
): Effect.Effect<void> | undefined => {
  try {
    turn.begin()
    const step = handler(turn, input)
    if (!Effect.isEffect(step)) return end(turn, step)
    return Effect.map(step, (result) => end(turn, result)).pipe(
      Effect.catchCause((cause) => Effect.sync(() => endByDefect(keeper, turn, cause)))
    )
  } catch (defect) {
    return endByDefect(keeper, turn, Cause.die(defect))
  }
}

const end = (turn: Turn, result: TurnResult): undefined => {
  if (result !== "later") turn.end(result)
}

/** A defect is a bug of ours. It ends the connection on which it happened, not the worker. */
export const endByDefect = (
  keeper: RootKeeper,
  turn: Turn,
  cause: Cause.Cause<never>
): undefined => {
  if (Cause.hasInterruptsOnly(cause)) return
  keeper.endConnection("turn", turn.session.connection, cause)
  if (!turn.over) turn.end()
}
