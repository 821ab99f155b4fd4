/** Marks a lottery that `ledger copy` has not finished: no server may serve it, and no report may take it for whole. */

/** Stands in the place of the lottery's checksum, which is never negative. */
export const unfinishedCopy = -1

export const unfinishedProblem = (draw: string): string =>
  `the copy of the draw ${draw} into it is not finished; run the same \`loteria ledger copy\` again, which continues it`
