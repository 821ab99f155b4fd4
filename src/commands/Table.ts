/** Plain tables for people: numbers grouped and to the right, as wide as they need to be. */

export type Cell = string | number

const formatCell = (cell: Cell): string =>
  typeof cell === "number" ? cell.toLocaleString("en-US") : cell

/** A header, the rows, and a last row under a line when `total` is given. */
export const formatTable = (
  header: ReadonlyArray<string>,
  rows: ReadonlyArray<ReadonlyArray<Cell>>,
  total?: ReadonlyArray<Cell>
): string => {
  const body = rows.map((row) => row.map(formatCell))
  const foot = total?.map(formatCell)
  const all = [header, ...body, ...(foot === undefined ? [] : [foot])]
  const widths = header.map((_, column) =>
    Math.max(...all.map((row) => (row[column] ?? "").length))
  )
  const line = (row: ReadonlyArray<string>) =>
    `  ${widths.map((width, column) => (row[column] ?? "").padStart(width)).join("   ")}`
  const rule = `  ${widths.map((width) => "-".repeat(width)).join("   ")}`
  return [line(header), rule, ...body.map(line), ...(foot === undefined ? [] : [rule, line(foot)])]
    .join("\n")
}
