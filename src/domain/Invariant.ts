/** What must hold at this place whatever comes in; where it doesn't, the defect is ours, and nothing may go on. */
export class InvariantBroken extends Error {
  override readonly name = "InvariantBroken"
}

/**
 * Dies where a bound or an order that others rely on is broken. Its keeper decides what that ends. Write a constant as
 * message: it is evaluated on the hot path.
 */
export function invariant(condition: boolean, message: string): asserts condition {
  if (!condition) throw new InvariantBroken(message)
}
