/**
 * A compose file for a central and its agencies, as text. Every container gets the least that it needs: no
 * capability, a root file system that can't be written, a user that owns nothing but the ledger's volume.
 */

/** As many agencies as one machine is asked to run containers for. */
export const composeAgenciesMax = 1000

const head = (agencies: number): string =>
  `# A central and ${agencies} ${
    agencies === 1 ? "agency" : "agencies"
  }. Written by \`compose ${agencies}\`; docs/OPERATIONS.md says how to run it.
name: loteria-nacional

x-contained: &contained
  image: loteria-nacional
  # A user that the image's files don't belong to, and nothing that it doesn't need.
  user: "65532:65532"
  read_only: true
  cap_drop: [ALL]
  security_opt: ["no-new-privileges:true"]
  tmpfs: ["/tmp:size=64m"]
  # The process ends in 8 s at the latest after SIGTERM (shutdown.graceMs).
  stop_grace_period: 10s
  # Old log lines make room for new ones, 100 MB a container.
  logging:
    driver: local

x-agency: &agency
  <<: *contained
  command: [agency, --file, /data/bets.csv]
  depends_on:
    server:
      condition: service_healthy
  # An agency goes on where it was. One that was refused doesn't try for ever.
  restart: on-failure:5
  # The image's own healthcheck asks a server.
  healthcheck:
    disable: true

x-central: &central
  CLI_SERVER_ADDRESS: server:12345
  CLI_SERVER_CONSULT_ADDRESS: server:12346

services:
  server:
    <<: *contained
    build: .
    command: [serve]
    # These override config.yaml: what the agencies and the volumes below count on.
    environment:
      AGENCIES: "${agencies}"
      SERVER_PORT: "12345"
      CONSULT_SERVER_PORT: "12346"
      LEDGER_PATH: /data/ledger.sqlite
    # Whoever reaches the ports can speak as any agency, so they are open to the agencies below alone. To serve
    # agencies elsewhere, in a closed network:
    # ports: ["12345:12345", "12346:12346"]
    volumes:
      - type: bind
        source: ./config.yaml
        target: /app/config.yaml
        read_only: true
        bind:
          create_host_path: false
      - type: volume
        source: ledger
        target: /data
    healthcheck:
      test: [CMD, /usr/local/bin/node, /app/src/main.ts, health]
      interval: 10s
      timeout: 5s
      retries: 3
      start_period: 30s
      start_interval: 1s
    # A descriptor for every connection (connections.max), and for the server's own files.
    ulimits:
      nofile: 32768
    restart: unless-stopped
`

const agencyService = (id: number): string => `
  agency-${id}:
    <<: *agency
    environment:
      <<: *central
      CLI_ID: "${id}"
    volumes:
      - type: bind
        source: ./data/agency-${id}.csv
        target: /data/bets.csv
        read_only: true
        bind:
          create_host_path: false
`

const foot = `
volumes:
  ledger:
`

/** The compose file for the agencies 1 to `agencies`. */
export const composeFile = (agencies: number): string =>
  head(agencies)
  + Array.from({ length: agencies }, (_, index) => agencyService(index + 1)).join("")
  + foot
