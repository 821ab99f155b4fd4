/**
 * The turns of the bets port, from the frame to the answer. The file is written in that order: parse the frame, enter the
 * agency's desk, claim the agency if this is a session's first message, ask for evidence, decide, then answer or pass
 * the chunk to the open group. When the group is on disk, the chunk is settled: the agency's standing changes, the chunk
 * is answered, the desk is left, and the turn ends.
 */
import { Cause, Context, Effect, Exit, Layer, Queue, Stream } from "effect"
import type { Chunk, Parsed, ParseRefusal } from "../../domain/Chunk.ts"
import type { Claim } from "../../domain/Claim.ts"
import { invariant } from "../../domain/Invariant.ts"
import { decide, type Decision, type Evidence, question } from "../../domain/ReplayRule.ts"
import {
  inAnothersPlace,
  processed,
  type PutOff,
  rejected,
  resumePoint,
  speaksFor,
  unusable,
  wrongPort
} from "../../domain/Verdict.ts"
import { Keeper, type RootKeeper } from "../base/Keeper.ts"
import { type LogWriter, OperatorLog } from "../base/OperatorLog.ts"
import { Settings } from "../base/Settings.ts"
import { Lottery } from "../draw/Lottery.ts"
import { BetLedger, type LedgerUnavailable, type News } from "../ledger/BetLedger.ts"
import { GroupCommit } from "../ledger/GroupCommit.ts"
import { endForLostBets, type LostBets, lostBets } from "../ledger/LostBets.ts"
import { ChunkParser, type ParseOutcome } from "./ChunkParser.ts"
import { Connections } from "./Connections.ts"
import { type Desk, Desks } from "./Desk.ts"
import { noEvidence, readEvidence } from "./Evidence.ts"
import { Refusals } from "./Refusals.ts"
import type { Session } from "./Session.ts"
import { SharedDeadline } from "./SharedDeadline.ts"
import { runTurn, type Step, type Turn, type TurnResult } from "./Turn.ts"

export class BetTurns extends Context.Service<BetTurns, {
  /** Handles turns that were taken together. Ends when all their frames are parsed. */
  readonly handle: (turns: ReadonlyArray<Turn>) => Effect.Effect<void>
}>()("loteria-nacional/services/intake/BetTurns") {
  static readonly layer = Layer.effect(
    BetTurns,
    Effect.gen(function*() {
      const { connections: { max }, ledger: { retryFirstMs, retryMaxMs }, workers } =
        yield* Settings
      const keeper = yield* Keeper
      const lottery = yield* Lottery
      const refusals = yield* Refusals
      refusals.drawWaitsFor(lottery.missing)
      // One place for each connection, which has one turn at most: an offer never waits.
      const reads = yield* Queue.bounded<Effect.Effect<void>>(max)
      const ledger = yield* BetLedger
      const unclaimed = new SharedDeadline<Turn>()
      const handler = new BetTurnHandler({
        retryFirstMs,
        reads,
        unclaimed,
        onLost: yield* endForLostBets,
        parser: yield* ChunkParser,
        ledger,
        commits: yield* GroupCommit,
        lottery,
        connections: yield* Connections,
        keeper,
        log: yield* OperatorLog
      })
      // These fibers run beside the workers, so that a turn that reads doesn't wait for the frames of other turns.
      const step = Effect.flatten(Queue.take(reads))
      for (let index = 0; index < workers; index++) yield* keeper.loop("workers", step)
      yield* unclaimed.run(keeper, retryMaxMs, (turn) => handler.tryAgain(turn))
      yield* keeper.inLedgersPath(
        "news of other servers",
        Stream.runForEach(ledger.news, (news) => Effect.sync(() => handler.hear(news)))
      )
      return BetTurns.of({ handle: (turns) => handler.handle(turns) })
    })
  )
}

