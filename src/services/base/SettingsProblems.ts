/**
 * The errors in a configuration, as sentences: the key (or the environment variable that set its value), the value, and
 * the allowed values.
 */

/** The known keys of one level, with those of their sections; undefined for a key with a value. */
export interface KnownKeys {
  readonly [key: string]: KnownKeys | undefined
}

export type Tree = { readonly [key: string]: unknown }

export const isTree = (value: unknown): value is Tree =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** Longer values are cut: they only have to be recognised. */
const shownCharactersMax = 40

const shown = (value: unknown): string => {
  if (value === undefined || value === null) return "empty"
  if (Array.isArray(value)) return "a list"
  if (isTree(value)) return "a section of keys"
  const text = String(value)
  // It may hold a password.
  if (text.includes("://")) return "a URL"
  const cut = text.length > shownCharactersMax ? `${text.slice(0, shownCharactersMax)}…` : text
  return typeof value === "string" ? JSON.stringify(cut) : cut
}

export const valueAt = (tree: unknown, keys: ReadonlyArray<string>): unknown =>
  keys.reduce<unknown>((at, key) => isTree(at) ? at[key] : undefined, tree)

const keysAt = (known: KnownKeys, keys: ReadonlyArray<string>): KnownKeys | undefined =>
  keys.reduce<KnownKeys | undefined>((at, key) => at?.[key], known)

/** Their values are in no problem, whatever is wrong with them: they may hold a password. */
const secretKeys: ReadonlySet<string> = new Set(["ledger.url"])

/** `allowed` describes the allowed values; for a secret key, what is wrong with the value. */
export const wrongValue = (
  known: KnownKeys,
  tree: unknown,
  keys: ReadonlyArray<string>,
  allowed: string,
  place: string
): string => {
  const value = valueAt(tree, keys)
  if (secretKeys.has(keys.join(".")) && typeof value === "string") return `${place}: ${allowed}`
  const section = keysAt(known, keys)
  const expected = section === undefined
    ? allowed
    : `a section with keys of these: ${Object.keys(section).join(", ")}`
  return `${place} is ${shown(value)}, but must be ${expected}`
}

/** Suggests the known key that was probably meant; if none is similar, lists the known keys. */
export const unknownKey = (known: KnownKeys, keys: ReadonlyArray<string>): string => {
  const parent = keys.slice(0, -1)
  const key = keys.at(-1) ?? ""
  const siblings = Object.keys(keysAt(known, parent) ?? {})
  const elsewhere = Object.entries(known)
    .filter(([, section]) => section !== undefined && Object.hasOwn(section, key))
    .map(([name]) => [name, key].join("."))
  const nearest = nearestOf(key, siblings)
  const meant = nearest === undefined ? elsewhere : [[...parent, nearest].join(".")]
  const place = keys.join(".")
  return meant.length > 0
    ? `${place} is not a known key; is ${meant.join(" or ")} meant?`
    : `${place} is not a known key; ${
      parent.length === 0 ? "the sections and keys are" : `the keys of ${parent.join(".")} are`
    } ${siblings.join(", ")}`
}

const nearestOf = (word: string, candidates: ReadonlyArray<string>): string | undefined => {
  let nearest: string | undefined
  // Up to a third of the word may be mistyped.
  let least = Math.max(1, Math.floor(word.length / 3)) + 1
  for (const candidate of candidates) {
    const shorter = Math.min(word.length, candidate.length)
    const beginsAlike = shorter > 2 && word.slice(0, shorter) === candidate.slice(0, shorter)
    const distance = beginsAlike ? 1 : editDistance(word.toLowerCase(), candidate.toLowerCase())
    if (distance < least) {
      least = distance
      nearest = candidate
    }
  }
  return nearest
}

/** The number of characters to insert, delete or replace to turn one word into the other (Levenshtein). */
const editDistance = (one: string, other: string): number => {
  let row = Array.from({ length: other.length + 1 }, (_, index) => index)
  for (const [index, character] of [...one].entries()) {
    const next = [index + 1]
    for (const [column, compared] of [...other].entries()) {
      next.push(Math.min(
        (next[column] ?? 0) + 1,
        (row[column + 1] ?? 0) + 1,
        (row[column] ?? 0) + (character === compared ? 0 : 1)
      ))
    }
    row = next
  }
  return row.at(-1) ?? 0
}
