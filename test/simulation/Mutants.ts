/**
 * Mistakes planted on purpose, to show that the simulation can fail. Each is an edit of one source file as it is loaded;
 * the tree isn't touched. The text to replace must occur exactly once: when the source moves on, the mutant says so.
 */

export interface Mutant {
  readonly name: string
  /** From the root of the project. */
  readonly file: string
  readonly edits: ReadonlyArray<readonly [text: string, planted: string]>
}

export const mutants: ReadonlyArray<Mutant> = [
  {
    name: "skip the duplicate check of agencies that don't count",
    file: "src/domain/Intake.ts",
    edits: [["  return startsWithStoredBet(chunk, evidence)\n", "  return false\n"]]
  },
  {
    name: "skip the duplicate check of agencies that count",
    file: "src/domain/Intake.ts",
    edits: [
      ["  if (seq <= standing.seq) {\n", "  if (seq <= 0) {\n"],
      ["  if (seq > expectedSeq) {\n", "  if (seq > expectedSeq + 1e6) {\n"]
    ]
  },
  {
    name: "answer before commit",
    file: "src/services/intake/BetsDesk.ts",
    edits: [
      [
        "    commits.submit({\n",
        "    this.#replies.processed(connection, chunk, false)\n    commits.submit({\n"
      ],
      [
        "          this.#replies.processed(connection, chunk, false)\n          this.#settle(",
        "          this.#settle("
      ]
    ]
  },
  {
    name: "keep decisions of a failed group",
    file: "src/services/intake/BetsDesk.ts",
    edits: [[
      "      onFailed: (retryAfterMs) => {\n",
      "      onFailed: (retryAfterMs) => {\n        desk.standing = standingAfter(desk.standing, stored)\n"
    ]]
  },
  {
    name: "answer a failed group as stored",
    file: "src/services/ledger/GroupCommit.ts",
    edits: [[
      "if (Result.isSuccess(outcome)) {\n",
      "if (Result.isSuccess(outcome) || trouble.retryMs > 0) {\n"
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
    edits: [["open.putBack(inHand.", "void (inHand."]]
  },
  {
    name: "lose a finished mark on its way to disk",
    file: "src/services/intake/BetsDesk.ts",
    edits: [[
      "      chunk: { agency: desk.agency, ...stored },\n",
      "      chunk: { agency: desk.agency, ...stored, last: false },\n"
    ]]
  },
  {
    name: "lose the finished marks at a restart",
    file: "src/services/draw/Lottery.ts",
    edits: [[".filter(([, standing]) => standing.finished)", ".filter(() => false)"]]
  },
  {
    name: "hold the draw again after a restart",
    file: "src/services/draw/Lottery.ts",
    edits: [
      ["if (Option.isSome(ledger.opened.draw)) {", "if (false) {"],
      ["Deferred.succeed(drawn, ledger.opened.draw.value)", "Effect.void"]
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
    file: "src/services/intake/BetsDesk.ts",
    edits: [[
      "    const { commits, log, lottery } = this.#options\n",
      "    const { commits, log, lottery } = this.#options\n    this.#settle(connection, desk)\n"
    ]]
  },
  {
    name: "put a connection twice in the queue",
    file: "src/services/intake/Connections.ts",
    edits: [[
      "    Queue.offerUnsafe(turns, connection)\n",
      "    Queue.offerUnsafe(turns, connection)\n    Queue.offerUnsafe(turns, connection)\n"
    ]]
  },
  {
    name: "leave the older connection of an agency open",
    file: "src/services/intake/Desk.ts",
    edits: [["      this.#speaker?.close(\"superseded\")\n", ""]]
  },
  {
    name: "number claims in the order in which frames come out of the parsers",
    file: "src/services/intake/Desk.ts",
    edits: [
      [
        "    if (this.#claim > connection.claim) return drop(connection)\n",
        "    if (this.#speaker !== connection && this.#next !== connection) {\n      connection.claim = this.#claim + 1\n    }\n"
      ]
    ]
  },
  {
    name: "never end the turn of a connection that waited and was replaced",
    file: "src/services/intake/Desk.ts",
    edits: [[
      "      next.close(\"superseded\")\n      next.endTurn()\n",
      "      next.close(\"superseded\")\n"
    ]]
  },
  {
    name: "leave consults open when a shutdown drains",
    file: "src/services/intake/Connections.ts",
    edits: [[
      "          for (const connection of of(\"consult\")) shutDown(connection)\n",
      ""
    ]]
  },
  {
    name: "tell an agency that doesn't count to come again",
    file: "src/services/intake/Replies.ts",
    edits: [["    if (!counts) return connection.close(\"unavailable\")\n", ""]]
  },
  {
    name: "take RESUME for the promise that chunks will carry seq",
    file: "src/services/intake/BetsDesk.ts",
    edits: [[
      "        connection.unreadRefused = false\n",
      "        connection.unreadRefused = false\n        connection.counts = true\n"
    ]]
  },
  {
    name: "tell an agency the winners of another",
    file: "src/services/intake/ConsultDesk.ts",
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
    edits: [["    this.#ended = true\n    this.#release()\n", "    this.#ended = true\n"]]
  },
  {
    name: "keep the room of a frame after its turn",
    file: "src/services/intake/FrameBudget.ts",
    edits: [["    this.#room += bytes\n", "    this.#room += bytes - 1\n"]]
  },
  {
    name: "not wake who waits for room",
    file: "src/services/intake/FrameBudget.ts",
    edits: [["    this.#room += bytes\n    this.#serve()\n", "    this.#room += bytes\n"]]
  },
  {
    name: "read on while a chunk is in hand",
    file: "src/services/intake/Connection.ts",
    edits: [[
      "    if (this.#inTurn || this.#waitingForRoom) this.#pause()\n",
      "    if (this.#waitingForRoom) this.#pause()\n"
    ]]
  },
  {
    name: "end a turn without looking for the next frame",
    file: "src/services/intake/Connection.ts",
    edits: [[
      "    this.#release()\n    if (!this.closing) this.#advance()\n",
      "    this.#release()\n"
    ]]
  },
  {
    name: "tell a turn's end to nobody when the parser fails",
    file: "src/services/intake/BetsDesk.ts",
    edits: [[
      "        this.#parserFailed(connection, outcome)\n        break\n",
      "        this.#parserFailed(connection, outcome)\n        return undefined\n"
    ]]
  },
  {
    name: "cut the numbers of a partly repeated chunk in the wrong place",
    file: "src/domain/Intake.ts",
    edits: [["chunk.numbers.subarray(2 * repeated)", "chunk.numbers.subarray(repeated)"]]
  },
  {
    name: "compare repetitions within one chunk only",
    file: "src/domain/Intake.ts",
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
    edits: [["          yield* Effect.timeoutOption(awaitNone(\"bets\"), graceMs)\n", ""]]
  }
]
