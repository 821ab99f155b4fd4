/**
 * The visible lines of a terminal after all cursor movements and erasures. It interprets what progress bars use
 * (carriage return, line feed, cursor up, erase line, erase to the end) and ignores other sequences.
 */

// oxlint-disable-next-line no-control-regex -- escape sequences are what it looks for
const tokens = /\u001b\[([?\d;]*)([A-Za-z])|[\r\n]|[^\u001b\r\n]+/g

export const screenOf = (output: string): ReadonlyArray<string> => {
  const lines = [""]
  let row = 0
  let column = 0
  for (const [token, parameter = "", command] of output.matchAll(tokens)) {
    const line = lines[row] ?? ""
    if (token === "\n") {
      row++
      // A terminal's line discipline returns the carriage; a pipe's reader sees the bare line feed.
      column = 0
      lines[row] ??= ""
    } else if (token === "\r" || command === "G") column = 0
    else if (command === "A") row = Math.max(0, row - Number(parameter || 1))
    else if (command === "K") lines[row] = parameter === "2" ? "" : line.slice(0, column)
    else if (command === undefined) {
      lines[row] = line.slice(0, column).padEnd(column) + token + line.slice(column + token.length)
      column += token.length
    }
  }
  while (lines.at(-1) === "") lines.pop()
  return lines
}
