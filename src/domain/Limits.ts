/** Bounds that the configuration can't lift, and sizes that the protocol fixes. Units are in the names. */

/** A frame's header is its body's length, unsigned, big-endian. */
export const frameHeaderBytes = 4
/** The default of the longest body: about 70,000 usual bets. A usual chunk of the field has 8,064 bytes. */
export const frameBytesDefault = 4 * 1024 * 1024
/** The longest body that the configuration can allow: one agency must not take the memory of all. */
export const frameBytesCeiling = 16 * 1024 * 1024
/**
 * The longest body on the consult port. A consult takes less than 100 bytes, and is parsed in the server's own process,
 * which a message that is built to be expensive can delay by some milliseconds at most. A usual chunk that was sent to
 * the wrong port still fits, so that its agency is answered WRONG_PORT.
 */
export const consultFrameBytesMax = 128 * 1024
/**
 * The most memory that a parser needs, in MiB: a base, and a part for each MiB of the message. The most expensive message
 * that was found is arrays nested in arrays: for each of its MiB it takes 30 of heap, and 30 outside of it.
 */
export const parserMemoryMb = { base: 64, perFrameMebibyte: 64 } as const
/** Log lines of refusals for each port and code: a client that never stops trying must not fill the disk. */
export const refusalLines = { linesMax: 30, windowMs: 60_000 } as const
/** The most agencies that such a line names as missing for the draw. */
export const refusalMissingMax = 20
/** Log lines of agencies that couldn't be claimed: all of them come again and again while the database can't store. */
export const unclaimedLines = { linesMax: 3, windowMs: 60_000 } as const
/** Log lines of accepted connections on the consult port: waiting agencies ask again every few seconds, all night. */
export const consultAcceptLines = { linesMax: 60, windowMs: 600_000 } as const
/** The largest roster: it is held in memory, and iterated over at the draw. */
export const agenciesCeiling = 100_000
/**
 * File descriptors that are kept from connections. An idle server has 52 open, and two for each parser; a parser that is
 * being replaced has its own beside those of its successor. The rest is for connections that are refused, and for operations.
 */
export const descriptorsKept = { base: 224, perParser: 8 } as const
/**
 * Threads and processes that the server starts with: 7 of Node, 4 for files, and 3 of the ledger; in each parser 7 of Node,
 * and one more for a moment at its start. The successor of a parser needs as many while its predecessor still has its own;
 * if the system refuses them, the start is tried again.
 */
export const processesNeeded = { server: 14, perParser: 8 } as const
/** The part of the grace period at the end that is reserved for the parsers (up to 1 s) and the ledger. */
export const graceKeptMs = 2000
/** Log lines that say that file descriptors have run out. */
export const descriptorLines = { linesMax: 1, windowMs: 60_000 } as const
/** Restarts of what serves all connections after defects, in {@link restartWindowMs}. After more the server ends. */
export const restartsMax = 10
export const restartWindowMs = 60_000
/** The most agencies that one transaction records as told. */
export const toldBatchMax = 1024
/** Old deployments set the backlog to the number of agencies; a burst of reconnections needs more. */
export const listenBacklogMin = 511
/** The most agencies, each with a container, in a compose file for one machine. */
export const composeAgenciesMax = 1000
