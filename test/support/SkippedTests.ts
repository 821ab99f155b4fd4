/** Says at the end of a run which tests were skipped, and why: their names have the reason in parentheses. */
import type { Reporter, TestModule } from "vitest/node"

export default class SkippedTests implements Reporter {
  onTestRunEnd(modules: ReadonlyArray<TestModule>): void {
    const names = modules.flatMap((module) =>
      [...module.children.allTests("skipped")]
        // Others were left out on purpose, with -t or by a test that ended the run.
        .filter(({ fullName, options }) =>
          options.mode === "skip" && /\((?:skipped|not here): /.test(fullName)
        )
        .map(({ fullName }) => `  ${module.relativeModuleId} > ${fullName}`)
    )
    if (names.length === 0) return
    process.stdout.write(
      `\nSkipped, because this machine lacks what they need:\n${names.join("\n")}\n`
    )
  }
}
