/** Tables for the terminal. */
import type { Comparison } from "./Comparison.ts"
import type { DrawResult } from "./Draw.ts"
import type { GrowthResult } from "./Growth.ts"
import type { IdleResult } from "./Idle.ts"
import type { AloneResult } from "./PostgresLedger.ts"
import type { ServersResult } from "./Servers.ts"
import type { SnapshotResult } from "./Snapshot.ts"

const mega = 1e6

const rate = (value: number): string =>
  value >= mega
    ? `${(value / mega).toFixed(2)} M`
    : value >= 1000
    ? `${(value / 1000).toFixed(1)} k`
    : value.toFixed(0)
const ms = (value: number): string => value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)
const megabytes = (bytes: number): string =>
  `${(bytes / 2 ** 20).toFixed(bytes < 10 * 2 ** 20 ? 1 : 0)} MB`
const times = (value: number): string => `${value.toFixed(value < 10 ? 2 : 1)} x`

/** The first column is text, the others are figures. */
const formatTable = (
  head: ReadonlyArray<string>,
  rows: ReadonlyArray<ReadonlyArray<string>>
): string => {
  const widths = head.map((name, column) =>
    Math.max(name.length, ...rows.map((row) => row[column]?.length ?? 0))
  )
  const line = (cells: ReadonlyArray<string>) =>
    `  ${
      cells.map((cell, column) =>
        column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)
      ).join("  ")
    }`.trimEnd()
  return [line(head), line(widths.map((width) => "-".repeat(width))), ...rows.map(line)].join("\n")
}

const shapeOf = ({ bets, connections, rate: chunkRate }: Comparison): string =>
  `chunks of ${bets}, ${connections} connections`
  + (chunkRate === undefined ? "" : `, open loop of ${chunkRate.toFixed(0)} chunks/s`)

/** One comparison: a row for each contender, with its medians and its ratio to the central. */
export const formatComparison = (comparison: Comparison): string => {
  const rows = comparison.contests.map(({ contender, median, ratios }, at) => [
    contender,
    rate(median.betsPerSecond),
    at === 0 ? "" : times(ratios.betsPerSecond),
    ms(median.p50),
    ms(median.p99),
    ms(median.p999),
    at === 0 ? "" : times(ratios.p99),
    median.cpuPerMillionBets.toFixed(2),
    at === 0 ? "" : times(ratios.cpuPerMillionBets),
    megabytes(median.peakPssBytes),
    median.diskBytesPerBet.toFixed(1),
    median.loadAverage.toFixed(1)
  ])
  const head = [
    shapeOf(comparison),
    "bets/s",
    "central/it",
    "p50 ms",
    "p99 ms",
    "p99.9",
    "central/it",
    "CPU s/M bets",
    "central/it",
    "peak PSS",
    "disk B/bet",
    "load"
  ]
  const problems = comparison.contests.flatMap(({ contender, runs }) =>
    runs.flatMap((run) => run.problems.map((problem) => `  !! ${contender}: ${problem}`))
  )
  return [formatTable(head, rows), ...new Set(problems)].join("\n")
}

/** Two comparisons of one part that differ in their connections: how the ratio changes with more of them. */
export const formatScaling = (comparisons: ReadonlyArray<Comparison>): ReadonlyArray<string> => {
  const ratioAt = (bets: number, connections: number) =>
    comparisons.find((one) =>
      one.part === "chunks" && one.bets === bets && one.connections === connections
    )?.contests[1]?.ratios.betsPerSecond
  return [...new Set(comparisons.map(({ bets }) => bets))].flatMap((bets) => {
    const few = ratioAt(bets, 50)
    const many = ratioAt(bets, 1000)
    return few === undefined || many === undefined ? [] : [
      `  chunks of ${bets}: of the floor ${few.toFixed(2)} at 50 connections, ${
        many.toFixed(2)
      } at 1000: `
      + `${(many / few).toFixed(2)} of it is left`
    ]
  })
}

export const formatDraw = (results: ReadonlyArray<DrawResult>): string =>
  formatTable(
    ["the draw, 5 agencies", "last chunk to last winners", "runs", "peak PSS"],
    results.map(({ bets, medianMs, runs }) => [
      `${rate(bets)} bets`,
      `${ms(medianMs)} ms`,
      runs.map((run) => ms(run.ms)).join(" "),
      megabytes(Math.max(...runs.map((run) => run.peakPssBytes)))
    ])
  )

