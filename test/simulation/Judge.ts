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
 * - once a connection of an agency was answered, nothing of an older one to the same server is stored or answered. Older
 *   is whose first whole request reached the server earlier;
 * - a connection is answered under a claim of its agency that was taken since it came;
 * - once an agency was claimed, nothing is stored that was decided on under an older claim. A server with an older one
 *   says nothing that wasn't so after it had read the question: that it has stored a chunk which it has stored, or what
 *   was stored at some moment since.
 */
import type { AgencyId } from "../../src/domain/Agency.ts"
import type { Epoch } from "../../src/domain/Claim.ts"
import type { Draw, ToldRecord } from "../../src/domain/Draw.ts"
import { type Answer, decodeAnswer } from "../../src/domain/Message.ts"
import { codes } from "../../src/domain/Rejection.ts"
import type { Standing } from "../../src/domain/Standing.ts"
import type { LedgerChunk } from "../../src/services/ledger/BetLedger.ts"
import type { AgencyFile } from "./AgencyFile.ts"
import type { Asked, Conversation } from "./Conversation.ts"
import { simulatedDraw } from "./LedgerDisk.ts"
import { AgencyRecord, LifeRecord } from "./Records.ts"
import type { Timeline } from "./Timeline.ts"

const utf8 = new TextDecoder()

export class Judge {
  readonly #timeline: Timeline
  readonly #files: ReadonlyMap<AgencyId, AgencyFile>
  readonly #winningNumber: number
  readonly #agencies = new Map<AgencyId, AgencyRecord>()
  readonly #lives = new Map<number, LifeRecord>()
  #draw: Draw | undefined
  #drawsLogged = 0
  readonly #told = new Set<AgencyId>()
  #places = 0
  /** Agencies that were answered with winners in any life, and those that the ledger says were served. */
  readonly #answered = new Set<AgencyId>()
  readonly #servedForGood = new Set<AgencyId>()

  constructor(timeline: Timeline, files: ReadonlyMap<AgencyId, AgencyFile>, winningNumber: number) {
    this.#timeline = timeline
    this.#files = files
    this.#winningNumber = winningNumber
    for (const agency of files.keys()) this.#agencies.set(agency, new AgencyRecord())
  }

