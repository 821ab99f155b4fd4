/** Plain tables for people: right-aligned columns, as wide as their contents. */
import { grouped } from "./Numbers.ts"

type Cell = string | number

const formatCell = (cell: Cell): string => typeof cell === "number" ? grouped(cell) : cell

/** A header, the rows, and below a rule the totals, if there are any. */
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
