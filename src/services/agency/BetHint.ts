/** Frequent mistakes in bet files, recognized by a line that is not a bet: the hint says what to do about all such lines. */

export type BetHint = "empty" | "encoding" | "export" | "header" | "semicolons"

export const betHints: Readonly<Record<BetHint, string>> = {
  semicolons:
    "fields are separated by semicolons, as a spreadsheet in Spanish saves CSV: separate them with commas",
  header: "line 1 looks like a header: remove it",
  empty: "the file ends with empty lines: remove them",
  export: "lines begin with an agency's number, as in an export: a bet file's don't",
  encoding: "save the file as UTF-8 (in a spreadsheet: CSV UTF-8)"
}

/** The mistakes that the fields of a line suggest. An empty line counts only at the end of its file. */
export const hintsOf = (line: number, fields: ReadonlyArray<string>): ReadonlyArray<BetHint> => {
  const text = fields.join(",")
  const hints: Array<BetHint> = []
  if (fields.length > 0 && /^[,;\s]*$/.test(text)) return ["empty"]
  if (text.split(";").length > 4) hints.push("semicolons")
  // A bet has digits in three fields.
  if (line === 1 && !/\d/.test(text)) hints.push("header")
  if (fields.length === 6 && /^[1-9]\d*$/.test(fields[0] ?? "")) hints.push("export")
  return hints
}
