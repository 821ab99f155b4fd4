/**
 * The judge: a simple model of what was sent, stored, acknowledged and drawn. It never looks into the services, only at
 * what crosses their boundaries: groups on disk, answers written, log lines. It checks that:
 *
 * - an agency's stored bets are at all times the beginning of its file: nothing lost, doubled, altered or reordered,
 *   nothing that was not sent;
 * - CHUNK_PROCESSED is written only when every bet of the chunk is on disk, RESUME_POINT tells exactly what is there;
 * - an agency is finished exactly from when the chunk with its last bet is stored as its last;
 * - the draw is held once, after all have finished, with exactly the winners of the files;
 * - each agency is told its own winners, after the draw;
 * - answers come one to each request, in the order of the requests of their connection;
 * - a chunk without `seq` is never answered with what waiting can cure;
 * - once a connection of an agency was answered, nothing of an older one is stored or answered. Older is whose first
 *   whole request reached the server earlier.
 */
import type { AgencyId } from "../../src/domain/Agency.ts"
import type { Draw, ToldRecord } from "../../src/domain/Draw.ts"
import { type Answer, decodeAnswer } from "../../src/domain/Message.ts"
import { codes } from "../../src/domain/Rejection.ts"
import type { StoredChunk } from "../../src/services/ledger/BetLedger.ts"
import type { AgencyFile } from "./AgencyFile.ts"
import { simulatedDraw } from "./SimulatedLedger.ts"
import type { Timeline } from "./Timeline.ts"

/** What was asked on a connection, as far as the answer depends on it. */
export type Asked =
  | {
    readonly _tag: "Chunk"
    readonly agency: AgencyId
    readonly seq: number | undefined
    /** The bets from..to-1 of the agency's file. */
    readonly from: number
    readonly to: number
    readonly last: boolean
  }
  | { readonly _tag: "Resume"; readonly agency: AgencyId }
  | { readonly _tag: "Consult"; readonly agency: AgencyId; readonly wait: boolean }
  /** Nothing that may be stored or told. */
  | { readonly _tag: "Nonsense" }

/** One connection as the judge sees it. */
export interface Conversation {
  readonly name: string
  /** Requests in the order sent, answered ones removed. */
  readonly asked: Array<Asked>
  /** How many requests were answered. */
  answered: number
  /** A request was put off or rejected: those already sent behind it come too early. */
  rejected: boolean
  /**
   * The place of its first whole request among those that reached the server, from 1. None is later than one that waited
   * for room: when the server took it in can't be seen from here.
   */
  place: number
}

interface Standing {
  bets: number
  seq: number
  finished: boolean
}

const utf8 = new TextDecoder()

export class Judge {
  readonly #timeline: Timeline
  readonly #files: ReadonlyMap<AgencyId, AgencyFile>
  readonly #winningNumber: number
  readonly #standings = new Map<AgencyId, Standing>()
  #draw: Draw | undefined
  #drawKnown = false
  #drawsLogged = 0
  readonly #told = new Set<AgencyId>()
  /** Whose winners this life of the server has answered. */
  readonly #informed = new Set<AgencyId>()
  /** The connections of an agency to this life of the server, in the order in which they were first heard of. */
  readonly #arrived = new Map<AgencyId, Array<Conversation>>()
  /** The newest one of an agency that was answered. */
  readonly #newest = new Map<AgencyId, Conversation>()
  #places = 0
  /** Agencies that were answered with winners in any life, and those that the ledger says were served. */
  readonly #answered = new Set<AgencyId>()
  readonly #servedForGood = new Set<AgencyId>()

  constructor(timeline: Timeline, files: ReadonlyMap<AgencyId, AgencyFile>, winningNumber: number) {
    this.#timeline = timeline
    this.#files = files
    this.#winningNumber = winningNumber
    for (const agency of files.keys()) {
      this.#standings.set(agency, { bets: 0, seq: 0, finished: false })
    }
  }

  // ---- what the ledger did

  /** The chunk is on disk. */
  onStored(chunk: StoredChunk): void {
    const file = this.#files.get(chunk.agency)
    const standing = this.#standings.get(chunk.agency)
    if (file === undefined || standing === undefined) {
      return this.#fail(`a chunk of agency ${chunk.agency} was stored, which is not in the roster`)
    }
    const where = `agency ${chunk.agency}, chunk ${chunk.seq}`
    if (standing.finished) this.#fail(`${where}: stored after the last one`)
    const records = utf8.decode(chunk.body).split("\n").slice(0, -1)
    if (records.length !== chunk.bets) this.#fail(`${where}: ${chunk.bets} bets by its count only`)
    records.forEach((record, index) => {
      const at = standing.bets + index
      if (`${record}\n` !== file.records[at]) {
        const place = file.records.indexOf(`${record}\n`)
        this.#fail(`${where}: bet ${at} is ${place === -1 ? "not of the file" : `bet ${place}`}`)
      }
      const number = (chunk.numbers[2 * index] ?? 0) * 256 + (chunk.numbers[2 * index + 1] ?? 0)
      if (number !== Number(file.bets[at]?.number)) this.#fail(`${where}: bet ${at}: wrong number`)
    })
    standing.bets += chunk.bets
    standing.seq = chunk.seq
    standing.finished = chunk.last
    if (chunk.last && standing.bets !== file.bets.length) {
      this.#fail(`${where}: finished after ${standing.bets} of ${file.bets.length} bets`)
    }
    const newest = this.#newest.get(chunk.agency)
    const asked = (conversation: Conversation) =>
      conversation.asked.some((one) => one._tag === "Chunk" && one.to === standing.bets)
    if (
      newest !== undefined
      && !this.#arrived.get(chunk.agency)?.some((one) => one.place >= newest.place && asked(one))
    ) this.#fail(`${where}: of an older connection than ${newest.name}, which was answered`)
  }

