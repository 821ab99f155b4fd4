/**
 * Turns of the bets port, from the frame to the answer: it has the frame parsed, finds out for whom the connection
 * speaks and what is known of that agency, takes the decision, and carries it out. A chunk to be stored is handed to the
 * open group; the commit answers it and ends the turn.
 */
import { Cause, Context, Effect, Layer, Option, Queue } from "effect"
import type { AgencyId } from "../../domain/Agency.ts"
import type { Chunk, Parsed, ParseRefusal } from "../../domain/Chunk.ts"
import {
  decide,
  type Decision,
  type Evidence,
  type Question,
  question,
  replayOver,
  standingAfter
} from "../../domain/Intake.ts"
import { encodeAnswer } from "../../domain/Message.ts"
import type { Rejection } from "../../domain/Rejection.ts"
import { Keeper, type Root, type RootKeeper } from "../base/Keeper.ts"
import { type LogWriter, OperatorLog } from "../base/OperatorLog.ts"
import { Settings } from "../base/Settings.ts"
import { Lottery } from "../draw/Lottery.ts"
import { BetLedger, type LedgerUnavailable } from "../ledger/BetLedger.ts"
import { GroupCommit } from "../ledger/GroupCommit.ts"
import { ChunkParser, type ParseOutcome, type ParserFailed } from "./ChunkParser.ts"
import type { Connection } from "./Connection.ts"
import { Connections } from "./Connections.ts"
import { type Desk, Desks } from "./Desk.ts"
import { Refusals } from "./Refusals.ts"
import { Replies } from "./Replies.ts"
import { endByDefect, endingByDefect } from "./Turn.ts"

export class BetsDesk extends Context.Service<BetsDesk, {
  /** Deals with the frames of connections. The turn of each ends now, or when its chunk is on disk. */
  readonly handle: (connections: ReadonlyArray<Connection>) => Effect.Effect<void>
}>()("loteria-nacional/services/intake/BetsDesk") {
  static readonly layer = Layer.effect(
    BetsDesk,
    Effect.gen(function*() {
      const { connections: { max }, ledger: { retryFirstMs }, workers } = yield* Settings
      // As large as the number of connections, each of which has one turn at most: an offer never waits.
      const rests = yield* Queue.bounded<Effect.Effect<void>>(max)
      const keeper = yield* Keeper
      const lottery = yield* Lottery
      const refusals = yield* Refusals
      refusals.drawWaitsFor(lottery.missing)
      const turns = new BetsTurns({
        retryFirstMs,
        rests,
        parser: yield* ChunkParser,
        ledger: yield* BetLedger,
        commits: yield* GroupCommit,
        lottery,
        connections: yield* Connections,
        keeper,
        refusals,
        log: yield* OperatorLog
      })
      // Beside the workers, which wait for the last frame that they took: what is left of a turn waits for no other frame.
      const step = Effect.flatten(Queue.take(rests))
      for (let index = 0; index < workers; index++) yield* keeper.loop("workers", step)
      return BetsDesk.of({ handle: (connections) => turns.handle(connections) })
    })
  )
}

interface BetsTurnsOptions {
  readonly retryFirstMs: number
  /** Takes what is left of turns. */
  readonly rests: Queue.Enqueue<Effect.Effect<void>>
  readonly parser: ChunkParser["Service"]
  readonly ledger: BetLedger["Service"]
  readonly commits: GroupCommit["Service"]
  readonly lottery: Lottery["Service"]
  readonly connections: Connections["Service"]
  readonly keeper: RootKeeper
  readonly refusals: Refusals["Service"]
  readonly log: LogWriter
}

type Store = Extract<Decision, { _tag: "Store" }>

const nothing: Evidence = { _tag: "Nothing" }
const unreadable = "what is stored can't be read at the moment"

/**
 * What is left to do of a turn once its frame is parsed: usually nothing, as what is known in memory decides and the open
 * group takes the chunk; reading what is stored is an effect. So a usual chunk costs no fiber anything. As many such
 * effects run at once as there are workers.
 */
type Rest = Effect.Effect<void> | undefined

class BetsTurns {
  readonly #options: BetsTurnsOptions
  readonly #desks: Desks
  readonly #replies: Replies

  constructor(options: BetsTurnsOptions) {
    this.#options = options
    this.#desks = new Desks(options.ledger.opened.agencies)
    this.#replies = new Replies(options.refusals, options.ledger.opened.drawName)
    options.connections.onClosed((connection) => {
      if (connection.agency !== undefined) this.#desks.of(connection.agency).forget(connection)
    })
  }

