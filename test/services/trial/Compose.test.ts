/** The compose files are what the Compose Specification allows, and give the containers what they need and no more. */
import { assert, describe, it } from "@effect/vitest"
import { Ajv, type AnySchemaObject } from "ajv"
import { Schema } from "effect"
import { load, YAML11_SCHEMA } from "js-yaml"
import { readFileSync } from "node:fs"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { clusterComposeFile } from "../../../src/services/trial/ClusterCompose.ts"
import { composeFile } from "../../../src/services/trial/Compose.ts"
import type { ComposeOptions } from "../../../src/services/trial/ComposeParts.ts"
import { memoryCeiling } from "../../faults/Memory.ts"
import { runMain } from "../../support/Central.ts"

const root = join(import.meta.dirname, "../../..")
const read = (path: string) => readFileSync(join(root, path), "utf8")

/** Merge keys (`<<`) belong to YAML 1.1, and compose knows them. */
const parse = (text: string): unknown => load(text, { schema: YAML11_SCHEMA })

const Mount = Schema.Struct({
  type: Schema.String,
  source: Schema.String,
  target: Schema.String,
  read_only: Schema.optionalKey(Schema.Boolean)
})

const Service = Schema.Struct({
  image: Schema.String,
  build: Schema.optionalKey(Schema.String),
  restart: Schema.String,
  mem_limit: Schema.String,
  pids_limit: Schema.Number,
  user: Schema.String,
  read_only: Schema.Boolean,
  cap_drop: Schema.Array(Schema.String),
  security_opt: Schema.Array(Schema.String),
  command: Schema.Array(Schema.String),
  secrets: Schema.optionalKey(Schema.Array(Schema.String)),
  stop_grace_period: Schema.String,
  depends_on: Schema.optionalKey(
    Schema.Record(Schema.String, Schema.Struct({ condition: Schema.String }))
  ),
  healthcheck: Schema.Struct({
    disable: Schema.optionalKey(Schema.Boolean),
    test: Schema.optionalKey(Schema.Array(Schema.String))
  }),
  environment: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)),
  volumes: Schema.Array(Mount),
  ports: Schema.optionalKey(Schema.Unknown)
})

/** What the formula of docs/ARCHITECTURE.md is of. */
const MemorySettings = Schema.Struct({
  connections: Schema.Struct({
    max: Schema.Number,
    frameBytesMax: Schema.Number,
    frameBudgetBytes: Schema.Number
  }),
  ledger: Schema.Struct({ groupBytesMax: Schema.Number }),
  parsers: Schema.Struct({ processes: Schema.Number, memoryMb: Schema.Number })
})

const ComposeFile = Schema.Struct({
  services: Schema.Record(Schema.String, Service),
  volumes: Schema.Record(Schema.String, Schema.Null)
})

/** The two that have images of their own are not started by a command of ours. */
const OtherService = Schema.Struct({
  mem_limit: Schema.String,
  pids_limit: Schema.Number,
  user: Schema.String,
  read_only: Schema.Boolean,
  cap_drop: Schema.Array(Schema.String),
  security_opt: Schema.Array(Schema.String),
  secrets: Schema.optionalKey(Schema.Array(Schema.String)),
  volumes: Schema.Array(Mount),
  ports: Schema.optionalKey(Schema.Unknown)
})

const ClusterFile = Schema.Struct({
  services: Schema.StructWithRest(
    Schema.Struct({ balancer: OtherService, database: OtherService }),
    [Schema.Record(Schema.String, Schema.Unknown)]
  ),
  secrets: Schema.Record(Schema.String, Schema.Struct({ file: Schema.String }))
})

const servicesOf = (options: ComposeOptions) => {
  const { services, volumes } = Schema.decodeUnknownSync(ComposeFile)(parse(composeFile(options)))
  const { check, generate, server, ...agencies } = services
  if (server === undefined || check === undefined) throw new Error("no server")
  return { server, check, generate, agencies, volumes, all: Object.values(services) }
}

/** In MiB; a variable has its default. */
const mebibytesOf = (limit: string): number => {
  const [, number, unit] = /^(?:\$\{\w+:-)?(\d+)([mg])\}?$/.exec(limit) ?? []
  return Number(number) * (unit === "g" ? 1024 : 1)
}

