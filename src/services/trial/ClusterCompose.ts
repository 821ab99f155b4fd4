/**
 * A compose file for several servers over one PostgreSQL, behind HAProxy, as text. The servers are alike: any agency may
 * speak to any. The containers are as those of Compose.ts; the database and the balancer have images of their own.
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

/** As many as ops/haproxy.cfg names. */
const servers = ["server-1", "server-2", "server-3"]

const title = ({ agencies, trial }: ComposeOptions): string => {
  const all = `hree servers over one PostgreSQL, HAProxy, and ${agencies} ${
    agencies === 1 ? "agency" : "agencies"
  }`
  return trial
    ? `# A trial: t${all} with generated bets. Written by
# \`compose ${agencies} --cluster --trial\`; \`compose ${agencies} --cluster\` writes the file for bets of your own.
# docs/OPERATIONS.md says how to run both.
name: loteria-cluster-trial
`
    : `# T${all}.
# Written by \`compose ${agencies} --cluster\`; docs/OPERATIONS.md says how to run it.
name: loteria-cluster
`
}

/** What all services share. */
const head = (options: ComposeOptions): string => {
  const awaited = {
    ...Object.fromEntries(servers.map((name) => [name, "service_healthy"])),
    balancer: "service_started",
    ...(options.trial ? betsGenerated : {})
  }
  return `${title(options)}
${contained}${agencyAnchors(awaited, "balancer")}
# These override config.yaml: the agencies, the balancer and the health check below rely on them.
x-environment: &environment
${portVariables(options.agencies)}  # The balancer asks it, from another container.
  OPS_HOST: 0.0.0.0
  # The network of these containers is closed, so the database's connections are not encrypted.
  LEDGER_URL: "postgres://loteria_owner@database:5432/lottery?sslmode=disable"
  LEDGER_PASSWORD_FILE: /run/secrets/ledger-password
  # If one of these is empty, config.yaml decides.
  DRAW: "\${DRAW:-}"
  LOG_FORMAT: "\${LOG_FORMAT:-}"
  LOGGING_LEVEL: "\${LOGGING_LEVEL:-}"

x-files: &files
${configMount}
x-server: &server
    <<: *contained
    command: [serve]
    environment: *environment
    secrets: [ledger-password]
    volumes: *files
    depends_on:
      check:
        condition: service_completed_successfully
${serverHealth}${serverLimits}
services:
`
}

/** The image runs them in the order of their names, when the volume is new. */
const initialSql = (name: string, index: number): string =>
  `      - type: bind
        source: ./ops/postgres/${name}.sql
        target: /docker-entrypoint-initdb.d/${index + 1}-${name}.sql
        read_only: true
        bind:
          create_host_path: false
`

const sharedServices = `  # Its data is in the volume, and nobody but the servers reaches it.
  database:
    image: postgres:18-bookworm
    # The image's own user, who owns a new volume.
    user: "999:999"
    read_only: true
    cap_drop: [ALL]
    security_opt: ["no-new-privileges:true"]
    tmpfs: ["/tmp:size=64m", "/var/run/postgresql:size=1m,uid=999,gid=999"]
    environment:
      POSTGRES_DB: lottery
      # Of an administrator who is without one in the end (ops/postgres/passwords.sql).
      POSTGRES_PASSWORD_FILE: /run/secrets/ledger-password
    secrets: [ledger-password]
    volumes:
      - type: volume
        source: database
        target: /var/lib/postgresql
${
  ["roles", "passwords"].map(initialSql).join("")
}    # Over TCP: while the image prepares a new volume, PostgreSQL runs without it.
    healthcheck:
      test: [CMD, pg_isready, --host=127.0.0.1, --username=postgres, --dbname=lottery]
      interval: 10s
      timeout: 5s
      retries: 3
      start_period: 60s
      start_interval: 1s
    shm_size: 256m
    mem_limit: 2g
    pids_limit: 256
    # A shutdown that ends sessions and writes everything down.
    stop_signal: SIGINT
    stop_grace_period: 60s
    logging:
      driver: local
    restart: unless-stopped

  # A server that can't use its configuration exits with 78, and would otherwise be restarted forever.
  check:
    <<: *once
    command: [serve, --check-config]
    environment: *environment
    secrets: [ledger-password]
    volumes: *files
    depends_on:
      database:
        condition: service_healthy

  # Hands every connection to one of the servers that are ready.
  balancer:
    image: haproxy:2.6-bookworm
    user: "99:99"
    read_only: true
    cap_drop: [ALL]
    security_opt: ["no-new-privileges:true"]
    volumes:
      - type: bind
        source: ./ops/haproxy.cfg
        target: /usr/local/etc/haproxy/haproxy.cfg
        read_only: true
        bind:
          create_host_path: false
    # Anyone who can reach the ports can speak as any agency, so they are open only to the agencies below.
    # To serve agencies elsewhere, in a closed network:
    # ports: ["12345:12345", "12346:12346"]
    mem_limit: 1g
    pids_limit: 64
    # Two descriptors for every connection.
    ulimits:
      nofile: 70000
    # The image's own signal waits for the last consult to end.
    stop_signal: SIGTERM
    stop_grace_period: 10s
    logging:
      driver: local
    restart: unless-stopped
`

/** The first one builds the image for all. */
const serverServices = servers.map((name, index) => `
  ${name}:
    <<: *server
${index === 0 ? "    build: .\n" : ""}`).join("")

const foot = (trial: boolean): string => `
volumes:
  database:
  ${trial ? "bets" : "agencies"}:

secrets:
  # Of the role of the servers. The database takes it over when its volume is made.
  ledger-password:
    file: ./data/ledger-password
`

/** The compose file for the agencies 1 to `agencies`. */
export const clusterComposeFile = (options: ComposeOptions): string =>
  head(options)
  + sharedServices
  + serverServices
  + (options.trial ? generateService(options.agencies) : "")
  + Array.from(
    { length: options.agencies },
    (_, index) => agencyService(index + 1, options.trial)
  ).join("")
  + foot(options.trial)
