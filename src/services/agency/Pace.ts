/** How fast bets are stored, and how long the rest takes: from what was seen in the last seconds. */

/** How many bets were stored at a time. */
export interface Sighting {
  readonly atMs: number
  readonly bets: number
}

/** Long enough to be steady over the pauses of a busy disk, short enough to show that nothing moves. */
export const paceWindowMs = 5000

/** Before this much was seen a rate would be a guess. */
const paceLeastMs = 500

/** The sightings that count, the newest last. */
export const sighted = (
  sightings: ReadonlyArray<Sighting>,
  newest: Sighting
): ReadonlyArray<Sighting> => [
  ...sightings.filter(({ atMs }) => newest.atMs - atMs <= paceWindowMs),
  newest
]

/** Bets a second; undefined while it is too early to say. */
export const pace = (sightings: ReadonlyArray<Sighting>): number | undefined => {
  const first = sightings[0]
  const last = sightings.at(-1)
  if (first === undefined || last === undefined) return undefined
  const ms = last.atMs - first.atMs
  return ms < paceLeastMs ? undefined : (last.bets - first.bets) * 1000 / ms
}

/** `45 s`, `3 min 5 s`, `2 h 10 min`: two units at most, rounded up so that it doesn't end early. */
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