export const formatGrowth = ({ cpuRatio, median, runs }: GrowthResult): string =>
  formatTable(["a growing ledger, chunks of 100", `median of ${runs.length}`], [
    [
      `CPU s per million bets, just started, ${rate(median.smallBets)} bets stored`,
      median.cpuSmall.toFixed(2)
    ],
    [
      `CPU s per million bets, just started, ${rate(median.largeBets)} bets stored`,
      median.cpuLarge.toFixed(2)
    ],
    ["  that to this, median of pairs", times(cpuRatio)],
    [
      `CPU s per million bets, up to ${rate(median.largeBets)}, by the server that stored them`,
      median.cpuWarm.toFixed(2)
    ],
    [`PSS, ${rate(median.smallBets)} bets stored before`, megabytes(median.pssSmallBytes)],
    [`PSS, ${rate(median.largeBets)} bets stored before`, megabytes(median.pssLargeBytes)],
    ["start on a new ledger", `${ms(median.startEmptyMs)} ms`],
    [`start on ${rate(median.largeBets)} bets, after a stop`, `${ms(median.startLargeMs)} ms`],
    [`start on it, after a kill under load`, `${ms(median.startKilledMs)} ms`]
  ])

export const formatIdle = (result: IdleResult): string =>
  formatTable([`${result.connections} waiting consults`, ""], [
    ["PSS, started", megabytes(result.pssStartBytes)],
    ["PSS, all waiting", megabytes(result.pssIdleBytes)],
    [
      `PSS, first tenth of ${rate(result.bets)} bets at full load`,
      megabytes(result.pssFirstTenthBytes)
    ],
    ["PSS, last tenth", megabytes(result.pssLastTenthBytes)],
    ["PSS, peak", megabytes(result.pssPeakBytes)],
    ["bets/s meanwhile", rate(result.betsPerSecond)],
    ["p99 ms meanwhile", ms(result.p99)],
    ["last chunk to first winners", `${ms(result.firstInformedMs)} ms`],
    ["last chunk to last winners", `${ms(result.lastInformedMs)} ms`]
  ])

export const formatAlone = ({ bodyBytes, contests, version }: AloneResult): string =>
  formatTable(
    [
      `groups of 64 chunks of 100 bets, ${(bodyBytes / 1000).toFixed(1)} kB each; ${version}`,
      "chunks/s",
      "of pgbench",
      "CPU µs/chunk",
      "PostgreSQL's",
      "load"
    ],
    contests.map(({ connections, contender, median, ratio }, at) => [
      `${contender}, ${connections} connections`,
      rate(median.chunksPerSecond),
      at === 0 ? "" : ratio.toFixed(2),
      median.clientCpu.toFixed(1),
      median.serverCpu.toFixed(1),
      median.loadAverage.toFixed(1)
    ])
  )

export const formatServers = ({ contests, version }: ServersResult): string =>
  formatTable(
    [
      `chunks of 100, 48 connections; ${version}`,
      "bets/s",
      "of embedded",
      "of pgbench",
      "p99 ms",
      "CPU s/M bets",
      "PostgreSQL's",
      "load"
    ],
    contests.map(({ contender, median, ofEmbedded, ofPgbench }) => [
      contender,
      rate(median.betsPerSecond),
      ofEmbedded.toFixed(2),
      ofPgbench.toFixed(2),
      Number.isNaN(median.p99) ? "" : ms(median.p99),
      median.serversCpu.toFixed(2),
      median.postgresCpu.toFixed(2),
      median.loadAverage.toFixed(1)
    ])
  )

/** The intake of one server, without and with a snapshot held beside it. */
export const formatSnapshot = (
  { alone, beside, ratio, seconds, version }: SnapshotResult
): string =>
  `${
    formatTable(
      [
        `1 server, chunks of 100, 48 connections; ${version}`,
        "bets/s",
        "PostgreSQL's CPU s/M bets"
      ],
      ([["alone", alone], ["beside a held snapshot", beside]] as const).map(([name, median]) => [
        name,
        rate(median.betsPerSecond),
        median.postgresCpu.toFixed(2)
      ])
    )
  }\n  with a snapshot held for ${seconds.toFixed(0)} s, ${ratio.toFixed(2)} of the intake without`
