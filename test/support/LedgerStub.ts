/** A ledger of which a test needs a few operations, and the services around it. */
import { Effect, Layer, Option, Stream } from "effect"
import { DrawName } from "../../src/domain/Draw.ts"
import { Keeper } from "../../src/services/base/Keeper.ts"
import { Lifetime } from "../../src/services/base/Lifetime.ts"
import { LogWriter, OperatorLog } from "../../src/services/base/OperatorLog.ts"
import { decodeSettings, Settings } from "../../src/services/base/Settings.ts"
import { BetLedger } from "../../src/services/ledger/BetLedger.ts"

type Ledger = BetLedger["Service"]

const unused = Effect.die("the test has no use for this")

/** A new ledger; what isn't given dies when it is used. */
export const ledgerStub = (
  { opened = {}, ...operations }: Partial<Omit<Ledger, "opened">> & {
    readonly opened?: Partial<Ledger["opened"]>
  }
): Ledger =>
  BetLedger.of({
    opened: {
      drawName: DrawName.make("d"),
      isNew: true,
      bets: 0,
      finished: 0,
      ...opened
    },
    groupsMax: 1,
    news: Stream.never,
    claim: () => unused,
    standing: Effect.succeed({ finished: new Set(), draw: Option.none() }),
    toldRecords: Effect.succeed(new Map()),
    commit: () => unused,
    chunkAt: () => unused,
    readBets: () => unused,
    digest: () => unused,
    told: () => unused,
    holdDraw: unused,
    ...operations
  })

const silent = new LogWriter({ level: "CRITICAL", format: "text", flushMs: 0 }, () => {})

/** What a service of the ledger or of the draw needs around it. */
export const aroundLedger = (
  ledger: Ledger,
  settings: Readonly<Record<string, unknown>>,
  log: LogWriter = silent
) =>
  Keeper.layer.pipe(
    Layer.provideMerge(Lifetime.layer),
    Layer.provideMerge(Layer.mergeAll(
      Layer.succeed(BetLedger, ledger),
      Layer.effect(Settings, decodeSettings("the test", settings, {})),
      Layer.succeed(OperatorLog, log)
    ))
  )
