/**
 * Connections without sockets, between simulated agencies and the real `Connection`. Faults, drawn for each connection
 * when it is opened:
 *
 * - latency, and frames that arrive in any pieces, down to single bytes;
 * - a cut after any byte of either direction. Each side learns of it soon, or only after seconds (half-open);
 * - bytes that had been read when the server paused, and come all the same;
 * - a stall of seconds in either direction, also in the middle of a frame;
 * - an agency that reads late, over a network that takes few bytes from the writer;
 * - an agency that ignores the server's FIN;
 * - a crash of the server: what it wrote arrives, or is cut off at any byte;
 * - a server that destroys a connection with unread input: the network throws answers away;
 * - a server that is stopped: its connections open, and nothing is read from them.
 */
import type { Connection, Door, Transport } from "../../src/services/intake/Connection.ts"
import type { Asked, Conversation } from "./Conversation.ts"
import { Flow, type FlowFaults } from "./Flow.ts"
import type { Judge } from "./Judge.ts"
import type { Random } from "./Random.ts"
import type { Timeline } from "./Timeline.ts"

/** What an agency is told of its connection. */
export interface Peer {
  readonly onOpen: () => void
  /** A whole answer's body. */
  readonly onAnswer: (body: Uint8Array) => void
  /** The server closed, the connection broke, or there was none to be had. Nothing comes after it. */
  readonly onClosed: () => void
}

export interface NetworkFaults {
  readonly cuts: number
  readonly stalls: number
  readonly deafness: number
  readonly stubbornness: number
  readonly latencyMax: number
}

export const calmNetwork: NetworkFaults = {
  cuts: 0,
  stalls: 0,
  deafness: 0,
  stubbornness: 0,
  latencyMax: 5
}

/** The process that listens. */
export interface Listening {
  /** Which life of which server it is. */
  readonly life: number
  readonly stopped: boolean
  readonly accept: (door: Door, transport: Transport) => Connection
  /** Lets something come to it. */
  readonly deliver: (run: () => void) => void
}

const never = Number.POSITIVE_INFINITY

const drawFlow = (random: Random, faults: NetworkFaults, deaf: boolean): FlowFaults => ({
  breaksAfter: random.chance(faults.cuts) ? random.skewed(0, 8000) : never,
  stallsAt: deaf || random.chance(faults.stalls) ? random.integer(0, 6000) : never,
  stallsFor: random.integer(100, 9000),
  latencyMax: faults.latencyMax,
  room: deaf ? random.integer(0, 60) : 100_000
})

export class Link implements Conversation {
  readonly name: string
  readonly door: Door
  readonly asked: Array<Asked> = []
  answered = 0
  rejected = false
  place = 0
  claimBefore = 0
  readonly seen: Array<number> = []
  /** Requests that the server had received whole when its shutdown began. */
  owed = 0
  /** Whole requests that have reached the server. */
  received = 0
  /** The server let go of the connection by itself, and without FIN. */
  dropped = false
  readonly #timeline: Timeline
  readonly #random: Random
  readonly #judge: Judge
  readonly #peer: Peer
  readonly #stubborn: boolean
  readonly #up: Flow
  readonly #down: Flow
  readonly #requestEnds: Array<number> = []
  #sentUp = 0
  #passedUp = 0
  #server: Listening | undefined
  #connection: Connection | undefined
  #reading = true
  #serverFinished = false
  #serverGone = false
  #clientFinished = false
  #clientGone = false
  #input: Uint8Array = new Uint8Array(0)

