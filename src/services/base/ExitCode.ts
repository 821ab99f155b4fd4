/**
 * The exit codes of the program, as docs/OPERATIONS.md lists them. A tagged error has its own as
 * `Runtime.errorExitCode`; any other failure, and a defect, ends the program with `failed`.
 */
export const ExitCode = {
  done: 0,
  failed: 1,
  wrongUsage: 2,
  /** EX_TEMPFAIL of sysexits.h: the same command succeeds when it is started again. */
  endedBySignal: 75,
  /** EX_CONFIG of sysexits.h: starting again does not help. */
  wrongConfiguration: 78
} as const

export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode]