/** ajv knows draft 7 by another address than the one that the schema gives. */
const specification = (): AnySchemaObject => {
  const { $schema: _, ...schema }: AnySchemaObject = JSON.parse(
    read("test/support/compose-spec/schema.json")
  )
  return schema
}

const validate = new Ajv({ allErrors: true, strict: false, validateFormats: false })
  .compile(specification())

describe("a compose file", () => {
  it.each([[1, false], [5, true], [200, false]] as const)(
    "for %d agencies (a trial: %s) is valid by the Compose Specification",
    (agencies, trial) => {
      const options = { agencies, trial }
      const valid = validate(parse(composeFile(options)))
      assert.deepStrictEqual(validate.errors ?? [], [])
      assert.isTrue(valid)
      assert.lengthOf(Object.keys(servicesOf(options).agencies), agencies)
    }
  )

  it("with a key that the specification doesn't know is not", () => {
    const text = composeFile({ agencies: 1, trial: false })
    assert.isFalse(validate(parse(`${text}volums: {}\n`)))
    assert.isFalse(validate(parse(text.replace("read_only: true", "readonly: true"))))
  })

  it.each([false, true])(
    "keeps every container from what it doesn't need (a trial: %s)",
    (trial) => {
      const { all } = servicesOf({ agencies: 5, trial })
      for (const service of all) {
        assert.isAbove(mebibytesOf(service.mem_limit), 0)
        assert.isAbove(service.pids_limit, 0)
        assert.isTrue(service.read_only)
        assert.deepStrictEqual(service.cap_drop, ["ALL"])
        assert.include(service.security_opt, "no-new-privileges:true")
        assert.notMatch(service.user, /^(?:0|root)\b/)
        assert.strictEqual(service.stop_grace_period, "10s")
        assert.isUndefined(service.ports)
        for (const volume of service.volumes) {
          assert.isTrue(volume.type === "volume" || volume.read_only === true, volume.source)
        }
      }
    }
  )

  it("starts agencies when the server is healthy, each with its own id and bets", () => {
    const { agencies, server } = servicesOf({ agencies: 5, trial: false })
    assert.strictEqual(server.environment?.["AGENCIES"], "5")
    assert.strictEqual(server.healthcheck.test?.[0], "CMD", "no shell")
    assert.deepStrictEqual(
      server.volumes.map(({ target }) => target),
      ["/app/config.yaml", "/data"]
    )
    for (let id = 1; id <= 5; id++) {
      const agency = agencies[`agency-${id}`]
      assert.deepStrictEqual(agency?.depends_on, { server: { condition: "service_healthy" } })
      assert.deepStrictEqual(agency?.environment, {
        CLI_ID: String(id),
        CLI_SERVER_ADDRESS: "server:12345",
        CLI_SERVER_CONSULT_ADDRESS: "server:12346"
      })
      const [remembered, bets] = agency?.volumes ?? []
      assert.strictEqual(bets?.source, `./data/agency-${id}.csv`)
      assert.strictEqual(bets?.target, agency?.command.at(-1))
      // What lies beside the bet file outlives the container.
      assert.strictEqual(remembered?.type, "volume")
      assert.strictEqual(remembered?.target, dirname(bets?.target ?? ""))
    }
  })

  it("checks the configuration once, with all that the server gets, before a server is started", () => {
    const { check, server } = servicesOf({ agencies: 5, trial: false })
    assert.deepStrictEqual(check.command, [...server.command, "--check-config"])
    assert.deepStrictEqual(check.environment, server.environment)
    assert.deepStrictEqual(check.volumes, server.volumes)
    assert.strictEqual(check.restart, "no")
    assert.isTrue(check.healthcheck.disable)
    assert.deepStrictEqual(server.depends_on, {
      check: { condition: "service_completed_successfully" }
    })
    assert.strictEqual(server.restart, "unless-stopped")
  })

  it("gives the server the memory that the formula comes to for config.yaml, and its connections some", () => {
    const { check, server } = servicesOf({ agencies: 5, trial: false })
    const settings = Schema.decodeUnknownSync(MemorySettings)(
      load(read("config.yaml"))
    )
    const kernelMb = 256
    const temporaryMb = 64
    assert.isAtLeast(
      mebibytesOf(server.mem_limit),
      memoryCeiling(settings) + kernelMb + temporaryMb
    )
    assert.isAtLeast(mebibytesOf(check.mem_limit), 512)
  })

  it("for a trial generates bets first, and has nothing in common with a lottery that is held", () => {
    const trial = { agencies: 3, trial: true }
    const { agencies, generate, volumes } = servicesOf(trial)
    const [bets] = generate?.volumes ?? []
    if (generate === undefined || bets === undefined) return assert.fail("nothing is generated")
    assert.includeMembers([...generate.command], ["--keep", bets.target])
    assert.strictEqual(generate.restart, "no")
    for (const [name, agency] of Object.entries(agencies)) {
      assert.deepStrictEqual(agency.depends_on, {
        server: { condition: "service_healthy" },
        generate: { condition: "service_completed_successfully" }
      })
      assert.deepStrictEqual(agency.volumes, [bets])
      assert.strictEqual(agency.command.at(-1), `${bets.target}/${name}.csv`)
    }
    assert.sameMembers(Object.keys(volumes), ["ledger", "bets"])
    const real = servicesOf({ agencies: 3, trial: false })
    assert.isUndefined(real.generate)
    const project = /^name: (.+)$/m
    assert.notStrictEqual(
      project.exec(composeFile(trial))?.[1],
      project.exec(composeFile({ ...trial, trial: false }))?.[1]
    )
  })
})