  constructor(
    name: string,
    door: Door,
    peer: Peer,
    world: { readonly timeline: Timeline; readonly random: Random; readonly judge: Judge },
    faults: NetworkFaults
  ) {
    this.name = name
    this.door = door
    this.#peer = peer
    this.#timeline = world.timeline
    this.#random = world.random
    this.#judge = world.judge
    this.#stubborn = world.random.chance(faults.stubbornness)
    const broken = () => this.#cut()
    const { random, timeline } = world
    this.#up = new Flow(timeline, random, drawFlow(random, faults, false), {
      ready: () =>
        this.#connection !== undefined && this.#server?.stopped === false
        && (this.#reading || random.chance(0.1)),
      onBytes: (bytes) => this.#onServerBytes(bytes),
      onEnd: () => this.#onServerEnd(),
      onBroken: broken
    })
    const deaf = random.chance(faults.deafness)
    this.#down = new Flow(timeline, random, drawFlow(random, faults, deaf), {
      ready: () => !this.#clientGone,
      onBytes: (bytes) => this.#onClientBytes(bytes),
      onEnd: () => this.#onClientEnd(),
      onBroken: broken
    })
  }

  /** Whether the server still holds the connection. */
  get open(): boolean {
    return this.#connection !== undefined
  }

  /** Whether the server wants no bytes at the moment. */
  get paused(): boolean {
    return !this.#reading
  }

  /** The life of the server that it leads to; 0 while there is none. */
  get life(): number {
    return this.#server?.life ?? 0
  }

  /** Undefined: none listens. */
  connect(server: Listening | undefined): void {
    if (server === undefined) return this.#tellClosed(this.#random.integer(1, 30))
    this.#server = server
    server.deliver(() => {
      this.#connection = server.accept(this.door, this.#transport(server))
      this.#up.kick()
    })
    this.#timeline.after(1, () => {
      if (!this.#clientGone) this.#peer.onOpen()
    })
  }

  // ---- the agency's side

  /** Sends one whole request. */
  ask(asked: Asked, frame: Uint8Array): void {
    if (this.#clientGone || this.#clientFinished) return
    this.asked.push(asked)
    this.send(frame)
    this.#requestEnds.push(this.#sentUp)
  }

  /** Sends bytes that need not be a request. */
  send(bytes: Uint8Array): void {
    this.#sentUp += bytes.length
    this.#up.write(bytes)
  }

  /** The agency sends no more, but still reads. */
  finish(): void {
    if (this.#clientGone || this.#clientFinished) return
    this.#clientFinished = true
    this.#up.end()
  }

  /** The agency forgets the connection. Without `silently` the server learns of it. */
  abandon(silently = false): void {
    if (this.#clientGone) return
    this.#clientGone = true
    this.#down.close()
    if (silently) this.#timeline.count("half-open connection")
    else if (!this.#clientFinished && this.#random.chance(0.5)) this.#up.end()
    else return this.#loseServer(this.#random.integer(0, 20))
    // Of a silent end only the keep-alive of the network tells; until then what was sent arrives.
    this.#loseServer(this.#random.integer(4000, 12_000))
  }

  // ---- the network's side

  /** The server reads again. */
  kick(): void {
    this.#up.kick()
  }

  /** The server's process ended: whatever it wrote arrives, or not. */
  serverVanished(): void {
    if (this.#server === undefined || this.#serverGone) return
    this.#connection = undefined
    this.#serverGone = true
    this.#up.close()
    if (this.#random.chance(0.5)) this.#down.end()
    else {
      this.#down.close()
      this.#tellClosed(this.#random.integer(0, 20))
    }
  }

  #cut(): void {
    this.#timeline.trace(`${this.name} cut`)
    this.#timeline.count("cut")
    this.#down.close()
    this.#tellClosed(this.#learns())
    this.#loseServer(this.#learns())
  }

  /** How long it takes a side to learn of a cut. */
  #learns(): number {
    return this.#random.chance(0.3)
      ? this.#random.integer(2000, 12_000)
      : this.#random.integer(0, 50)
  }

  #loseServer(delay: number): void {
    this.#timeline.after(delay, () => {
      this.#up.close()
      this.#gone()
    })
  }

  #gone(): void {
    this.#server?.deliver(() => {
      const connection = this.#connection
      if (connection === undefined) return
      this.#connection = undefined
      this.#serverGone = true
      this.#timeline.trace(`${this.name} gone`)
      connection.onGone()
    })
  }

  #tellClosed(delay: number): void {
    this.#timeline.after(delay, () => {
      if (this.#clientGone) return
      this.#clientGone = true
      this.#peer.onClosed()
    })
  }

  // ---- the server's side

  #transport(server: Listening): Transport {
    const down = this.#down
    return {
      address: this.name,
      port: 0,
      get unsent() {
        return down.unsent
      },
      write: (bytes) => {
        if (this.#serverGone) return
        this.#judge.onWritten(this, bytes)
        down.write(bytes)
      },
      pause: () => {
        this.#reading = false
      },
      resume: () => {
        this.#reading = true
        this.#up.kick()
      },
      whenSent: (callback) => down.whenTaken(() => server.deliver(callback)),
      finish: (callback) => {
        this.#serverFinished = true
        down.end()
        down.whenTaken(() => server.deliver(callback))
      },
      destroy: () => this.#destroy()
    }
  }

  #destroy(): void {
    const unread = this.#up.inside > 0
    const swallowed = this.#down.unsent > 0 || (unread && this.#random.chance(0.5))
    if (swallowed) this.#timeline.count("answers swallowed by a reset")
    if (swallowed || !this.#serverFinished) {
      if (swallowed) this.#down.close()
      this.#tellClosed(this.#random.integer(0, 20))
    }
    this.#up.close()
    this.dropped = this.#connection !== undefined && !this.#serverFinished
    this.#timeline.after(0, () => this.#gone())
  }

  #onServerBytes(bytes: Uint8Array): void {
    this.#server?.deliver(() => {
      this.#passedUp += bytes.length
      while ((this.#requestEnds[0] ?? Number.POSITIVE_INFINITY) <= this.#passedUp) {
        this.#requestEnds.shift()
        this.received++
        this.#judge.onReceived(this)
      }
      this.#timeline.trace(`${this.name} received ${bytes.length}`)
      this.#connection?.onBytes(bytes)
      if (this.received > 0 && this.place === 0) this.#judge.onArrived(this, this.paused)
    })
  }

  #onServerEnd(): void {
    this.#server?.deliver(() => {
      this.#timeline.trace(`${this.name} received FIN`)
      this.#connection?.onPeerEnd()
    })
  }

  #onClientBytes(bytes: Uint8Array): void {
    const joined = new Uint8Array(this.#input.length + bytes.length)
    joined.set(this.#input)
    joined.set(bytes, this.#input.length)
    this.#input = joined
    while (this.#input.length >= 4 && !this.#clientGone) {
      const end = 4 + new DataView(this.#input.buffer, this.#input.byteOffset).getUint32(0)
      if (this.#input.length < end) return
      const body = this.#input.subarray(4, end)
      this.#input = this.#input.subarray(end)
      this.#peer.onAnswer(body)
    }
  }

  #onClientEnd(): void {
    if (!this.#stubborn) this.finish()
    else this.#timeline.count("a FIN ignored")
    this.#tellClosed(0)
  }
}