interface BetTurnHandlerOptions {
  readonly retryFirstMs: number
  /** Takes the rest of each turn that reads the ledger. */
  readonly reads: Queue.Enqueue<Effect.Effect<void>>
  /** Turns of which the agency couldn't be claimed, and whose client can't be told to come again. */
  readonly unclaimed: SharedDeadline<Turn>
  readonly onLost: (lost: LostBets) => void
  readonly parser: ChunkParser["Service"]
  readonly ledger: BetLedger["Service"]
  readonly commits: GroupCommit["Service"]
  readonly lottery: Lottery["Service"]
  readonly connections: Connections["Service"]
  readonly keeper: RootKeeper
  readonly log: LogWriter
}

type Message = Extract<Parsed, { _tag: "Chunk" | "Resume" }>
type Store = Extract<Decision, { _tag: "Store" }>

class BetTurnHandler {
  readonly #options: BetTurnHandlerOptions
  readonly #desks = new Desks()

  constructor(options: BetTurnHandlerOptions) {
    this.#options = options
    options.connections.onClosed((session) => {
      if (session.agency !== undefined) this.#desks.of(session.agency).forget(session)
    })
  }

  // ---- parse

  handle(turns: ReadonlyArray<Turn>): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { commits, keeper, parser } = this.#options
      const unparsed: Array<Turn> = []
      for (const turn of turns) {
        if (turn.parsed !== undefined) this.#run(turn, turn.parsed)
        else if (turn.session.connection.closing) runTurn(keeper, turn, drop, undefined)
        else unparsed.push(turn)
      }
      commits.expectFrames(unparsed.length)
      return parser.parse(unparsed, (outcome, index) => {
        const turn = unparsed[index]
        // After a defect of the batch its turns are over.
        if (turn?.waiting === true) this.#run(turn, outcome)
        commits.frameParsed()
      })
    })
  }

  #run(turn: Turn, outcome: ParseOutcome): void {
    const { keeper, reads } = this.#options
    const rest = runTurn(keeper, turn, this.#handleParsed, outcome)
    if (rest !== undefined) {
      invariant(Queue.offerUnsafe(reads, rest), "a read finds room in its queue")
    }
  }

  readonly #handleParsed = (turn: Turn, outcome: ParseOutcome): Step => {
    const { session } = turn
    if (session.connection.closing) return "done"
    switch (outcome._tag) {
      case "Chunk":
      case "Resume":
        return this.#enter(turn, outcome)
      case "Refused":
        this.#refuse(session, outcome)
        return "done"
      case "WrongPort":
        session.carryOut(wrongPort(outcome.agency))
        return "done"
      case "ParserFailed": {
        const { retryFirstMs: retryAfterMs } = this.#options
        session.putOffUnread({ code: "PARSER_FAILED", message: outcome.problem, retryAfterMs })
        return "done"
      }
    }
  }

  #refuse(session: Session, refusal: ParseRefusal): void {
    const { agency, seq } = refusal
    if (seq !== undefined) session.chunkArrived(seq)
    const speaker = agency === undefined ? undefined : this.#speaker(session, agency)
    session.carryOut(unusable(refusal, speaker))
  }

  #speaker(session: Session, agency: number) {
    return speaksFor(session.agency, agency, this.#options.lottery.isAgency)
  }

  // ---- enter the desk

  /** Continues when no other message of the agency is in hand. */
  #enter(turn: Turn, message: Message): Step {
    const { session } = turn
    const agency = this.#speaker(session, message.agency)
    if (typeof agency === "object") {
      session.carryOut(rejected(message, agency))
      return "done"
    }
    session.bind(agency)
    const desk = this.#desks.of(agency)
    switch (desk.enter(turn, message)) {
      case "heard":
        return this.#atDesk(desk, turn, message)
      case "superseded":
        return "done"
      case "waits":
        return "later"
    }
  }

  /** Leaves the desk when the message is finished or a defect breaks it off. After `later`, settling leaves it. */
  #atDesk(desk: Desk, turn: Turn, message: Message): Step {
    let step: Step
    try {
      step = desk.epoch === undefined
        ? this.#claim(desk, turn, message)
        : this.#hear(desk, turn, message)
    } catch (defect) {
      this.#leave(desk)
      throw defect
    }
    if (step === "later") return step
    if (Effect.isEffect(step)) return Effect.onExit(step, (exit) => this.#leaveAfter(desk, exit))
    this.#leave(desk)
    return step
  }

  #hear(desk: Desk, turn: Turn, message: Message): Step {
    return message._tag === "Chunk"
      ? this.#takeChunk(desk, turn, message)
      : this.#resume(desk, turn)
  }

  #leaveAfter(desk: Desk, exit: Exit.Exit<TurnResult>): Effect.Effect<void> {
    return Effect.sync(() => {
      if (Exit.isFailure(exit) || exit.value !== "later") this.#leave(desk)
    })
  }

  #leave(desk: Desk): void {
    const next = desk.leave()
    if (next !== undefined) this.#options.connections.offer(next)
  }

  // ---- claim the agency

  #claim(desk: Desk, turn: Turn, message: Message): Effect.Effect<TurnResult> {
    return Effect.matchEffect(this.#ask(this.#options.ledger.claim(desk.agency)), {
      onSuccess: (claim) => this.#claimed(desk, turn, message, claim),
      onFailure: () => Effect.sync(() => this.#unclaimed(desk, turn, message))
    })
  }

  #claimed(desk: Desk, turn: Turn, message: Message, claim: Claim): Effect.Effect<TurnResult> {
    return Effect.suspend(() => {
      if (!desk.take(claim)) {
        this.#options.onLost(lostBets(desk.agency, desk.standing, claim))
        turn.session.connection.close("unavailable")
        return Effect.succeed("done")
      }
      if (turn.session.connection.closing) return Effect.succeed("done")
      const step = this.#hear(desk, turn, message)
      return Effect.isEffect(step) ? step : Effect.succeed(step)
    })
  }

  #unclaimed(desk: Desk, turn: Turn, message: Message): TurnResult {
    if (message._tag === "Resume" || message.seq !== undefined) {
      const resume = message._tag === "Resume"
      turn.session.putOff(
        resume ? "RESUME" : message,
        this.#unavailable(resume ? "what is stored can't be read at the moment" : notStored)
      )
      return "done"
    }
    // A client that doesn't number its chunks can't be told to send one again, so its chunk waits, but not at the desk.
    this.#options.unclaimed.begin(turn.again(message))
    this.#leave(desk)
    return "later"
  }

  tryAgain(turn: Turn): void {
    this.#options.connections.offer(turn)
  }

  hear(news: News): void {
    if (news._tag === "Claimed") this.#desks.find(news.agency)?.claimedElsewhere(news.epoch)
  }

  // ---- ask, decide

  #takeChunk(desk: Desk, turn: Turn, chunk: Chunk): Step {
    const { session } = turn
    if (!session.chunkArrived(chunk.seq)) {
      session.carryOut(inAnothersPlace)
      return "done"
    }
    const asked = question(desk.standing, session.replay, chunk)
    if (asked._tag === "Nothing") return this.#decide(desk, turn, chunk, noEvidence)
    return this.#ask(readEvidence(this.#options.ledger, desk.agency, asked)).pipe(Effect.match({
      onSuccess: (evidence) => this.#decide(desk, turn, chunk, evidence),
      onFailure: () => this.#unreadable(turn, chunk)
    }))
  }

  #decide(desk: Desk, turn: Turn, chunk: Chunk, evidence: Evidence): TurnResult {
    const { session } = turn
    const decision = decide(desk.standing, session.replay, chunk, evidence)
    if (decision._tag === "Reject") {
      session.carryOut(rejected(chunk, decision.rejection))
      return "done"
    }
    this.#options.log.write("INFO", "apuesta_recibida", "success", { cantidad: chunk.bets })
    if (decision._tag === "Store") {
      this.#store(desk, turn, chunk, decision)
      return "later"
    }
    session.replay = decision.replay
    session.carryOut(processed(chunk, true, this.#options.ledger.opened.drawName))
    return "done"
  }

  #resume(desk: Desk, turn: Turn): Step {
    const { session } = turn
    const { ledger } = this.#options
    return this.#ask(ledger.digest(desk.agency)).pipe(Effect.match({
      onSuccess: (point) => {
        if (point.seq !== desk.standing.seq) {
          // Another server has claimed the agency and stored more, and so this one doesn't know whether it has finished.
          desk.dropClaim("superseded")
          return "done"
        }
        session.resumed()
        session.carryOut(resumePoint(point, desk.standing.finished, ledger.opened.drawName))
        return "done"
      },
      onFailure: () => this.#unreadable(turn, "RESUME")
    }))
  }

  /** Asks the ledger. A defect in that is in the ledger's path, and ends the server. */
  #ask<A>(effect: Effect.Effect<A, LedgerUnavailable>): Effect.Effect<A, LedgerUnavailable> {
    return Effect.tapDefect(
      effect,
      (defect) =>
        Effect.sync(() =>
          this.#options.keeper.endServer("question to the ledger", Cause.die(defect))
        )
    )
  }

  #unreadable(turn: Turn, message: Chunk | "RESUME"): TurnResult {
    turn.session.putOff(message, this.#unavailable("what is stored can't be read at the moment"))
    return "done"
  }

  #unavailable(message: string, retryAfterMs: number = this.#options.retryFirstMs): PutOff {
    return { code: "LEDGER_UNAVAILABLE", message, retryAfterMs }
  }

  // ---- store, settle

  #store(desk: Desk, turn: Turn, chunk: Chunk, store: Store): void {
    const { commits, lottery } = this.#options
    const { epoch, standing } = desk
    invariant(epoch !== undefined, "a chunk is decided on under a claim")
    commits.submit({
      chunk: { agency: desk.agency, epoch, total: standing.bets + store.bets, ...store },
      onStored: () => {
        desk.settle(store)
        turn.session.replay = store.replay
        this.#tellStored(desk, turn, chunk, store)
        this.#finish(desk, turn)
        return store.last ? lottery.finish(desk.agency) : undefined
      },
      onFailed: (retryAfterMs) => {
        // A client that doesn't number its chunks can't be told to send one again, so its chunk waits for the disk.
        if (chunk.seq === undefined && !turn.session.connection.closing) return "stay"
        this.#tellNotStored(turn, chunk, retryAfterMs)
        this.#finish(desk, turn)
        return "settled"
      },
      onLost: (why) => {
        desk.dropClaim(why === "fenced" ? "superseded" : "in_doubt")
        this.#finish(desk, turn)
      }
    })
  }

  /** A defect here ends this connection only: the rest of the group is still to be answered. */
  #tellStored(desk: Desk, turn: Turn, chunk: Chunk, { bets }: Store): void {
    const { keeper, ledger, log } = this.#options
    try {
      log.write("INFO", "apuestas_almacenadas", "success", {
        agencia: desk.agency,
        cantidad: bets
      })
      turn.session.carryOut(processed(chunk, false, ledger.opened.drawName))
    } catch (defect) {
      keeper.endConnection("answer to a stored chunk", turn.session.connection, Cause.die(defect))
    }
  }

  #tellNotStored(turn: Turn, chunk: Chunk, retryAfterMs: number): void {
    try {
      turn.session.putOff(chunk, this.#unavailable(notStored, retryAfterMs))
    } catch (defect) {
      const { keeper } = this.#options
      keeper.endConnection(
        "answer to a chunk not stored",
        turn.session.connection,
        Cause.die(defect)
      )
    }
  }

  /** The chunk is stored or has failed. A defect here must not hold up its agency or its group. */
  #finish(desk: Desk, turn: Turn): void {
    this.#leave(desk)
    try {
      turn.end()
    } catch (defect) {
      this.#options.keeper.endConnection("turn", turn.session.connection, Cause.die(defect))
    }
  }
}

const notStored = "the chunk is not stored"

/** Handles the turn of a connection that was closed before its turn came. */
const drop = (): Step => "done"
