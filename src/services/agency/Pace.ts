/** The rate at which bets are stored, measured over the last seconds, and a line that shows it. */

/** How many bets were stored at a time. */
export interface Sample {
  readonly atMs: number
  readonly bets: number
}

/** Long enough for a steady rate over the pauses of a busy disk, short enough to show that nothing moves. */
export const rateWindowMs = 5000

/** Over a shorter time, a rate would be a guess. */
const rateTimeMinMs = 500

/** The samples of the window that ends with the newest, which is the last. */
export const withSample = (
  samples: ReadonlyArray<Sample>,
  newest: Sample
): ReadonlyArray<Sample> => [
  ...samples.filter(({ atMs }) => newest.atMs - atMs <= rateWindowMs),
  newest
]

/** Bets a second; undefined while the samples are too few. */
export const rateOf = (samples: ReadonlyArray<Sample>): number | undefined => {
  const first = samples[0]
  const last = samples.at(-1)
  if (first === undefined || last === undefined) return undefined
  const ms = last.atMs - first.atMs
  return ms < rateTimeMinMs ? undefined : (last.bets - first.bets) * 1000 / ms
}

/** `45 s`, `3 min 5 s`, `2 h 10 min`: two units at most, rounded up so that the rest isn't shorter than it says. */
export const formatDuration = (ms: number): string => {
  const seconds = Math.ceil(ms / 1000)
  if (seconds < 60) return `${seconds} s`
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`
  const minutes = Math.ceil(seconds / 60)
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}

const count = (value: number): string => Math.round(value).toLocaleString("en-US")

const barCharactersMax = 30

/** One line, at most `columns` wide: ` 52% ███████░░░░░░ 41,600 of 80,000 bets, 12,300/s, 4 s left`. */
export const progressLine = (
  bets: number,
  total: number,
  rate: number | undefined,
  columns: number
): string => {
  const done = total === 0 ? 1 : Math.min(1, bets / total)
  const left = total - bets
  const facts = [`${count(bets)} of ${count(total)} bets`]
  if (left > 0 && rate !== undefined) {
    if (rate > 0) facts.push(`${count(rate)}/s`, `${formatDuration(left * 1000 / rate)} left`)
    else facts.push("waiting for the central")
  }
  const percent = `${Math.floor(done * 100)}%`.padStart(4)
  const text = facts.join(", ")
  const width = Math.min(barCharactersMax, columns - percent.length - text.length - 3)
  const full = Math.floor(done * width)
  const bar = width < 5 ? "" : ` ${"█".repeat(full)}${"░".repeat(width - full)}`
  return `${percent}${bar} ${text}`.slice(0, Math.max(0, columns - 1))
}