  #life(life: number): LifeRecord {
    const known = this.#lives.get(life)
    if (known === undefined) throw new Error(`there is no life ${life}`)
    return known
  }

  // ---- what the ledger did

  /** The agency is claimed. */
  onClaimed(agency: AgencyId, epoch: Epoch, by: number): void {
    const record = this.#agencies.get(agency)
    if (record === undefined) return
    if (epoch !== record.epoch + 1) this.#fail(`agency ${agency}: epoch ${epoch}`)
    record.epoch = epoch
    record.claimedBy = by
    record.claims.set(by, epoch)
  }

  /** The chunk is on disk, given by a life of a server. */
  onStored(chunk: LedgerChunk, by: number): void {
    const { agency } = chunk
    const file = this.#files.get(agency)
    const record = this.#agencies.get(agency)
    if (file === undefined || record === undefined) {
      return this.#fail(`a chunk of agency ${agency} was stored, which is not in the roster`)
    }
    const before = record.now
    const where = `agency ${agency}, chunk ${chunk.seq}`
    this.#judgeStored(chunk, before, file, where)
    const bets = before.bets + chunk.bets
    record.standings.push({ bets, seq: chunk.seq, finished: chunk.last })
    const storedBy = record.storedBy.get(bets) ?? new Set()
    record.storedBy.set(bets, storedBy.add(by))
    if (chunk.last && bets !== file.bets.length) {
      this.#fail(`${where}: finished after ${bets} of ${file.bets.length} bets`)
    }
    if (chunk.epoch !== record.epoch) {
      this.#fail(`${where}: of claim ${chunk.epoch}, and claim ${record.epoch} is the newest`)
    }
    const { arrived, newest } = this.#life(by)
    const answered = newest.get(agency)
    const asked = (conversation: Conversation) =>
      conversation.asked.some((one) => one._tag === "Chunk" && one.to === bets)
    if (
      answered !== undefined
      && !arrived.get(agency)?.some((one) => one.place >= answered.place && asked(one))
    ) this.#fail(`${where}: of an older connection than ${answered.name}, which was answered`)
  }

  #judgeStored(chunk: LedgerChunk, before: Standing, file: AgencyFile, where: string): void {
    if (before.finished) this.#fail(`${where}: stored after the last one`)
    const records = utf8.decode(chunk.body).split("\n").slice(0, -1)
    if (records.length !== chunk.bets) this.#fail(`${where}: ${chunk.bets} bets by its count only`)
    records.forEach((record, index) => {
      const at = before.bets + index
      if (`${record}\n` !== file.records[at]) {
        const place = file.records.indexOf(`${record}\n`)
        this.#fail(`${where}: bet ${at} is ${place === -1 ? "not of the file" : `bet ${place}`}`)
      }
      const number = (chunk.numbers[2 * index] ?? 0) * 256 + (chunk.numbers[2 * index + 1] ?? 0)
      if (number !== Number(file.bets[at]?.number)) this.#fail(`${where}: bet ${at}: wrong number`)
    })
  }

  /** The draw is on disk. */
  onDrawn(draw: Draw): void {
    if (this.#draw !== undefined) this.#fail("a second draw was stored")
    this.#draw = draw
    for (const [agency, { now }] of this.#agencies) {
      if (!now.finished) this.#fail(`the draw was held before agency ${agency} had finished`)
      const expected = this.#winnersOf(agency).join()
      if ((draw.winners.get(agency) ?? []).join() !== expected) {
        this.#fail(`the draw has other winners of agency ${agency} than its file`)
      }
    }
  }

  /** A life of a server opened the ledger. `knows`: and read what is in it. */
  onOpened(life: number, knows: boolean): void {
    const drawKnown = knows && this.#draw !== undefined
    this.#lives.set(life, new LifeRecord(drawKnown, this.#servedForGood))
  }

  /** A server ends itself since there is nothing left to do (`exitWhenServed`). */
  onDone(life: number): void {
    const informed = new Set([...this.#life(life).informed, ...this.#servedForGood])
    if (informed.size < this.#files.size) {
      this.#fail(`the server was done when only ${informed.size} agencies had been told`)
    }
  }

  /** It is on disk that an agency was told its winners. */
  onToldNoted(agency: AgencyId, { served }: ToldRecord): void {
    if (!this.#answered.has(agency)) this.#fail(`agency ${agency} is said to be told and wasn't`)
    if (served) this.#servedForGood.add(agency)
  }

  /** The ledger says that no server waits for an agency any more. */
  get allServed(): boolean {
    return this.#servedForGood.size === this.#files.size
  }

  /** A server asked the ledger to hold the draw. */
  onDrawAsked(life: number): void {
    if (this.#life(life).drawKnown) this.#fail("the draw was to be held again")
    for (const [agency, { now }] of this.#agencies) {
      if (!now.finished) this.#fail(`the draw was to be held before agency ${agency} had finished`)
    }
  }

  /** A server learned that the draw is stored. */
  onDrawKnown(life: number): void {
    this.#life(life).drawKnown = true
  }

  /** `shared`: each server reports the draw, else it is reported once. */
  onLog(life: number, shared: boolean, action: string, result: string): void {
    if (action !== "sorteo" || result !== "success") return
    const reported = shared ? ++this.#life(life).drawsLogged : ++this.#drawsLogged
    if (reported > 1) this.#fail("the log reports a second draw")
  }

  // ---- what the servers answered

  /** A whole request of a connection reached its server. */
  onReceived(conversation: Conversation): void {
    const asked = conversation.asked[conversation.seen.length]
    const agency = asked !== undefined && "agency" in asked ? asked.agency : undefined
    const record = agency === undefined ? undefined : this.#agencies.get(agency)
    conversation.seen.push((record?.standings.length ?? 1) - 1)
  }

  /** The first whole request of a connection reached the server, which may have no room for it yet. */
  onArrived(conversation: Conversation, heldUp: boolean): void {
    conversation.place = heldUp ? Number.POSITIVE_INFINITY : ++this.#places
    const [first] = conversation.asked
    if (first?._tag !== "Chunk" && first?._tag !== "Resume") return
    conversation.claimBefore = this.#agencies.get(first.agency)?.epoch ?? 0
    const { arrived } = this.#life(conversation.life)
    const earlier = arrived.get(first.agency)
    if (earlier === undefined) arrived.set(first.agency, [conversation])
    else earlier.push(conversation)
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
    const seen = conversation.seen.shift() ?? 0
    if (asked === undefined) return wrong("to nothing that was asked")
    conversation.answered++
    switch (asked._tag) {
      case "Chunk":
        return this.#judgeChunk(conversation, asked, answer, wrong)
      case "Resume":
        return this.#judgeResume(conversation, asked.agency, answer, seen, wrong)
      case "Consult":
        return this.#judgeConsult(conversation, asked, answer, wrong)
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
    const record = this.#agencies.get(asked.agency)
    if (record === undefined) return wrong("to an agency that isn't in the roster")
    const { bets, finished } = record.now
    if (bets < asked.to) wrong(`to bets up to ${asked.to}, but only ${bets} are on disk`)
    if (asked.last && !finished) wrong("to a last chunk that is not on disk")
    // Without seq the answer doesn't tell a chunk that was stored from one that was repeated.
    const isNew = asked.seq !== undefined && answer.duplicate !== true
    if (isNew && record.storedBy.get(asked.to)?.has(conversation.life) !== true) {
      wrong(`to bets up to ${asked.to}, which another server has stored`)
    }
    if (record.claimedBy !== conversation.life) this.#timeline.count("answer after a newer claim")
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
    seen: number,
    wrong: (problem: string) => void
  ): void {
    if (answer._tag === "ChunkRejected") {
      return this.#judgeRejection(conversation, "RESUME", answer)
    }
    const record = this.#agencies.get(agency)
    if (answer._tag !== "ResumePoint" || record === undefined) return wrong("to RESUME")
    this.#judgeSpeaker(conversation, agency, wrong)
    const { bets, digest, draw, finished, seq } = answer
    if (draw !== simulatedDraw) wrong("tells another draw")
    // Another server may have stored more, but only under a newer claim.
    const mayBe = record.claimedBy === conversation.life
      ? [record.now]
      : record.standings.slice(seen)
    if (!mayBe.some((one) => one.bets === bets && one.seq === seq && one.finished === finished)) {
      wrong(`tells other than what is on disk (${JSON.stringify(mayBe.at(-1))})`)
    }
    if (digest !== this.#files.get(agency)?.digest(bets)) wrong("tells another digest")
  }

  /** One connection to a server speaks for an agency: the newest that was answered, or a newer one. */
  #judgeSpeaker(
    conversation: Conversation,
    agency: AgencyId,
    wrong: (problem: string) => void
  ): void {
    const claim = this.#agencies.get(agency)?.claims.get(conversation.life) ?? 0
    if (claim <= conversation.claimBefore) wrong(`under claim ${claim}, older than the connection`)
    const { newest: answered } = this.#life(conversation.life)
    const newest = answered.get(agency)
    if (newest !== undefined && newest.place > conversation.place) {
      wrong(`after ${newest.name}, a newer connection, was answered`)
    } else if (Number.isFinite(conversation.place)) answered.set(agency, conversation)
  }

  #judgeConsult(
    { life }: Conversation,
    { agency, wait }: Extract<Asked, { _tag: "Consult" }>,
    answer: Answer,
    wrong: (problem: string) => void
  ): void {
    if (answer._tag === "WinnersNotReady") {
      if (wait) wrong("to a consult that waits")
      if (this.#life(life).drawKnown) wrong("after the draw")
    } else if (answer._tag === "InformAgencyWinners") {
      this.#life(life).informed.add(agency)
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
    for (const [agency, { now: { bets, finished } }] of this.#agencies) {
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