const clusterOf = (options: ComposeOptions) => {
  const text = clusterComposeFile(options)
  const { secrets, services: { balancer, database, ...services } } = Schema.decodeUnknownSync(
    ClusterFile
  )(parse(text))
  const own = Schema.decodeUnknownSync(Schema.Record(Schema.String, Service))(services)
  const names = Object.keys(own)
  const servers = names.filter((name) => name.startsWith("server-"))
  const agencies = names.filter((name) => name.startsWith("agency-"))
  return { agencies, balancer, database, own, secrets, servers, text }
}

describe("a compose file of several servers", () => {
  it.each([[1, false], [5, true], [200, false]] as const)(
    "for %d agencies (a trial: %s) is valid by the Compose Specification",
    (agencies, trial) => {
      const valid = validate(parse(clusterComposeFile({ agencies, trial })))
      assert.deepStrictEqual(validate.errors ?? [], [])
      assert.isTrue(valid)
      assert.lengthOf(clusterOf({ agencies, trial }).agencies, agencies)
    }
  )

  it("keeps every container from what it doesn't need, the database and the balancer too", () => {
    const { balancer, database, own } = clusterOf({ agencies: 5, trial: true })
    for (const service of [balancer, database, ...Object.values(own)]) {
      assert.isAbove(mebibytesOf(service.mem_limit), 0)
      assert.isAbove(service.pids_limit, 0)
      assert.isTrue(service.read_only)
      assert.deepStrictEqual(service.cap_drop, ["ALL"])
      assert.include(service.security_opt, "no-new-privileges:true")
      assert.match(service.user, /^[1-9]\d*:[1-9]\d*$/)
      assert.isUndefined(service.ports)
    }
  })

  it("gives the password to the database and to servers, in a file, and to nobody else", () => {
    const { balancer, database, own, secrets, servers, text } = clusterOf({
      agencies: 2,
      trial: false
    })
    assert.deepStrictEqual(Object.keys(secrets), ["ledger-password"])
    for (const [name, service] of Object.entries(own)) {
      const knows = name === "check" || servers.includes(name)
      assert.deepStrictEqual(service.secrets, knows ? ["ledger-password"] : undefined, name)
      assert.strictEqual(service.environment?.["LEDGER_PASSWORD_FILE"] !== undefined, knows, name)
      assert.isUndefined(service.environment?.["LEDGER_PATH"])
    }
    assert.deepStrictEqual(database.secrets, ["ledger-password"])
    assert.isUndefined(balancer.secrets)
    assert.notMatch(text, /PASSWORD: |:[^@/ ]+@/)
  })

  it("has the servers that ops/haproxy.cfg names, on its ports, all alike", () => {
    const { agencies, own, servers } = clusterOf({ agencies: 3, trial: false })
    const { build: _, ...first } = own["server-1"] ?? assert.fail("no server")
    for (const name of servers) {
      const { build: __, ...server } = own[name] ?? assert.fail(name)
      assert.deepStrictEqual(server, first)
    }
    const balancer = read("ops/haproxy.cfg")
    const named = [...balancer.matchAll(/^ {2}server (\S+) (\S+):(\d+)$/gm)]
    assert.deepStrictEqual(
      named.map(([, name, host, port]) => `${name} ${host} ${port}`),
      ["SERVER_PORT", "CONSULT_SERVER_PORT"].flatMap((variable) =>
        servers.map((name) => `${name} ${name} ${first.environment?.[variable]}`)
      )
    )
    assert.include(balancer, `check port ${first.environment?.["OPS_PORT"]} `)
    assert.strictEqual(first.environment?.["OPS_HOST"], "0.0.0.0")
    for (const name of agencies) {
      assert.deepInclude(own[name]?.environment, {
        CLI_SERVER_ADDRESS: "balancer:12345",
        CLI_SERVER_CONSULT_ADDRESS: "balancer:12346"
      })
      assert.sameMembers(Object.keys(own[name]?.depends_on ?? {}), [...servers, "balancer"])
    }
  })

  it("has the database make the servers' role, which is no administrator", () => {
    const { database, own } = clusterOf({ agencies: 1, trial: false })
    assert.deepStrictEqual(
      database.volumes.filter(({ type }) => type === "bind").map(({ source, target }) =>
        `${source} ${target}`
      ),
      [
        "./ops/postgres/roles.sql /docker-entrypoint-initdb.d/1-roles.sql",
        "./ops/postgres/passwords.sql /docker-entrypoint-initdb.d/2-passwords.sql"
      ]
    )
    const { searchParams, username } = new URL(own["server-1"]?.environment?.["LEDGER_URL"] ?? "")
    assert.strictEqual(username, "loteria_owner")
    assert.strictEqual(searchParams.get("sslmode"), "disable")
    assert.include(read("ops/postgres/roles.sql"), `CREATE ROLE ${username} LOGIN;`)
    assert.include(read("ops/postgres/passwords.sql"), `ALTER ROLE ${username} PASSWORD`)
  })

  it("checks the configuration against the database before a server is started", () => {
    const { own, servers } = clusterOf({ agencies: 3, trial: false })
    const { check } = own
    assert.deepStrictEqual(check?.depends_on, { database: { condition: "service_healthy" } })
    assert.deepStrictEqual(check?.command, ["serve", "--check-config"])
    for (const name of servers) {
      assert.deepStrictEqual(own[name]?.environment, check?.environment)
      assert.deepStrictEqual(own[name]?.depends_on, {
        check: { condition: "service_completed_successfully" }
      })
    }
  })
})

