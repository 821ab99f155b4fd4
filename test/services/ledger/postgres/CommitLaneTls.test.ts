/** A commit lane over TLS: with a PostgreSQL behind a server that encrypts as PostgreSQL does. */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { execFileSync } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { connect, createServer, type Server, type Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { TLSSocket } from "node:tls"
import { AgencyId } from "../../../../src/domain/Agency.ts"
import { installed, missing } from "../../../support/Installed.ts"
import { claimedChunk, LaneTrial } from "../../../support/LaneTrial.ts"
import { Postgres } from "../../../support/Postgres.ts"

const one = AgencyId.make(1)
const noOpenssl = missing("openssl")
const skipped = noOpenssl === undefined ? "" : ` (skipped: ${noOpenssl})`

/** What the server answers to the request for encryption, before it encrypts or not. */
type Reply = "S" | "N" | "S and more"

class TlsServer implements AsyncDisposable {
  readonly certificate: string
  reply: Reply = "S"
  encrypted = 0
  readonly #folder: string
  readonly #listener: Server
  readonly #target: number

  private constructor(folder: string, listener: Server, target: number) {
    this.#folder = folder
    this.certificate = join(folder, "certificate.pem")
    this.#listener = listener
    this.#target = target
    listener.on("connection", (socket) => this.#serve(socket))
  }

  static async start(target: number): Promise<TlsServer> {
    const folder = mkdtempSync(join(tmpdir(), "loteria-tls-"))
    const files = ["-keyout", "key.pem", "-out", "certificate.pem"]
    const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    execFileSync(
      installed("openssl"),
      ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", ...files, ...subject],
      { cwd: folder, stdio: "ignore" }
    )
    const listener = createServer().listen({ port: 0, host: "127.0.0.1" })
    await once(listener, "listening")
    return new TlsServer(folder, listener, target)
  }

  get port(): number {
    const address = this.#listener.address()
    return typeof address === "object" && address !== null ? address.port : 0
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close()
    rmSync(this.#folder, { recursive: true })
  }

  #serve(socket: Socket): void {
    socket.on("error", () => {})
    socket.once("data", () => {
      socket.write(this.reply === "S and more" ? "SZ" : this.reply)
      if (this.reply !== "S") return
      const secure = new TLSSocket(socket, {
        isServer: true,
        key: readFileSync(join(this.#folder, "key.pem")),
        cert: readFileSync(this.certificate)
      })
      secure.on("error", () => socket.destroy())
      secure.once("secure", () => this.encrypted++)
      const postgres = connect({ port: this.#target, host: "127.0.0.1" })
      postgres.on("error", () => secure.destroy())
      secure.on("close", () => postgres.destroy())
      secure.pipe(postgres).pipe(secure)
    })
  }
}

describe.skipIf(noOpenssl !== undefined)(`a commit lane over TLS${skipped}`, () => {
  let postgres: Postgres
  let server: TlsServer
  beforeAll(async () => {
    postgres = await Postgres.start()
    server = await TlsServer.start(postgres.port)
  })
  afterAll(async () => {
    await server[Symbol.asyncDispose]()
    await postgres[Symbol.asyncDispose]()
  })

  const urlThrough = (trial: LaneTrial, host: string, parameters: string) => {
    const url = new URL(trial.url)
    url.hostname = host
    url.port = String(server.port)
    return `${url.href}?${parameters}`
  }
  const knownHere = (): string => `sslrootcert=${server.certificate}`

  it.live("stores groups of any size, encrypted", () =>
    Effect.gen(function*() {
      const trial = yield* LaneTrial.begin(postgres, 2)
      const before = server.encrypted
      const parameters = `sslmode=verify-full&${knownHere()}`
      const lane = yield* trial.open({}, urlThrough(trial, "localhost", parameters))
      yield* trial.claim(one, lane)
      yield* lane.commit([claimedChunk(one, { count: 40_000 })])
      yield* lane.commit([claimedChunk(one, { seq: 2, before: 40_000 })])
      assert.deepStrictEqual(yield* trial.stored, ["1/1", "1/2"])
      assert.isAbove(server.encrypted, before)
    }).pipe(Effect.scoped))

  const refused: ReadonlyArray<readonly [string, string, () => string, Reply]> = [
    ["a certificate that nobody vouches for", "localhost", () => "sslmode=verify-full", "S"],
    ["another host's certificate", "127.0.0.1", () => `sslmode=verify-full&${knownHere()}`, "S"],
    ["no encryption", "localhost", () => "sslmode=require", "N"],
    ["bytes before the encryption", "localhost", () => "sslmode=require", "S and more"]
  ]
  it.live.each(refused)("refuses %s", ([, host, parameters, reply]) =>
    Effect.gen(function*() {
      server.reply = reply
      const trial = yield* LaneTrial.begin(postgres, 2)
      const lane = yield* trial.open({}, urlThrough(trial, host, parameters()))
      const failure = yield* Effect.flip(lane.commit([]))
      assert.strictEqual(failure._tag, "LedgerUnavailable")
      assert.match(failure.message, /certificate|altnames|doesn't encrypt/)
    }).pipe(Effect.ensuring(Effect.sync(() => (server.reply = "S"))), Effect.scoped))
})
