/**
 * A compose file for a central and its agencies, as text. Every container has the least rights that it needs: no
 * capability, a read-only root file system, a user that owns only its volume, and limits on memory and processes.
 */
import {
  agencyAnchors,
  agencyService,
  betsGenerated,
  type ComposeOptions,
  configMount,
  contained,
  generateService,
  portVariables,
  serverHealth,
  serverLimits
} from "./ComposeParts.ts"

const title = ({ agencies, trial }: ComposeOptions): string => {
  const all = `A central and ${agencies} ${agencies === 1 ? "agency" : "agencies"}`
  return trial
    ? `# A trial: ${all.toLowerCase()} with generated bets. Written by \`compose ${agencies} --trial\`;
# \`compose ${agencies}\` writes the file for bets of your own. docs/OPERATIONS.md says how to run both.
name: loteria-trial
`
    : `# ${all}. Written by \`compose ${agencies}\`; docs/OPERATIONS.md says how to run it.
name: loteria-nacional
`
}

/** What all services share. */
const head = (options: ComposeOptions): string => {
  const awaited = { server: "service_healthy", ...(options.trial ? betsGenerated : {}) }
  return `${title(options)}
${contained}${agencyAnchors(awaited, "server")}
# These override config.yaml: the agencies, the health check and the volumes below rely on them.
x-environment: &environment
${portVariables(options.agencies)}  LEDGER_PATH: /data/ledger.sqlite
  # If one of these is empty, config.yaml decides.
  DRAW: "\${DRAW:-}"
  OPS_HOST: "\${OPS_HOST:-}"
  LOG_FORMAT: "\${LOG_FORMAT:-}"
  LOGGING_LEVEL: "\${LOGGING_LEVEL:-}"

x-files: &files
${configMount}  - type: volume
    source: ledger
    target: /data

services:
`
}

const centralServices =
  `  # A server that can't use its configuration exits with 78, and would otherwise be restarted forever.
  check:
    <<: *once
    command: [serve, --check-config]
    environment: *environment
    volumes: *files

  server:
    <<: *contained
    build: .
    command: [serve]
    environment: *environment
    volumes: *files
    depends_on:
      check:
        condition: service_completed_successfully
    # Anyone who can reach the ports can speak as any agency, so they are open only to the agencies below.
    # To serve agencies elsewhere, in a closed network:
    # ports: ["12345:12345", "12346:12346"]
${serverHealth}${serverLimits}`

const foot = (trial: boolean): string => `
volumes:
  ledger:
  ${trial ? "bets" : "agencies"}:
`

/** The compose file for the agencies 1 to `agencies`. */
export const composeFile = (options: ComposeOptions): string =>
  head(options)
  + centralServices
  + (options.trial ? generateService(options.agencies) : "")
  + Array.from(
    { length: options.agencies },
    (_, index) => agencyService(index + 1, options.trial)
  ).join("")
  + foot(options.trial)
