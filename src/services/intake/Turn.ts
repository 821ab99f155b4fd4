/**
 * A turn: what is done with one frame of one session. Turns wait in one queue and are taken by the workers. A turn ends
 * once, and only then is the next frame of its connection dealt with.
 */
import { Cause, Effect } from "effect"
import type { Parsed } from "../../domain/Chunk.ts"
import { invariant } from "../../domain/Invariant.ts"
import type { RootKeeper } from "../base/Keeper.ts"
import type { Session } from "./Session.ts"

/** `muted`: done, and whatever else comes on the connection is discarded. */
export type TurnEnd = "done" | "muted"

/** What a handler gives back. After `later`, whoever the turn was handed to ends it. */
export type TurnResult = TurnEnd | "later"

/** Most frames are dealt with at once, and cost no fiber; an effect is what has to be waited for. */
export type Step = TurnResult | Effect.Effect<TurnResult>

const noBytes = new Uint8Array(0)

export class Turn {
  readonly session: Session
  /** What came of the frame, where the turn was put off after that was known. */
  readonly parsed: Parsed | undefined
  #frame: Uint8Array
  #stage: "waiting" | "begun" | "over" = "waiting"

  constructor(session: Session, frame: Uint8Array, parsed?: Parsed) {
    this.session = session
    this.#frame = frame
    this.parsed = parsed
  }

  /** Empty once the turn is over: its memory belongs to other frames then. */
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

  /** Puts this turn off: gives the one that takes its place, whose frame is parsed already. */
  again(parsed: Parsed): Turn {
    invariant(this.#stage === "begun", "a turn that was begun is put off")
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
 * Begins a turn, has it dealt with, and ends it: as the handler says, or with its connection where a defect breaks it
 * off. Gives an effect where something has to be waited for.
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
    if (typeof step === "string") return end(turn, step)
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

/** A defect is our bug: it ends the connection it happened on, not the worker. */
export const endByDefect = (
  keeper: RootKeeper,
  turn: Turn,
  cause: Cause.Cause<never>
): undefined => {
  if (Cause.hasInterruptsOnly(cause)) return
  keeper.endConnection("turn", turn.session.connection, cause)
  if (!turn.over) turn.end()
}