  /** The draw is on disk. */
  onDrawn(draw: Draw): void {
    if (this.#draw !== undefined) this.#fail("a second draw was stored")
    this.#draw = draw
    for (const [agency, { finished }] of this.#standings) {
      if (!finished) this.#fail(`the draw was held before agency ${agency} had finished`)
      const expected = this.#winnersOf(agency).join()
      if ((draw.winners.get(agency) ?? []).join() !== expected) {
        this.#fail(`the draw has other winners of agency ${agency} than its file`)
      }
    }
  }

  /** A life of the server opened the ledger and read what is in it. */
  onOpened(): void {
    this.#drawKnown = this.#draw !== undefined
    this.#informed.clear()
    this.#arrived.clear()
    this.#newest.clear()
    for (const agency of this.#servedForGood) this.#informed.add(agency)
  }

  /** The server ends itself since there is nothing left to do (`exitWhenServed`). */
  onDone(): void {
    if (this.#informed.size < this.#files.size) {
      this.#fail(`the server was done when only ${this.#informed.size} agencies had been told`)
    }
  }

  /** It is on disk that an agency was told its winners. */
  onToldNoted(agency: AgencyId, { served }: ToldRecord): void {
    if (!this.#answered.has(agency)) this.#fail(`agency ${agency} is said to be told and wasn't`)
    if (served) this.#servedForGood.add(agency)
  }

  /** The server asked the ledger to hold the draw. */
  onDrawAsked(): void {
    if (this.#drawKnown) this.#fail("the draw was to be held again")
  }

  /** The server learned that the draw is stored. */
  onDrawKnown(): void {
    this.#drawKnown = true
  }

  onLog(action: string, result: string): void {
    if (action !== "sorteo" || result !== "success") return
    this.#drawsLogged++
    if (this.#drawsLogged > 1) this.#fail("the log reports a second draw")
  }

  // ---- what the server answered

  /** The first whole request of a connection reached the server, which may have no room for it yet. */
  onArrived(conversation: Conversation, heldUp: boolean): void {
    conversation.place = heldUp ? Number.POSITIVE_INFINITY : ++this.#places
    const [first] = conversation.asked
    if (first?._tag !== "Chunk" && first?._tag !== "Resume") return
    const arrived = this.#arrived.get(first.agency)
    if (arrived === undefined) this.#arrived.set(first.agency, [conversation])
    else arrived.push(conversation)
  }

  /** The server wrote to a connection. Must be called before anything of it is sent. */
  onWritten(conversation: Conversation, bytes: Uint8Array): void {
    const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0)
    const answer = decodeAnswer(bytes.subarray(4))
    if (length !== bytes.length - 4 || answer._tag === "None") {
      return this.#fail(`${conversation.name}: a write that is not one whole answer`)
    }
    this.#timeline.trace(`${conversation.name} answered ${JSON.stringify(answer.value)}`)
    this.#timeline.count(
      "code" in answer.value ? `answer ${answer.value.code}` : `answer ${answer.value._tag}`
    )
    this.#judge(conversation, answer.value)
  }

  #judge(conversation: Conversation, answer: Answer): void {
    const wrong = (problem: string) => this.#fail(`${conversation.name}: ${answer._tag} ${problem}`)
    if (answer._tag === "ErrorAnswer" && answer.code !== "WRONG_PORT") {
      const nonsense = conversation.asked.some(({ _tag }) => _tag === "Nonsense")
      if (!nonsense && answer.code !== "TIMEOUT" && answer.code !== "TOO_MANY_CONNECTIONS") {
        wrong(`${answer.code} to an agency that did nothing wrong`)
      }
      return
    }
    const asked = conversation.asked.shift()
    if (asked === undefined) return wrong("to nothing that was asked")
    conversation.answered++
    switch (asked._tag) {
      case "Chunk":
        return this.#judgeChunk(conversation, asked, answer, wrong)
      case "Resume":
        return this.#judgeResume(conversation, asked.agency, answer, wrong)
      case "Consult":
        return this.#judgeConsult(asked, answer, wrong)
      case "Nonsense":
        if (answer._tag !== "ChunkRejected" && answer._tag !== "ErrorAnswer") {
          wrong("to nonsense")
        }
    }
  }

  #judgeChunk(
    conversation: Conversation,
    asked: Extract<Asked, { _tag: "Chunk" }>,
    answer: Answer,
    wrong: (problem: string) => void
  ): void {
    if (answer._tag === "ChunkRejected") {
      return this.#judgeRejection(conversation, asked, answer)
    }
    if (answer._tag !== "ChunkProcessed") return wrong("to a chunk")
    if (answer.seq !== asked.seq) wrong(`with seq ${answer.seq} to chunk ${asked.seq}`)
    this.#judgeSpeaker(conversation, asked.agency, wrong)
    const draw = asked.last && asked.seq !== undefined ? simulatedDraw : undefined
    if (answer.draw !== draw) wrong(`as of the draw ${answer.draw}`)
    const standing = this.#standings.get(asked.agency)
    if ((standing?.bets ?? 0) < asked.to) {
      wrong(`to bets up to ${asked.to}, but only ${standing?.bets} are on disk`)
    }
    if (asked.last && standing?.finished !== true) wrong("to a last chunk that is not on disk")
  }

  #judgeRejection(
    conversation: Conversation,
    asked: Extract<Asked, { _tag: "Chunk" }> | "RESUME",
    answer: Extract<Answer, { _tag: "ChunkRejected" }>
  ): void {
    const seq = asked === "RESUME" ? undefined : asked.seq
    const problem = `${conversation.name}: ${answer.code}`
    if (codes[answer.code].retryable) {
      if (asked !== "RESUME" && seq === undefined) this.#fail(`${problem} to a chunk without seq`)
      // What found no room, or what the parsers failed on, was never read, not even its seq.
      const unread = answer.code === "PARSER_FAILED" || answer.code === "OVERLOADED"
      if (answer.seq !== (unread ? undefined : seq)) this.#fail(`${problem}: wrong seq`)
    } else if (answer.code !== "SEQUENCE_GAP" || !conversation.rejected) {
      this.#fail(`${problem} to an agency that did nothing wrong`)
    }
    conversation.rejected = true
  }

