/** A Dockerfile as its steps: comments dropped, continued lines joined, `ARG` defaults filled in. */

export interface Step {
  readonly instruction: string
  /** What stands behind the instruction and its `--flags`. */
  readonly text: string
  readonly flags: Readonly<Record<string, string>>
}

export interface Stage {
  readonly base: string
  readonly name: string | undefined
  readonly steps: ReadonlyArray<Step>
}

const joined = (text: string): ReadonlyArray<string> =>
  text.split("\n").filter((line) => !/^\s*(?:#|$)/.test(line)).join("\n")
    .replaceAll(/\\\n\s*/g, "").split("\n")

export const parseDockerfile = (text: string): ReadonlyArray<Stage> => {
  const defaults = new Map<string, string>()
  const stages: Array<{ base: string; name: string | undefined; steps: Array<Step> }> = []
  for (const line of joined(text)) {
    const filled = line.replaceAll(
      /\$\{(\w+)\}/g,
      (reference, name) => defaults.get(name) ?? reference
    )
    const [, instruction = "", flagText = "", rest = ""] =
      /^(\w+) +((?:--\S+ +)*)(.*)$/.exec(filled) ?? []
    const stage = stages.at(-1)
    if (instruction === "ARG") {
      // Within a stage, a name alone brings the value from before the first stage.
      const [name = "", value] = rest.split("=")
      if (value !== undefined) defaults.set(name, value)
    } else if (instruction === "FROM") {
      const [base = "", , name] = rest.split(/ +/)
      stages.push({ base, name, steps: [] })
    } else {
      if (stage === undefined) throw new Error(`${instruction} before FROM`)
      const flags = Object.fromEntries(
        flagText.split(/ +/).filter((flag) => flag !== "").map((flag) => {
          const [name = "", value = ""] = flag.slice(2).split("=")
          return [name, value]
        })
      )
      stage.steps.push({ instruction, text: rest, flags })
    }
  }
  return stages
}

/** The words of an instruction in exec form, `["node", "main.ts"]`. */
export const execForm = (stage: Stage | undefined, instruction: string): ReadonlyArray<string> => {
  const text = stage?.steps.findLast((step) => step.instruction === instruction)?.text
    .replace(/^CMD /, "")
  const words: unknown = JSON.parse(text ?? "null")
  if (!Array.isArray(words)) throw new Error(`${instruction} is not in exec form: ${text}`)
  return words.map(String)
}

/** What LABEL says. */
export const labels = (stage: Stage | undefined): Readonly<Record<string, string>> =>
  Object.fromEntries(
    stage?.steps.filter(({ instruction }) => instruction === "LABEL").flatMap(({ text }) =>
      [...text.matchAll(/([\w.]+)="([^"]*)"/g)].map(([, name = "", value = ""]) => [name, value])
    ) ?? []
  )
