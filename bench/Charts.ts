/**
 * Charts from the results, by hand: SVG that reads on light and on dark pages. They show the newest measured (not
 * quick) comparison of each part.
 */
import { globSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { Comparison } from "./Comparison.ts"
import { type Conditions, describeConditions } from "./Conditions.ts"
import { notSynced } from "./Contender.ts"
import type { Results } from "./Results.ts"

interface Bar {
  readonly label: string
  readonly value: number
  readonly text: string
  readonly ours: boolean
}

interface Chart {
  readonly title: string
  readonly subtitle: string
  readonly bars: ReadonlyArray<Bar>
  readonly footer: ReadonlyArray<string>
}

const width = 840
const labelWidth = 282
const barsWidth = 300
const rowHeight = 30
const top = 64
const footerWidth = 130

const escapeXml = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;")

/** Breaks lines at spaces, to fit the width of the picture. */
const wrap = (text: string): ReadonlyArray<string> => {
  const lines: Array<string> = []
  for (const word of text.split(" ")) {
    const last = lines.at(-1)
    if (last === undefined || last.length + word.length + 1 > footerWidth) lines.push(word)
    else lines[lines.length - 1] = `${last} ${word}`
  }
  return lines
}

const style = `
    .page { fill: #ffffff }
    text { font: 13px system-ui, sans-serif; fill: #1f2328 }
    .title { font-size: 17px; font-weight: 600 }
    .small { font-size: 11.5px; fill: #59636e }
    .bar { fill: #8c959f } .ours { fill: #1a7f37 }
    @media (prefers-color-scheme: dark) {
      .page { fill: #0d1117 }
      text { fill: #e6edf3 } .small { fill: #9198a1 }
      .bar { fill: #6e7681 } .ours { fill: #3fb950 }
    }`

const draw = ({ bars, footer, subtitle, title }: Chart): string => {
  const highest = Math.max(...bars.map(({ value }) => value))
  const lines = footer.flatMap(wrap)
  const bottom = top + bars.length * rowHeight
  const height = bottom + 14 + lines.length * 16
  const rows = bars.map(({ label, ours, text, value }, at) => {
    const y = top + at * rowHeight
    const length = Math.max(1, (value / highest) * barsWidth)
    return [
      `  <text x="${labelWidth - 10}" y="${y + 17}" text-anchor="end">${escapeXml(label)}</text>`,
      `  <rect class="bar${ours ? " ours" : ""}" x="${labelWidth}" y="${y + 2}" width="${
        length.toFixed(1)
      }" height="21" rx="2"/>`,
      `  <text x="${(labelWidth + length + 8).toFixed(1)}" y="${y + 17}">${escapeXml(text)}</text>`
    ].join("\n")
  })
  const small = lines.map((line, at) =>
    `  <text class="small" x="16" y="${bottom + 18 + at * 16}">${escapeXml(line)}</text>`
  )
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" role="img">`,
    `  <title>${escapeXml(title)}</title>`,
    `  <style>${style}\n  </style>`,
    // Its own background: a page may be dark where the reader's system is light.
    `  <rect class="page" width="${width}" height="${height}" rx="6"/>`,
    `  <text class="title" x="16" y="28">${escapeXml(title)}</text>`,
    `  <text class="small" x="16" y="48">${escapeXml(subtitle)}</text>`,
    ...rows,
    ...small,
    "</svg>",
    ""
  ].join("\n")
}

const millions = (value: number): string =>
  value >= 1e6 ? `${(value / 1e6).toFixed(2)} M` : `${Math.round(value / 1000)} k`

const conditionsOf = ({ conditions, pairs, seconds }: Results): string =>
  `Medians of ${pairs} pairs of ${seconds} s, ${conditions.date.slice(0, 10)}. ${
    describeConditions(conditions)
  }.`

interface Found {
  readonly results: Results
  readonly comparison: Comparison
}

/** The newest of a part at the usual shape. */
const newest = (all: ReadonlyArray<Results>, part: string, bets = 100, connections = 50) =>
  all.flatMap((results) =>
    results.comparisons
      .filter((one) => one.part === part && one.bets === bets && one.connections === connections)
      .map((comparison): Found => ({ results, comparison }))
  ).at(-1)

const sameMachine = (a: Conditions, b: Conditions): boolean =>
  a.cpu === b.cpu && a.cores === b.cores && a.kernel === b.kernel

const throughput = (all: ReadonlyArray<Results>): Chart | undefined => {
  const base = newest(all, "chunks")
  const ours = base?.comparison.contests[0]
  if (base === undefined || ours === undefined) return undefined
  // Figures of other machines don't belong in one picture.
  const here = all.filter(({ conditions }) => sameMachine(conditions, base.results.conditions))
  const bars = ["chunks", "node", "postgres", "redis", "nats"].flatMap((part) =>
    newest(here, part)?.comparison.contests.slice(1) ?? []
  ).filter(({ contender }) => !contender.endsWith(notSynced)).map((
    { contender, median, ratios }
  ): Bar => ({
    label: contender,
    // Each contender ran in pairs with the central: the length of a bar is the median of its ratios.
    value: 1 / ratios.betsPerSecond,
    text: `${millions(median.betsPerSecond)} (the central: ${
      ratios.betsPerSecond >= 1
        ? `${ratios.betsPerSecond.toFixed(1)} times as many`
        : `${ratios.betsPerSecond.toFixed(2)} of it`
    })`,
    ours: false
  }))
  const own: Bar = {
    label: "the central",
    value: 1,
    text: millions(ours.median.betsPerSecond),
    ours: true
  }
  return {
    title: "Bets taken in per second, on disk before they are acknowledged",
    subtitle:
      "Chunks of 100 bets from 50 connections. Bars show the ratio to the central, measured in pairs.",
    bars: [own, ...bars].toSorted((a, b) => b.value - a.value),
    footer: [
      "The floor appends raw frames to a file and syncs: no parsing, no rules, no draw.",
      conditionsOf(base.results)
    ]
  }
}

const latency = (all: ReadonlyArray<Results>): Chart | undefined => {
  const found = newest(all, "latency")
  if (found === undefined) return undefined
  const { comparison, results } = found
  const bars = comparison.contests.flatMap(({ contender, median }, at) =>
    ([["p50", median.p50], ["p99", median.p99], ["p99.9", median.p999]] as const).map((
      [name, value]
    ): Bar => ({
      label: `${contender}, ${name}`,
      value,
      text: `${value.toFixed(value < 10 ? 2 : 1)} ms`,
      ours: at === 0
    }))
  )
  return {
    title: "From a chunk being due to its answer",
    subtitle:
      `Open loop of ${
        comparison.rate?.toFixed(0)
      } chunks of 100 bets a second, half of the central's highest rate, `
      + "50 connections.",
    bars,
    footer: [conditionsOf(results)]
  }
}

/** Draws the charts that have results, and returns the names of the files. */
export const drawCharts = (folder: string): ReadonlyArray<string> => {
  const all = globSync("*.json", { cwd: folder })
    .map((name): Results => JSON.parse(readFileSync(join(folder, name), "utf8")))
    .filter(({ quick }) => !quick)
    .toSorted((a, b) => a.conditions.date.localeCompare(b.conditions.date))
  const charts = { "throughput.svg": throughput(all), "latency.svg": latency(all) }
  return Object.entries(charts).flatMap(([name, chart]) => {
    if (chart === undefined) return []
    writeFileSync(join(folder, name), draw(chart))
    return [name]
  })
}