describe("compose", () => {
  it("wrote the committed docker-compose.cluster.yaml, a trial with 5", async () => {
    const { code, stdout } = await runMain(["compose", "5", "--cluster", "--trial"])
    assert.strictEqual(code, 0)
    assert.strictEqual(read("docker-compose.cluster.yaml"), stdout)
  })

  it("wrote the committed docker-compose.yaml, a trial with 5", async () => {
    const { code, stdout } = await runMain(["compose", "5", "--trial"])
    assert.strictEqual(code, 0)
    assert.strictEqual(read("docker-compose.yaml"), stdout)
  })

  it("writes to the file that it is given", async () => {
    const folder = await mkdtemp(join(tmpdir(), "loteria-compose-"))
    try {
      const out = join(folder, "compose.yaml")
      const { code, stdout } = await runMain(["compose", "3", "--out", out])
      assert.deepStrictEqual([code, stdout], [0, ""])
      assert.strictEqual(readFileSync(out, "utf8"), composeFile({ agencies: 3, trial: false }))
    } finally {
      await rm(folder, { recursive: true })
    }
  })

  it.each(["0", "1001", "five"])("refuses %s agencies as wrong usage", async (agencies) => {
    assert.strictEqual((await runMain(["compose", agencies])).code, 2)
  })
})
