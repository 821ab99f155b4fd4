/** Pieces that the compose files of a lottery with one server and of one with several have in common. */

export interface ComposeOptions {
  readonly agencies: number
  /** Generates the bets, in a project of its own: no generated bet can enter the ledger of a real lottery. */
  readonly trial: boolean
}

const betsOfTrial = 10_000

/** A container with the least rights, and what a service that runs once has on top. */
export const contained = `x-contained: &contained
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

`

/**
 * What agencies have in common: the services that they wait for, each with the condition, and the host whose ports they
 * are told.
 */
export const agencyAnchors = (
  awaited: Readonly<Record<string, string>>,
  host: string
): string =>
  `x-agency: &agency
  <<: *contained
  depends_on:
${
    Object.entries(awaited).map(([name, condition]) =>
      `    ${name}:
      condition: ${condition}
`
    ).join("")
  }  # A restarted agency continues where it stopped. One that was refused does not retry forever.
  restart: on-failure:5
  healthcheck:
    disable: true
  mem_limit: 1g
  pids_limit: 64

x-central: &central
  CLI_SERVER_ADDRESS: ${host}:12345
  CLI_SERVER_CONSULT_ADDRESS: ${host}:12346
`

/** What a trial's agencies also wait for. */
export const betsGenerated = { generate: "service_completed_successfully" } as const

/** The ports, as the containers know them. */
export const portVariables = (agencies: number): string =>
  `  AGENCIES: "${agencies}"
  SERVER_PORT: "12345"
  CONSULT_SERVER_PORT: "12346"
  OPS_PORT: "12347"
`

export const configMount = `  - type: bind
    source: ./config.yaml
    target: /app/config.yaml
    read_only: true
    bind:
      create_host_path: false
`

/** Of a server. Its port is the same in every container. */
export const serverHealth = `    healthcheck:
      test: [CMD, /usr/local/bin/node, /app/src/ready.ts]
      interval: 30s
      timeout: 5s
      retries: 3
      start_period: 30s
      start_interval: 1s
`

export const serverLimits =
  `    # The formula of docs/ARCHITECTURE.md for the default configuration, and the kernel's memory for connections.
    mem_limit: "\${SERVER_MEMORY:-4608m}"
    # Threads count too: about 14 for the server, 7 for each parser, and the same again for a command inside.
    pids_limit: 256
    # One descriptor for every connection (connections.max), and some for the server's own files.
    ulimits:
      nofile: 32768
    restart: unless-stopped
`

export const generateService = (agencies: number): string => `
  # Bets for the trial. Existing files are left as they are.
  generate:
    <<: *once
    command: [generate, --agencies, "${agencies}", --bets, "${betsOfTrial}", --out, /data, --keep]
    volumes:
      - type: volume
        source: bets
        target: /data
`

export const agencyService = (id: number, trial: boolean): string => `
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
