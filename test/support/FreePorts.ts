/** Ports that were free a moment ago, for servers that have to be told their port before they start. */
import { once } from "node:events"
import { createServer, type Server } from "node:net"

const listen = async (port: number): Promise<Server | undefined> => {
  const server = createServer()
  const outcome = new Promise<boolean>((resolve) => {
    server.once("listening", () => resolve(true)).once("error", () => resolve(false))
  })
  server.listen(port, "127.0.0.1")
  return await outcome ? server : undefined
}

const close = async (server: Server): Promise<void> => {
  server.close()
  await once(server, "close")
}

/**
 * Below the ports that systems hand out by themselves (from 32768 on Linux): while they are free here, no other test's
 * listener or connection is given one of them.
 */
const lowest = 20_000
const pairs = 6000

/** The first of two ports, one after the other, that were free a moment ago. */
export const freePortPair = async (): Promise<number> => {
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = lowest + 2 * Math.floor(pairs * Math.random())
    const first = await listen(port)
    if (first === undefined) continue
    const second = await listen(port + 1)
    await close(first)
    if (second === undefined) continue
    await close(second)
    return port
  }
  throw new Error("no two free ports in a row")
}

/** Any port; other listeners and connections may be given it as soon as it is free again. */
export const freePort = async (): Promise<number> => {
  const server = createServer().listen({ port: 0, host: "127.0.0.1" })
  await once(server, "listening")
  const address = server.address()
  await close(server)
  if (address === null || typeof address === "string") throw new Error("no port")
  return address.port
}
