/** Ceilings that configuration can't lift, and what the protocol fixes. Units are in the names. */

/** A frame's header: its body's length, unsigned, big-endian. */
export const frameHeaderBytes = 4
/** The default of the longest body: some 70,000 usual bets. A chunk of 8,064 bytes is usual in the field. */
export const frameBytesDefault = 4 * 1024 * 1024
/** The highest that configuration may allow: one agency must not be able to claim the memory of all. */
export const frameBytesCeiling = 16 * 1024 * 1024
/**
 * The longest body on the consult port. A consult takes less than 100 bytes, and is parsed in the server's own process: a
 * message that is made to be expensive holds it up for some milliseconds at most. A usual chunk that was sent to the
 * wrong port still fits, so that its agency is told so.
 */
export const consultFrameBytesMax = 128 * 1024
/**
 * What a parser takes at most for a message that is made to be expensive, in MiB: so much in any case, and so much for
 * each MiB of the message. Measured, the dearest is arrays nested in arrays: 30 of heap and 30 beside it for each MiB.
 */
export const parserMemoryMb = { base: 64, perFrameMebibyte: 64 } as const
/**
 * Log lines of refusals in a minute, for each door and code: a client that tries again and again must not fill the disk.
 * So many agencies are named at most where the line says who is missing.
 */
export const refusalLines = { linesMax: 30, windowMs: 60_000 } as const
export const refusalMissingMax = 20
/** Log lines of connections taken in at the consult port: agencies that wait ask again every few seconds, all night. */
export const consultAcceptLines = { linesMax: 60, windowMs: 600_000 } as const
/** A roster is held in memory and walked at the draw. */
export const agenciesCeiling = 100_000
/**
 * File descriptors that connections don't get. At rest the server has 52 and two a parser; a parser that is replaced
 * has its own beside it. The rest is for connections that are being refused, and for operations.
 */
export const descriptorsKept = { base: 224, perParser: 8 } as const
/**
 * Threads and processes that the server begins with: Node's own 7, 4 for files, and 3 of the ledger; and those of Node in
 * each parser, 7 and one that it has for a moment at its start. A parser that is replaced can have its own beside it: where they aren't to be had, it is tried again.
 */
export const processesNeeded = { server: 14, perParser: 8 } as const
/** Log lines in a minute of there being none left. */
export const descriptorLines = { linesMax: 1, windowMs: 60_000 } as const
/** How often what serves all may be begun again after a defect, in {@link restartWindowMs}; then the server ends. */
export const restartsMax = 10
export const restartWindowMs = 60_000
/** How many agencies are noted as told in one transaction; there can be as many as the roster has. */
export const toldBatchMax = 1024
/** Old deployments set a backlog of the number of agencies; a burst of reconnections needs more. */
export const listenBacklogMin = 511
/** As many agencies as a compose file asks one machine to run containers for. */
export const composeAgenciesMax = 1000
