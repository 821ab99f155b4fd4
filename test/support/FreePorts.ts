/** Ports for what must be found again where it was. */
import { once } from "node:events"
import { type AddressInfo, createServer, type Server } from "node:net"

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

/** The first of two ports, one after the other, that were free a moment ago. */
export const freePortPair = async (): Promise<number> => {
  for (let attempt = 0; attempt < 100; attempt++) {
    const first = await listen(0)
    if (first === undefined) continue
    const { port } = first.address() as AddressInfo
    const second = await listen(port + 1)
    await close(first)
    if (second === undefined) continue
    await close(second)
    return port
  }
  throw new Error("no two free ports in a row")
}
