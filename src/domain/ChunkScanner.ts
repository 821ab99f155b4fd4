import type { Parsed } from "./Chunk.ts"
import { readMessage } from "./ChunkReader.ts"

export const scanChunk = (_body: Uint8Array): Parsed | undefined => undefined

export const parseMessage = (body: Uint8Array): Parsed => scanChunk(body) ?? readMessage(body)
