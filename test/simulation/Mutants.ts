/**
 * Mistakes planted on purpose, to show that the simulation can fail. Each is an edit of one source file as it is loaded;
 * the tree isn't touched. The text to replace must occur exactly once: when the source changes, planting the mutant fails.
 */

export interface Mutant {
  readonly name: string
  /** From the root of the project. */
  readonly file: string
  readonly edits: ReadonlyArray<readonly [text: string, planted: string]>
  /** What goes with it in another file, where two checks stand behind each other. */
  readonly also?: Pick<Mutant, "file" | "edits">
}

export const mutants: ReadonlyArray<Mutant> = [
  {
    name: "skip the duplicate check of agencies that don't count",
    file: "src/domain/ReplayRule.ts",
    edits: [["  return startsWithStoredBet(chunk, evidence)\n", "  return false\n"]]
  },
  {
    name: "skip the duplicate check of agencies that count",
    file: "src/domain/ReplayRule.ts",
    edits: [
      ["  if (seq <= standing.seq) {\n", "  if (seq <= 0) {\n"],
      ["  if (seq > expectedSeq) {\n", "  if (seq > expectedSeq + 1e6) {\n"]
    ]
  },
  {
    name: "answer before commit",
    file: "src/services/intake/BetTurns.ts",
    edits: [
      [
        "    commits.submit({\n",
        "    this.#tellStored(desk, turn, chunk, store)\n    commits.submit({\n"
      ],
      [
        "        this.#tellStored(desk, turn, chunk, store)\n        this.#finish(",
        "        this.#finish("
      ]
    ]
  },
  {
    name: "keep decisions of a failed group",
    file: "src/services/intake/BetTurns.ts",
    edits: [[
      "      onFailed: (retryAfterMs) => {\n",
      "      onFailed: (retryAfterMs) => {\n        desk.settle(store)\n"
    ]]
  },
  {
    name: "answer a failed group as stored",
    file: "src/services/ledger/GroupCommit.ts",
    edits: [[
      "    if (failure.value._tag === \"LedgerInDoubt\") this",
      "    return this.#inHand.settleStored(group)\n    if (failure.value._tag === \"LedgerInDoubt\") this"
    ]]
  },
  {
    // Nothing that an agency sees is wrong: only an invariant notices this one and the next.
    name: "count a parsed frame twice",
    file: "src/services/ledger/OpenGroup.ts",
    edits: [["    this.#framesInParsers--\n", "    this.#framesInParsers -= 2\n"]]
  },
  {
    name: "let go of a chunk that stays for the next try",
    file: "src/services/ledger/ChunksInHand.ts",
    edits: [["      if (!stays) this.#leave(pending)\n", "      this.#leave(pending)\n"]]
  },
  {
    name: "forget the chunks of a failed group that were to stay",
    file: "src/services/ledger/GroupCommit.ts",
    edits: [["this.#open.putBack(this.#inHand.", "void (this.#inHand."]]
  },
  {
    name: "lose a finished mark on its way to disk",
    file: "src/services/intake/BetTurns.ts",
    edits: [[
      "total: standing.bets + store.bets, ...store },\n",
      "total: standing.bets + store.bets, ...store, last: false },\n"
    ]]
  },
  {
    name: "lose the finished marks at a restart",
    file: "src/services/draw/Lottery.ts",
    edits: [["HashSet.fromIterable(standing.finished)", "HashSet.empty()"]]
  },
  {
    name: "hold the draw again after a restart",
    file: "src/services/draw/Lottery.ts",
    edits: [
      ["if (Option.isNone(standing.draw)) yield* checkDue", "yield* checkDue"],
      ["        return standing.draw\n", "        return Option.none()\n"]
    ]
  },
  {
    name: "hold the draw when one agency is still selling",
    file: "src/services/draw/Lottery.ts",
    edits: [["if (count === roster.size) ", "if (count >= roster.size - 1) "]]
  },
  {
    name: "reorder within an agency: a newer connection doesn't wait for the older one's chunk",
    file: "src/services/intake/Desk.ts",
    edits: [["    if (this.#busy) ", "    if (false) "]]
  },
  {
    name: "reorder within an agency: a connection goes on while its chunk is on its way to disk",
    file: "src/services/intake/BetTurns.ts",
    edits: [[
      "    const { commits, lottery } = this.#options\n",
      "    const { commits, lottery } = this.#options\n    this.#finish(desk, turn)\n"
    ]]
  },
  {
    name: "put a turn twice in the queue",
    file: "src/services/intake/Connections.ts",
    edits: [[
      "        onFrame: (session, frame) => offer(new Turn(session, frame)),\n",
      "        onFrame: (session, frame) => {\n          offer(new Turn(session, frame))\n          offer(new Turn(session, frame))\n        },\n"
    ]]
  },
  {
    name: "leave the older connection of an agency open",
    file: "src/services/intake/Desk.ts",
    edits: [["      if (this.#speaker !== undefined) supersede(this.#speaker)\n", ""]]
  },
  {
    name: "number arrivals in the order in which frames come out of the parsers",
    file: "src/services/intake/Desk.ts",
    edits: [
      ["  #arrival = 0\n", "  #arrival = 0\n  #arrivals = new Map<Session, number>()\n"],
      [
        "    if (this.#arrival > session.arrival) return supersede(session)\n",
        "    if (!this.#arrivals.has(session)) this.#arrivals.set(session, this.#arrival + 1)\n"
        + "    const arrival = this.#arrivals.get(session) ?? 0\n"
        + "    if (this.#arrival > arrival) return supersede(session)\n"
      ],
      ["      this.#arrival = session.arrival\n", "      this.#arrival = arrival\n"]
    ]
  },
  {
    name: "never end the turn of a connection that waited and was replaced",
    file: "src/services/intake/Desk.ts",
    edits: [["      waiting.end()\n", ""]]
  },
  {
    name: "leave consults open when a shutdown drains",
    file: "src/services/intake/Connections.ts",
    edits: [[
      "    sessions.each(\"consult\", (connection) => connection.close(\"shutdown\"))\n",
      ""
    ]]
  },
  {
    name: "tell an agency that doesn't number its chunks to come again",
    file: "src/domain/Verdict.ts",
    edits: [
      ["  answer: tellable ? {", "  answer: tellable || true ? {"],
      ["  close: tellable ? undefined", "  close: tellable || true ? undefined"]
    ]
  },
  {
    name: "take RESUME for the promise that chunks will carry seq",
    file: "src/services/intake/Session.ts",
    edits: [[
      "    this.#refusedUnread = false\n",
      "    this.#refusedUnread = false\n    this.#numbered = true\n"
    ]]
  },
  {
    name: "tell an agency the winners of another",
    file: "src/services/intake/ConsultTurns.ts",
    edits: [[
      "draw.winners.get(agency) ?? []",
      "[...draw.winners.values()][0] ?? []"
    ]]
  },
  {
    name: "drop frames that were read when the shutdown began",
    file: "src/services/intake/Connection.ts",
    edits: [[
      "    this.#draining = true\n",
      "    this.#draining = true\n    this.close(\"shutdown\")\n"
    ]]
  },
  {
    name: "keep the room of a frame when its connection is lost in the middle of it",
    file: "src/services/intake/Connection.ts",
    edits: [["    this.#state = ended\n    this.#releaseRoom()\n", "    this.#state = ended\n"]]
  },
  {
    name: "keep the room of a frame after its turn",
    file: "src/services/intake/FrameBudget.ts",
    edits: [["    this.#room += bytes\n", "    this.#room += bytes - 1\n"]]
  },
  {
    name: "not wake who waits for room",
    file: "src/services/intake/FrameBudget.ts",
    edits: [[
      "was reserved\")\n    this.#serve()\n",
      "was reserved\")\n"
    ]]
  },
  {
    name: "read on while a chunk is in hand",
    file: "src/services/intake/Connection.ts",
    edits: [[
      "      case \"InTurn\":\n      case \"AwaitingRoom\":\n",
      "      case \"InTurn\":\n        this.#decoder.push(bytes)\n        return this.#advance(reading)\n      case \"AwaitingRoom\":\n"
    ]]
  },
  {
    name: "end a turn without looking for the next frame",
    file: "src/services/intake/Connection.ts",
    edits: [["    else this.#advance(reading)\n", ""]]
  },
  {
    name: "tell a turn's end to nobody when the parser fails",
    file: "src/services/intake/BetTurns.ts",
    edits: [[
      "retryAfterMs })\n        return \"done\"\n",
      "retryAfterMs })\n        return \"later\"\n"
    ]]
  },
  {
    name: "cut the numbers of a partly repeated chunk in the wrong place",
    file: "src/domain/ReplayRule.ts",
    edits: [["chunk.numbers.subarray(2 * repeated)", "chunk.numbers.subarray(repeated)"]]
  },
  {
    name: "compare repetitions within one chunk only",
    file: "src/domain/ReplayRule.ts",
    edits: [["? evidence.next : replay.from", "? replay.from : replay.from"]]
  },
  {
    name: "end the server when one agency has not been told its winners",
    file: "src/services/draw/Told.ts",
    edits: [[
      "served.size === lottery.agencies.length",
      "served.size >= lottery.agencies.length - 1"
    ]]
  },
  {
    name: "not wait for the last answers at a shutdown",
    file: "src/services/intake/Connections.ts",
    edits: [["    yield* Effect.timeoutOption(sessions.awaitNone(\"bets\"), graceMs)\n", ""]]
  },
  {
    name: "store what was decided on under an older claim (in the simulated home)",
    file: "test/simulation/LedgerDisk.ts",
    edits: [["this.#epochs.get(agency) !== epoch)", "this.#epochs.get(agency) === undefined)"]]
  },
  {
    name: "claim, and look what is stored, in one statement (in the simulated home)",
    file: "test/simulation/SharedLedger.ts",
    edits: [
      [
        "        const isFree = rowLocks.take(",
        "        const seen = [...locks].map((agency) => this.#home.disk.recordOf(agency))\n"
        + "        const isFree = rowLocks.take("
      ],
      ["() => run(unlock, answered), life", "() => run(unlock, answered, seen), life"],
      [
        "const run = (unlock: () => void, answered: boolean) => {",
        "const run = (unlock, answered, seen) => {"
      ],
      ["() => fails(operation) : execute()", "() => fails(operation) : execute(seen)"],
      [
        "    const execute = () => {\n      const claimed =",
        "    const execute = ([stored]) => {\n      const claimed ="
      ],
      ["        const stored = disk.recordOf(agency)\n", ""]
    ]
  },
  {
    name: "read what is stored instead of claiming, when a group was in doubt",
    file: "src/services/intake/BetTurns.ts",
    edits: [
      [
        "  readonly #desks = new Desks()\n",
        "  readonly #desks = new Desks()\n  readonly #doubts = new Map()\n"
      ],
      [
        "        desk.dropClaim(why",
        "        if (why === \"in doubt\") this.#doubts.set(desk, epoch)\n        desk.dropClaim(why"
      ],
      [
        "this.#ask(this.#options.ledger.claim(desk.agency))",
        "this.#ask(this.#doubts.has(desk)\n"
        + "      ? Effect.map(this.#options.ledger.digest(desk.agency), ({ bets, seq }) => {\n"
        + "        const epoch = this.#doubts.get(desk)\n"
        + "        this.#doubts.delete(desk)\n"
        + "        return { bets, seq, epoch, finished: desk.standing.finished }\n"
        + "      })\n"
        + "      : this.#options.ledger.claim(desk.agency))"
      ]
    ]
  },
  {
    name: "send the chunks of a group in doubt again, with the same seq",
    file: "src/services/ledger/GroupCommit.ts",
    edits: [["failure.value._tag === \"LedgerInDoubt\") this", "failure.value._tag === \"\") this"]]
  },
  {
    name: "answer a group in doubt as stored",
    file: "src/services/ledger/GroupCommit.ts",
    edits: [[
      "this.#inHand.settleLost(group, \"in doubt\")",
      "return this.#inHand.settleStored(group)"
    ]]
  },
  {
    name: "answer chunks that were fenced as stored",
    file: "src/services/ledger/GroupCommit.ts",
    edits: [["if (fenced.size === 0) return", "if (fenced.size >= 0) return"]]
  },
  {
    name: "keep the claim of a desk for a newer session",
    file: "src/services/intake/Desk.ts",
    edits: [[
      "      this.#arrival = session.arrival\n      this.#epoch = undefined\n",
      "      this.#arrival = session.arrival\n"
    ]]
  },
  {
    name: "hold the draw by what one server knows, without a look whether it is due",
    file: "src/services/draw/Lottery.ts",
    edits: [["if (count === roster.size) ", "if (count * 2 >= roster.size) "]],
    also: {
      file: "test/simulation/LedgerDisk.ts",
      edits: [["if (roster.some((agency) => !this.recordOf(agency).finished)) ", "if (false) "]]
    }
  },
  {
    name: "hold the draw with one of several permits",
    file: "src/services/ledger/GroupCommit.ts",
    edits: [["permits.withPermits(ledger.groupsMax)(effect)", "permits.withPermits(1)(effect)"]]
  },
  {
    name: "not look at the lottery when there are news",
    file: "src/services/draw/Lottery.ts",
    edits: [["news._tag === \"Changed\"\n", "news._tag === undefined\n"]]
  },
  {
    name: "leave out the poll, and trust in news (in the simulated home)",
    file: "test/simulation/SharedLedger.ts",
    edits: [["Effect.forever(poll)", "Effect.never"]]
  }
]
