/** Flags of `agency` and `consult`: which agency, where the central is, and for how long to try. */
import { Config, type Option } from "effect"
import { Flag } from "effect/cli"
import { AgencyId } from "../domain/Agency.ts"
import type { Addresses } from "../services/agency/Servers.ts"
import type { LogLevel } from "../services/base/LogLevel.ts"
import { addressesFlag, expectAddresses, integer, logLevelFlag } from "./Flags.ts"

export const agencyFlags = {
  id: Flag.Int("id").pipe(
    Flag.withFallbackConfig(Config.Int("CLI_ID")),
    Flag.withSchema(AgencyId),
    Flag.withDescription("The agency's number (or CLI_ID)")
  ),
  server: addressesFlag("server", "CLI_SERVER_ADDRESS").pipe(
    Flag.withDefault("127.0.0.1:12345"),
    expectAddresses,
    Flag.withDescription(
      "The central's bets port (or CLI_SERVER_ADDRESS); 127.0.0.1:12345 by default. Several servers of one lottery "
        + "with commas, the preferred one first: when one fails, the agency goes on with the next"
    )
  ),
  consult: addressesFlag("consult", "CLI_SERVER_CONSULT_ADDRESS").pipe(
    expectAddresses,
    Flag.optional,
    Flag.withDescription(
      "The central's consult port (or CLI_SERVER_CONSULT_ADDRESS); by default the port after each bets port, on the "
        + "same host"
    )
  ),
  giveUpAfter: Flag.Int("give-up-after").pipe(
    Flag.withDefault(24 * 60 * 60),
    Flag.withSchema(integer(1, 365 * 24 * 60 * 60)),
    Flag.withDescription(
      "Give up after this many seconds without progress; 86400 (a day) by default"
    )
  ),
  logLevel: logLevelFlag("CLI_LOG_LEVEL")
}

export interface AgencyFlags {
  readonly id: AgencyId
  readonly server: Addresses
  readonly consult: Option.Option<Addresses>
  readonly giveUpAfter: number
  readonly logLevel: LogLevel
}
