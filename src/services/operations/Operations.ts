/** The operations port: liveness (`/healthz`) and readiness to serve agencies (`/readyz`). */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Effect, Layer } from "effect"
import { HttpRouter, HttpServer, HttpServerResponse } from "effect/http"
import { createServer } from "node:http"
import { Lifetime } from "../base/Lifetime.ts"
import { OperatorLog } from "../base/OperatorLog.ts"
import { Settings } from "../base/Settings.ts"
import { ListenFailed, listenProblem } from "../intake/Acceptor.ts"

const resource = "ops_listener"

const routes = Layer.mergeAll(
  HttpRouter.add("GET", "/healthz", HttpServerResponse.jsonUnsafe({ status: "ok" })),
  HttpRouter.add(
    "GET",
    "/readyz",
    Effect.gen(function*() {
      const { unready } = yield* Lifetime
      const reasons = unready()
      return reasons.length === 0
        ? HttpServerResponse.jsonUnsafe({ status: "ready" })
        : HttpServerResponse.jsonUnsafe({ status: "not ready", reasons }, { status: 503 })
    })
  )
)

const announced = Layer.effectDiscard(Effect.gen(function*() {
  const log = yield* OperatorLog
  const { address } = yield* HttpServer.HttpServer
  log.write("INFO", "listen", "success", {
    resource,
    port: address._tag === "UnixPathAddress" ? address.path : address.port
  })
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => log.write("INFO", "close_resource", "success", { resource }))
  )
}))

export const operationsLayer = Layer.unwrap(Effect.gen(function*() {
  const { operations } = yield* Settings
  const server = NodeHttpServer.layer(createServer, {
    ...operations,
    gracefulShutdownTimeout: "200 millis"
  }).pipe(
    Layer.catchTag("ServeError", ({ cause }) =>
      Layer.effectContext(
        Effect.fail(new ListenFailed({ resource, problem: listenProblem(cause, operations) }))
      ))
  )
  return HttpRouter.serve(routes, { disableListenLog: true, disableLogger: true }).pipe(
    Layer.provideMerge(announced),
    Layer.provideMerge(server)
  )
}))
