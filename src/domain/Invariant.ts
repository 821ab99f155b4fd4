/** A bound or an order that the code relies on doesn't hold. Whatever the input was, this is a bug of ours. */
export class InvariantBroken extends Error {
  override readonly name = "InvariantBroken"
}

/**
 * Throws unless the condition holds; the keeper of the caller (base/Keeper.ts) decides what that ends. The message says
 * what holds, and is a constant, since it is evaluated on the hot path.
 */
export function invariant(condition: boolean, message: string): asserts condition {
  if (!condition) throw new InvariantBroken(message)
}