  #judgeResume(
    conversation: Conversation,
    agency: AgencyId,
    answer: Answer,
    wrong: (problem: string) => void
  ): void {
    if (answer._tag === "ChunkRejected") {
      return this.#judgeRejection(conversation, "RESUME", answer)
    }
    const standing = this.#standings.get(agency)
    if (answer._tag !== "ResumePoint" || standing === undefined) return wrong("to RESUME")
    this.#judgeSpeaker(conversation, agency, wrong)
    const { bets, digest, draw, finished, seq } = answer
    if (draw !== simulatedDraw) wrong("tells another draw")
    if (bets !== standing.bets || seq !== standing.seq || finished !== standing.finished) {
      wrong(`tells other than what is on disk (${JSON.stringify(standing)})`)
    }
    if (digest !== this.#files.get(agency)?.digest(bets)) wrong("tells another digest")
  }

  /** One connection speaks for an agency: the newest that was answered, or a newer one. */
  #judgeSpeaker(
    conversation: Conversation,
    agency: AgencyId,
    wrong: (problem: string) => void
  ): void {
    const newest = this.#newest.get(agency)
    if (newest !== undefined && newest.place > conversation.place) {
      wrong(`after ${newest.name}, a newer connection, was answered`)
    } else if (Number.isFinite(conversation.place)) this.#newest.set(agency, conversation)
  }

  #judgeConsult(
    { agency, wait }: Extract<Asked, { _tag: "Consult" }>,
    answer: Answer,
    wrong: (problem: string) => void
  ): void {
    if (answer._tag === "WinnersNotReady") {
      if (wait) wrong("to a consult that waits")
      if (this.#drawKnown) wrong("after the draw")
    } else if (answer._tag === "InformAgencyWinners") {
      this.#informed.add(agency)
      this.#answered.add(agency)
      if (this.#draw === undefined) wrong("before the draw is on disk")
      if (answer.documents.join() !== this.#winnersOf(agency).join()) {
        wrong(`with other winners than those of agency ${agency}`)
      }
    } else wrong("to a consult")
  }

  // ---- the end

  /** The agency received its winners. */
  onTold(agency: AgencyId): void {
    this.#told.add(agency)
  }

  /** Everybody had time enough after the last fault. */
  onEnd(): void {
    for (const [agency, { bets, finished }] of this.#standings) {
      const all = this.#files.get(agency)?.bets.length
      if (bets !== all || !finished) {
        this.#fail(`agency ${agency} never finished: ${bets} of ${all} bets are stored`)
      }
      if (!this.#told.has(agency)) this.#fail(`agency ${agency} was never told its winners`)
    }
    if (this.#draw === undefined) this.#fail("the draw was never held")
  }

  #winnersOf(agency: AgencyId): ReadonlyArray<string> {
    return this.#files.get(agency)?.winners(this.#winningNumber) ?? []
  }

  #fail(problem: string): void {
    this.#timeline.fail(problem)
  }
}
