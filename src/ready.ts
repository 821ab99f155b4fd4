/**
 * Entry of the containers' healthcheck: asks whether the server in this container is ready, at a sixth of the cost of
 * `health`. The image and the compose files set the port; config.yaml is not read, and Effect is not loaded.
 */
import { get } from "node:http"

/** Below the time limit of the healthcheck. */
const answerTimeoutMs = 4000

const fail = (problem: string): never => {
  process.stderr.write(`${problem}\n`)
  process.exit(1)
}

setTimeout(() => fail(`no answer in ${answerTimeoutMs} ms`), answerTimeoutMs).unref()
get({
  host: process.env["OPS_HOST"] || "127.0.0.1",
  port: process.env["OPS_PORT"] || 12347,
  path: "/readyz",
  agent: false
}, (response) => {
  response.pipe(process.stdout)
  process.exitCode = response.statusCode === 200 ? 0 : 1
}).on("error", (error) => fail(error.message))
