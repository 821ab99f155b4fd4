/**
 * NATS JetStream, a stream on file, synced before each answer (`sync_interval: always`, from 2.10 on); messages are
 * published without waiting for each other and acknowledged one by one. Older servers can't sync like that: they are
 * measured as they are, and the report says so.
 */
import { writeFileSync } from "node:fs"
import { connect } from "node:net"
import { join } from "node:path"
import { endChild, freePort, pidOf, run, runWell, spawnLogged, untilReady, which } from "./Child.ts"
import {
  type Candidates,
  type Contender,
  notSynced,
  type Place,
  type Running
} from "./Contender.ts"
import { type Encoding, natsChunks, natsEntries } from "./Requests.ts"
import { diskBytes } from "./Usage.ts"

const configuration = (port: number, folder: string, synced: boolean) => `
listen: "127.0.0.1:${port}"
max_payload: 8388608
max_pending: 268435456
jetstream {
  store_dir: "${join(folder, "store")}"
  max_file_store: 1TB
  ${synced ? "sync_interval: always" : ""}
}
`

/** Sends one request over a new connection, and returns the answer's payload. */
const request = (port: number, subject: string, body: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1")
    let input = ""
    socket.setEncoding("utf8").setTimeout(
      5000,
      () => socket.destroy(new Error(`${subject}: no answer`))
    )
    socket.once("error", reject)
    socket.on("data", (text: string) => {
      input += text
      const answer = /MSG _INBOX\.ask 1 \d+\r\n(.*)\r\n/.exec(input)?.[1]
      if (answer === undefined) return
      socket.destroy()
      resolve(answer)
    })
    socket.write(
      `CONNECT {"verbose":false}\r\nSUB _INBOX.ask 1\r\n`
        + `PUB ${subject} _INBOX.ask ${Buffer.byteLength(body)}\r\n${body}\r\n`
    )
  })

const stream = JSON.stringify({
  name: "BETS",
  subjects: ["bets.*"],
  storage: "file",
  retention: "limits",
  max_consumers: -1,
  max_msgs: -1,
  max_bytes: -1,
  max_age: 0,
  num_replicas: 1
})

const start = async (
  program: string,
  synced: boolean,
  { bets, folder }: Place,
  encoding: Encoding
): Promise<Running> => {
  const port = await freePort()
  const configFile = join(folder, "nats.conf")
  writeFileSync(configFile, configuration(port, folder, synced))
  const logFile = join(folder, "log")
  const child = spawnLogged(program, ["-c", configFile], logFile)
  const created = await untilReady(
    child,
    logFile,
    () => request(port, "$JS.API.STREAM.CREATE.BETS", stream).catch(() => undefined)
  )
  if (created.includes("\"error\"")) throw new Error(`nats-server: ${created}`)
  return {
    port,
    pid: pidOf(child),
    finish: async () => {
      const info = await request(port, "$JS.API.STREAM.INFO.BETS", "")
      await endChild(child)
      const messages = Number(/"messages":(\d+)/.exec(info)?.[1])
      return {
        unit: "bets",
        count: messages * (bets / encoding.answers(bets)),
        diskBytes: diskBytes(join(folder, "store"))
      }
    }
  }
}

export const nats = async (workFolder: string): Promise<Candidates> => {
  const program = await which("nats-server")
  if (program === undefined) {
    return { contenders: [], remarks: ["NATS isn't installed (package nats-server)"] }
  }
  const version = (await runWell(program, ["--version"])).trim()
  const trial = join(workFolder, "nats-trial.conf")
  writeFileSync(trial, configuration(4222, workFolder, true))
  const synced = (await run(program, ["-c", trial, "-t"])).code === 0
  const contender = (name: string, encoding: Encoding): Contender => ({
    name: synced ? name : `${name}${notSynced}`,
    encoding,
    start: (place) => start(program, synced, place, encoding)
  })
  return {
    contenders: [
      contender("NATS, a message per bet", natsEntries),
      contender("NATS, a message per chunk", natsChunks)
    ],
    remarks: [
      synced
        ? `${version}: JetStream on file, sync_interval always`
        : `${version}: JetStream on file. This version can't sync before it answers (sync_interval: `
          + "always needs 2.10): it loses what it has acknowledged when the power fails, and isn't comparable"
    ]
  }
}