  handle(connections: ReadonlyArray<Connection>): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { commits, parser, rests } = this.#options
      const act = (connection: Connection, outcome: ParseOutcome): void => {
        const rest = this.#tryToAct(connection, outcome)
        if (rest !== undefined) Queue.offerUnsafe(rests, rest)
      }
      const unparsed: Array<Connection> = []
      for (const connection of connections) {
        // Parsed already: its turn was put off until an older connection's chunk was settled.
        if (connection.parsed !== undefined) act(connection, connection.parsed)
        else if (connection.closing) this.#drop(connection)
        else unparsed.push(connection)
      }
      commits.expectFrames(unparsed.length)
      return parser.parse(unparsed, (outcome, index) => {
        const connection = unparsed[index]
        if (connection !== undefined) act(connection, outcome)
        commits.frameParsed()
      })
    })
  }

  /** Its turn is over before it was begun with. */
  #drop(connection: Connection): void {
    connection.begun = true
    connection.endTurn()
  }

  #tryToAct(connection: Connection, outcome: ParseOutcome): Rest {
    const { keeper } = this.#options
    // What broke off the other frames of a batch has ended this one's turn too.
    if (connection.begun) return undefined
    connection.begun = true
    try {
      const rest = this.#act(connection, outcome)
      return rest === undefined ? undefined : endingByDefect(keeper, connection, rest)
    } catch (defect) {
      endByDefect(keeper, connection, Cause.die(defect))
      return undefined
    }
  }

  #act(connection: Connection, outcome: ParseOutcome): Rest {
    if (connection.closing) {
      connection.endTurn()
      return undefined
    }
    switch (outcome._tag) {
      case "Chunk":
        return this.#enter(
          connection,
          outcome,
          (desk) => this.#takeChunk(connection, desk, outcome)
        )
      case "Resume":
        return this.#enter(connection, outcome, (desk) => this.#resume(connection, desk))
      case "Refused":
        this.#refuseMessage(connection, outcome)
        break
      case "WrongPort":
        connection.refuse("WRONG_PORT", "consults belong to the consult port", {
          agency: outcome.agency
        })
        break
      case "ParserFailed":
        this.#parserFailed(connection, outcome)
        break
    }
    connection.endTurn()
    return undefined
  }

  /** Goes on with the agency's desk, once nothing of that agency is between decision and disk. */
  #enter(
    connection: Connection,
    parsed: Extract<Parsed, { _tag: "Chunk" | "Resume" }>,
    goOn: (desk: Desk) => Rest
  ): Rest {
    const agency = this.#identify(connection, parsed.agency)
    if (typeof agency === "object") {
      const message = parsed._tag === "Chunk" ? parsed : { agency: parsed.agency, seq: undefined }
      this.#replies.reject(connection, message, agency)
      connection.endTurn()
      return undefined
    }
    connection.agency = agency
    connection.parsed = parsed
    const desk = this.#desks.of(agency)
    switch (desk.enter(connection)) {
      case "heard":
        return this.#hear(desk, goOn)
      case "dropped":
        connection.endTurn()
        return undefined
      case "waiting":
        return undefined
    }
  }

  /** A defect frees the desk for the next connection. */
  #hear(desk: Desk, goOn: (desk: Desk) => Rest): Rest {
    try {
      return goOn(desk)?.pipe(Effect.onError(() => Effect.sync(() => this.#offerNext(desk))))
    } catch (defect) {
      this.#offerNext(desk)
      throw defect
    }
  }

  /** The agency that the message may speak for here, or why not. */
  #identify(connection: Connection, agency: number): AgencyId | Rejection {
    if (connection.agency !== undefined && connection.agency !== agency) {
      return {
        code: "AGENCY_MISMATCH",
        message: `this connection speaks for agency ${connection.agency}`
      }
    }
    return this.#options.lottery.isAgency(agency)
      ? agency
      : { code: "UNKNOWN_AGENCY", message: `agency ${agency} is not in the roster` }
  }

  /** Reading what is stored; a defect of it is one in the ledger's path, and ends the process. */
  #read<A>(effect: Effect.Effect<A, LedgerUnavailable>): Effect.Effect<A, LedgerUnavailable> {
    return Effect.tapDefect(
      effect,
      (defect) =>
        Effect.sync(() => this.#options.keeper.endServer("read of the ledger", Cause.die(defect)))
    )
  }

  #takeChunk(connection: Connection, desk: Desk, chunk: Chunk): Rest {
    connection.counts = chunk.seq !== undefined
    if (connection.unreadRefused && chunk.seq === undefined) {
      // It may be about to take the place of the one that was refused.
      connection.close("unavailable")
      this.#settle(connection, desk)
      return undefined
    }
    const asked = question(desk.standing, connection.replay, chunk)
    if (asked._tag === "Nothing") {
      this.#judge(connection, desk, chunk, nothing)
      return undefined
    }
    return this.#read(this.#lookUp(desk.agency, asked)).pipe(Effect.match({
      onSuccess: (evidence) => this.#judge(connection, desk, chunk, evidence),
      onFailure: () => this.#ledgerFailed(connection, desk, chunk, unreadable)
    }))
  }

  #lookUp(agency: AgencyId, asked: Question): Effect.Effect<Evidence, LedgerUnavailable> {
    const { ledger } = this.#options
    switch (asked._tag) {
      case "Nothing":
        return Effect.succeed(nothing)
      case "ChunkAt":
        return Effect.map(
          ledger.chunkAt(agency, asked.seq),
          Option.match({
            onNone: () => nothing,
            onSome: ({ body, last }) => ({ _tag: "ChunkAt", last, body })
          })
        )
      case "BetsFrom":
        return Effect.map(
          ledger.readBets(agency, asked.from, asked.bytes),
          (found) => ({ _tag: "BetsFrom", ...found })
        )
    }
  }

  #judge(connection: Connection, desk: Desk, chunk: Chunk, evidence: Evidence): void {
    const decision = decide(desk.standing, connection.replay, chunk, evidence)
    if (decision._tag === "Reject") {
      this.#replies.reject(connection, chunk, decision.rejection)
      return this.#settle(connection, desk)
    }
    this.#options.log.write("INFO", "apuesta_recibida", "success", { cantidad: chunk.bets })
    if (decision._tag === "Store") return this.#store(connection, desk, chunk, decision)
    connection.replay = decision.replay
    this.#replies.processed(connection, chunk, true)
    return this.#settle(connection, desk)
  }

  #store(connection: Connection, desk: Desk, chunk: Chunk, stored: Store): void {
    const { commits, log, lottery } = this.#options
    commits.submit({
      chunk: { agency: desk.agency, ...stored },
      onStored: () => {
        desk.standing = standingAfter(desk.standing, stored)
        connection.replay = stored.replay
        // From here on it is about this connection alone: the others of the group are still to be answered.
        try {
          log.write("INFO", "apuestas_almacenadas", "success", {
            agencia: desk.agency,
            cantidad: stored.bets
          })
          this.#replies.processed(connection, chunk, false)
          this.#settle(connection, desk)
        } catch (defect) {
          this.#settleByDefect("answer to a stored chunk", connection, desk, defect)
        }
        return stored.last ? lottery.finish(desk.agency) : undefined
      },
      onFailed: (retryAfterMs) => {
        // A client that doesn't count can't be told to come again: its chunk waits for the disk.
        if (chunk.seq === undefined && !connection.closing) return "stay"
        try {
          this.#ledgerFailed(connection, desk, chunk, "the chunk is not stored", retryAfterMs)
        } catch (defect) {
          this.#settleByDefect("answer to a chunk not stored", connection, desk, defect)
        }
        return "settled"
      }
    })
  }

  #resume(connection: Connection, desk: Desk): Effect.Effect<void> {
    return this.#read(this.#options.ledger.digest(desk.agency)).pipe(Effect.match({
      onSuccess: (point) => {
        const { finished } = desk.standing
        connection.replay = replayOver
        connection.unreadRefused = false
        const { drawName: draw } = this.#options.ledger.opened
        connection.answer(encodeAnswer({ _tag: "ResumePoint", finished, draw, ...point }))
        this.#settle(connection, desk)
      },
      onFailure: () => this.#ledgerFailed(connection, desk, "RESUME", unreadable)
    }))
  }

  /** Nothing of the agency is in hand any more: its connection goes on, or a newer one that waited for that. */
  #settle(connection: Connection, desk: Desk): void {
    this.#offerNext(desk)
    connection.endTurn()
  }

  /** The chunk's fate is known; only telling it was broken off. Nothing of it may hold up the agency or others. */
  #settleByDefect(
    root: Root<"connection">,
    connection: Connection,
    desk: Desk,
    defect: unknown
  ): void {
    this.#options.keeper.endConnection(root, connection, Cause.die(defect))
    this.#settle(connection, desk)
  }

  #offerNext(desk: Desk): void {
    const next = desk.leave()
    if (next === undefined) return
    next.begun = false
    Queue.offerUnsafe(this.#options.connections.turns, next)
  }

  #ledgerFailed(
    connection: Connection,
    desk: Desk,
    what: Chunk | "RESUME",
    message: string,
    retryAfterMs: number = this.#options.retryFirstMs
  ): void {
    this.#replies.putOff(connection, what, "LEDGER_UNAVAILABLE", message, retryAfterMs)
    this.#settle(connection, desk)
  }

  #parserFailed(connection: Connection, failure: ParserFailed): void {
    const { retryFirstMs } = this.#options
    this.#replies.putOff(connection, "unread", "PARSER_FAILED", failure.problem, retryFirstMs)
  }

  #refuseMessage(connection: Connection, refusal: ParseRefusal): void {
    if (refusal.seq !== undefined) connection.counts = true
    const agency = refusal.agency === undefined
      ? undefined
      : this.#identify(connection, refusal.agency)
    this.#replies.reject(
      connection,
      refusal,
      typeof agency === "object" ? agency : {
        code: refusal.code,
        message: refusal.message,
        ...(refusal.index === undefined ? {} : { index: refusal.index })
      }
    )
  }
}
