/** Several servers over one ledger: processes on ports of their own, which they keep when they are killed and started again. */
import { Central, type CentralOptions } from "../support/Central.ts"
import type { Address } from "../support/FieldAgency.ts"
import { freePortPair } from "../support/FreePorts.ts"
import { descendants, waitUntilGone } from "../support/Processes.ts"

/** Actions of the log that are counted over all lives of all servers. */
const counted = {
  inDoubt: "action: commit_in_doubt",
  superseded: "reason: superseded",
  defects: "action: defect"
} as const
type Counted = keyof typeof counted

export class Servers implements AsyncDisposable {
  readonly centrals: ReadonlyArray<Central>
  readonly addresses: ReadonlyArray<Address>
  readonly #counts: Record<Counted, number> = { inDoubt: 0, superseded: 0, defects: 0 }

  private constructor(centrals: ReadonlyArray<Central>, addresses: ReadonlyArray<Address>) {
    this.centrals = centrals
    this.addresses = addresses
  }

  /** One for each URL; all are ready. */
  static async start(
    urls: ReadonlyArray<string>,
    { settings = {}, ...options }: CentralOptions
  ): Promise<Servers> {
    const addresses: Array<Address> = []
    const centrals: Array<Central> = []
    for (const url of urls) {
      const betsPort = await freePortPair()
      const consultPort = betsPort + 1
      addresses.push({ betsPort, consultPort })
      centrals.push(
        await Central.prepare({
          ...options,
          environment: { ...options.environment, LEDGER_URL: url },
          settings: {
            ...settings,
            bets: { host: "127.0.0.1", port: betsPort },
            consult: { host: "127.0.0.1", port: consultPort }
          }
        })
      )
    }
    const servers = new Servers(centrals, addresses)
    try {
      await Promise.all(centrals.map((central) => central.start()))
    } catch (error) {
      await servers[Symbol.asyncDispose]()
      throw error
    }
    return servers
  }

  at(index: number): Central {
    const central = this.centrals[index]
    if (central === undefined) throw new Error(`there is no server ${index}`)
    return central
  }

  address(index: number): Address {
    const address = this.addresses[index]
    if (address === undefined) throw new Error(`there is no server ${index}`)
    return address
  }

  async kill(index: number): Promise<void> {
    const central = this.at(index)
    const children = descendants(central.pid)
    await central.kill()
    count(central, this.#counts)
    await waitUntilGone(children)
  }

  /** All of them, in order; their exit codes. */
  async stop(): Promise<ReadonlyArray<number | null>> {
    const endings = await Promise.all(this.centrals.map((central) => central.stop()))
    for (const central of this.centrals) count(central, this.#counts)
    return endings.map(({ code }) => code)
  }

  /** Of all lives, also those that go on. */
  get counts(): Readonly<Record<Counted, number>> {
    const counts = { ...this.#counts }
    for (const central of this.centrals) if (central.running) count(central, counts)
    return counts
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const central of this.centrals) await central[Symbol.asyncDispose]()
  }
}

const count = (central: Central, counts: Record<Counted, number>): void => {
  counts.inDoubt += central.log.split(counted.inDoubt).length - 1
  counts.superseded += central.log.split(counted.superseded).length - 1
  counts.defects += central.log.split(counted.defects).length - 1
}
