/** docs/GUARANTEES.md: every promise names tests, and every test that it names is there. */
import { assert, describe, it } from "@effect/vitest"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"

const root = join(import.meta.dirname, "..")
const read = (path: string) => readFileSync(join(root, path), "utf8")
const [promised = "", notPromised = ""] = read("docs/GUARANTEES.md")
  .split("\n## What is not promised\n")

/** A promise is an item with its first sentence in bold; the tests that it names are items below it. */
const promises = promised.split(/\n(?=- \*\*)/).slice(1).map((text) => ({
  title: /^- \*\*(.+?)\*\*/s.exec(text)?.[1]?.replaceAll("\n ", "") ?? text,
  tests: [...text.matchAll(/^ {2}- `([^`]+)`: (.+(?:\n {4}.+)*)$/gm)].map(
    ([, file = "", wrapped = ""]) => ({ file, name: wrapped.replaceAll("\n    ", " ") })
  )
}))

/** In a source, a quotation mark inside a name may be escaped. */
const namesTest = (source: string, name: string): boolean =>
  source.replaceAll("\\\"", "\"").includes(name)

/** The suites are run by the tests of each home. */
const isOfTests = (file: string): boolean =>
  file.endsWith(".test.ts") || file.startsWith("test/suites/")

describe("docs/GUARANTEES.md", () => {
  it("promises something, and says what it doesn't promise", () => {
    assert.isAbove(promises.length, 20)
    assert.include(notPromised, "- **")
  })

  it("names a test for every promise, and only tests that are there", () => {
    const wrong = promises.flatMap(({ tests, title }) =>
      tests.length === 0
        ? [`no test: ${title}`]
        : tests
          .filter(({ file, name }) =>
            !isOfTests(file) || !existsSync(join(root, file))
            || !namesTest(read(file), name)
          )
          .map(({ file, name }) => `no such test: ${file}: ${name}`)
    )
    assert.deepStrictEqual(wrong, [])
  })
})
