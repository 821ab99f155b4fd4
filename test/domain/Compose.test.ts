/** The compose files are what the Compose Specification allows, and give the containers what they need and no more. */
import { assert, describe, it } from "@effect/vitest"
import { Ajv, type AnySchemaObject } from "ajv"
import { Schema } from "effect"
import { load, YAML11_SCHEMA } from "js-yaml"
import { readFileSync } from "node:fs"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { composeFile } from "../../src/domain/Compose.ts"
import { runMain } from "../support/Central.ts"

const root = join(import.meta.dirname, "../..")
const read = (path: string) => readFileSync(join(root, path), "utf8")

/** Merge keys (`<<`) belong to YAML 1.1, and compose knows them. */
const parse = (text: string): unknown => load(text, { schema: YAML11_SCHEMA })

const Service = Schema.Struct({
  image: Schema.String,
  build: Schema.optionalKey(Schema.String),
  user: Schema.String,
  read_only: Schema.Boolean,
  cap_drop: Schema.Array(Schema.String),
  security_opt: Schema.Array(Schema.String),
  command: Schema.Array(Schema.String),
  stop_grace_period: Schema.String,
  depends_on: Schema.optionalKey(
    Schema.Record(Schema.String, Schema.Struct({ condition: Schema.String }))
  ),
  healthcheck: Schema.Struct({
    disable: Schema.optionalKey(Schema.Boolean),
    test: Schema.optionalKey(Schema.Array(Schema.String))
  }),
  environment: Schema.Record(Schema.String, Schema.String),
  volumes: Schema.Array(Schema.Struct({
    type: Schema.String,
    source: Schema.String,
    target: Schema.String,
    read_only: Schema.optionalKey(Schema.Boolean)
  })),
  ports: Schema.optionalKey(Schema.Unknown)
})

const ComposeFile = Schema.Struct({
  services: Schema.Record(Schema.String, Service),
  volumes: Schema.Record(Schema.String, Schema.Null)
})

const servicesOf = (agencies: number) => {
  const { services } = Schema.decodeUnknownSync(ComposeFile)(parse(composeFile(agencies)))
  const { server, ...others } = services
  if (server === undefined) throw new Error("no server")
  return { server, agencies: others }
}

/** ajv knows draft 7 by another address than the one that the schema gives. */
const specification = (): AnySchemaObject => {
  const { $schema: _, ...schema }: AnySchemaObject = JSON.parse(
    read("test/support/compose-spec/schema.json")
  )
  return schema
}

describe("a compose file", () => {
  const validate = new Ajv({ allErrors: true, strict: false, validateFormats: false })
    .compile(specification())

  it.each([1, 5, 200])("for %d agencies is valid by the Compose Specification", (agencies) => {
    const valid = validate(parse(composeFile(agencies)))
    assert.deepStrictEqual(validate.errors ?? [], [])
    assert.isTrue(valid)
    assert.lengthOf(Object.keys(servicesOf(agencies).agencies), agencies)
  })

  it("with a key that the specification doesn't know is not", () => {
    assert.isFalse(validate(parse(`${composeFile(1)}volums: {}\n`)))
    assert.isFalse(validate(parse(composeFile(1).replace("read_only: true", "readonly: true"))))
  })

  it("keeps every container from what it doesn't need", () => {
    const { agencies, server } = servicesOf(5)
    for (const service of [server, ...Object.values(agencies)]) {
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
  })

  it("starts agencies when the server is healthy, each with its own id and bets", () => {
    const { agencies, server } = servicesOf(5)
    assert.strictEqual(server.environment["AGENCIES"], "5")
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
      assert.strictEqual(agency?.volumes[0]?.source, `./data/agency-${id}.csv`)
      assert.strictEqual(agency?.volumes[0]?.target, agency?.command.at(-1))
    }
  })
})

describe("compose", () => {
  it("wrote the committed docker-compose.yaml, with 5", async () => {
    const { code, stdout } = await runMain(["compose", "5"])
    assert.strictEqual(code, 0)
    assert.strictEqual(read("docker-compose.yaml"), stdout)
  })

  it("writes to the file that it is given", async () => {
    const folder = await mkdtemp(join(tmpdir(), "loteria-compose-"))
    try {
      const out = join(folder, "compose.yaml")
      const { code, stdout } = await runMain(["compose", "3", "--out", out])
      assert.deepStrictEqual([code, stdout], [0, ""])
      assert.strictEqual(readFileSync(out, "utf8"), composeFile(3))
    } finally {
      await rm(folder, { recursive: true })
    }
  })

  it.each(["0", "1001", "five"])("refuses %s agencies as wrong usage", async (agencies) => {
    assert.strictEqual((await runMain(["compose", agencies])).code, 2)
  })
})
