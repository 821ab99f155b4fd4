/**
 * A compose file for a central and its agencies, as text. Every container has the least rights that it needs: no
 * capability, a read-only root file system, a user that owns only its volume, and limits on memory and processes.
 */

export interface ComposeOptions {
  readonly agencies: number
  /** Generates the bets, in a project of its own: no generated bet can enter the ledger of a real lottery. */
  readonly trial: boolean
}

const bets = 10_000

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
const head = (options: ComposeOptions): string =>
  `${title(options)}
x-contained: &contained
  image: loteria-nacional
  # A user that owns none of the image's files, and only the rights that it needs.
  user: "65532:65532"
  read_only: true
  cap_drop: [ALL]
  security_opt: ["no-new-privileges:true"]
  tmpfs: ["/tmp:size=64m"]
  # After SIGTERM the process ends within 8 s (shutdown.graceMs).
  stop_grace_period: 10s
  # New log lines replace the oldest ones, at 100 MB for each container.
  logging:
    driver: local

# For services that run once.
x-once: &once
  <<: *contained
  restart: "no"
  # The image's own health check asks a server.
  healthcheck:
    disable: true
  mem_limit: 512m
  pids_limit: 64

x-agency: &agency
  <<: *contained
  depends_on:
    server:
      condition: service_healthy${
    options.trial
      ? `
    generate:
      condition: service_completed_successfully`
      : ""
  }
  # A restarted agency continues where it stopped. One that was refused does not retry forever.
  restart: on-failure:5
  healthcheck:
    disable: true
  mem_limit: 1g
  pids_limit: 64

x-central: &central
  CLI_SERVER_ADDRESS: server:12345
  CLI_SERVER_CONSULT_ADDRESS: server:12346

# These override config.yaml: the agencies, the health check and the volumes below rely on them.
x-environment: &environment
  AGENCIES: "${options.agencies}"
  SERVER_PORT: "12345"
  CONSULT_SERVER_PORT: "12346"
  OPS_PORT: "12347"
  LEDGER_PATH: /data/ledger.sqlite
  # If one of these is empty, config.yaml decides.
  DRAW: "\${DRAW:-}"
  OPS_HOST: "\${OPS_HOST:-}"
  LOG_FORMAT: "\${LOG_FORMAT:-}"
  LOGGING_LEVEL: "\${LOGGING_LEVEL:-}"

x-files: &files
  - type: bind
    source: ./config.yaml
    target: /app/config.yaml
    read_only: true
    bind:
      create_host_path: false
  - type: volume
    source: ledger
    target: /data

services:
`

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
    healthcheck:
      test: [CMD, /usr/local/bin/node, /app/src/ready.ts]
      interval: 30s
      timeout: 5s
      retries: 3
      start_period: 30s
      start_interval: 1s
    # The formula of docs/ARCHITECTURE.md for the default configuration, and the kernel's memory for connections.
    mem_limit: "\${SERVER_MEMORY:-4608m}"
    # Threads count too: about 14 for the server, 7 for each parser, and the same again for a command inside.
    pids_limit: 256
    # One descriptor for every connection (connections.max), and some for the server's own files.
    ulimits:
      nofile: 32768
    restart: unless-stopped
`

const generateService = (agencies: number): string => `
  # Bets for the trial. Existing files are left as they are.
  generate:
    <<: *once
    command: [generate, --agencies, "${agencies}", --bets, "${bets}", --out, /data, --keep]
    volumes:
      - type: volume
        source: bets
        target: /data
`

const agencyService = (id: number, trial: boolean): string => `
  agency-${id}:
    <<: *agency
    command: [agency, --file, /data/agency-${id}.csv]
    environment:
      <<: *central
      CLI_ID: "${id}"
    # The agency keeps its state beside its bet file.
    volumes:
      - type: volume
        source: ${trial ? "bets" : "agencies"}
        target: /data
${
  trial ? "" : `      - type: bind
        source: ./data/agency-${id}.csv
        target: /data/agency-${id}.csv
        read_only: true
        bind:
          create_host_path: false
`
}`

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
