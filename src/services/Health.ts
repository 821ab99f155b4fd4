/** Asks a running server, over its operations port, whether it serves agencies. */
import { Effect, Schema } from "effect"
import { get } from "node:http"

/** The server was not reached, or doesn't serve agencies (yet, or any more). */
export class NotReady extends Schema.TaggedError<NotReady>()("NotReady", {
  address: Schema.String,
  problem: Schema.String
}) {
  override get message(): string {
    return `${this.address}: ${this.problem}`
  }
}

/** Well below the deadline that container engines give a healthcheck. */
const answerTimeoutMs = 2000

/** A server that listens on every interface is asked on the loopback one. */
const reachableHost = (host: string): string =>
  host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host

/** Succeeds when the server is ready. */
export const checkReady = (host: string, port: number): Effect.Effect<void, NotReady> =>
  Effect.callback((resume) => {
    const asked = reachableHost(host)
    const address = `${asked.includes(":") ? `[${asked}]` : asked}:${port}`
    const fail = (problem: string) => resume(Effect.fail(new NotReady({ address, problem })))
    const request = get(
      { host: asked, port, path: "/readyz", agent: false, timeout: answerTimeoutMs },
      (response) => {
        response.resume()
        if (response.statusCode === 200) resume(Effect.void)
        else fail(`not ready (status ${response.statusCode})`)
      }
    )
    request.on("timeout", () => request.destroy(new Error(`no answer in ${answerTimeoutMs} ms`)))
    request.on("error", (error) => fail(error.message))
    return Effect.sync(() => request.destroy())
  })
