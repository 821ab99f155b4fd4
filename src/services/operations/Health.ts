/** Asks a server over its operations port whether it is ready to serve agencies. */
import { Effect, Option, Schema } from "effect"
import { get } from "node:http"

/** The server could not be reached, or is not ready. */
export class NotReady extends Schema.TaggedError<NotReady>()("NotReady", {
  address: Schema.String,
  problem: Schema.String
}) {
  override get message(): string {
    return `${this.address}: ${this.problem}`
  }
}

/** Well below the time limits that container engines set for a healthcheck. */
const answerTimeoutMs = 2000

/** A server that listens on every interface is asked on the loopback interface. */
const reachableHost = (host: string): string =>
  host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host

/** The answer of a server that is not ready. Another program on that port may answer anything. */
const NotReadyAnswer = Schema.fromJsonString(
  Schema.Struct({ reasons: Schema.Array(Schema.String) })
)

/** More than a server answers. */
const answerCharactersMax = 64 * 1024

const whyNotReady = (status: number | undefined, body: string): string =>
  Option.match(Schema.decodeUnknownOption(NotReadyAnswer)(body), {
    onNone: () => `status ${status}`,
    onSome: ({ reasons }) => reasons.join("; ")
  })

/** Succeeds when the server is ready. */
export const checkReady = (host: string, port: number): Effect.Effect<void, NotReady> => {
  const asked = reachableHost(host)
  const address = `${asked.includes(":") ? `[${asked}]` : asked}:${port}`
  const problem = `no answer in ${answerTimeoutMs} ms`
  return ask(asked, port, address).pipe(
    Effect.timeoutOrElse({
      duration: answerTimeoutMs,
      orElse: () => Effect.fail(new NotReady({ address, problem }))
    })
  )
}

const ask = (host: string, port: number, address: string): Effect.Effect<void, NotReady> =>
  Effect.callback((resume) => {
    const fail = (problem: string) => resume(Effect.fail(new NotReady({ address, problem })))
    const request = get(
      { host, port, path: "/readyz", agent: false },
      (response) => {
        let body = ""
        response.setEncoding("utf8")
        response.on("data", (text: string) => {
          if (body.length < answerCharactersMax) body += text
        })
        response.on("error", (error) => fail(error.message))
        response.on("end", () => {
          if (response.statusCode === 200) resume(Effect.void)
          else fail(`not ready: ${whyNotReady(response.statusCode, body)}`)
        })
      }
    )
    request.on("error", (error) => fail(error.message))
    return Effect.sync(() => request.destroy())
  })
