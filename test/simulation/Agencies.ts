/** The agency of a plan, of whichever kind. */
import { NumberingAgency } from "./NumberingAgency.ts"
import type { AgencyPlan } from "./Scenario.ts"
import { type AgencyWorld, Consult, FieldAgency, type SimulatedAgency } from "./SimulatedAgency.ts"

export const agencyOf = (
  world: AgencyWorld,
  { file, kind, style }: AgencyPlan
): SimulatedAgency => {
  const consult = new Consult(world, file.agency, style)
  switch (kind) {
    case "field":
      return new FieldAgency(world, file, style, consult)
    case "counting":
      return new NumberingAgency(world, file, style, consult)
    case "mended": {
      const handOver = (to: () => SimulatedAgency) => () => {
        if (!world.random.chance(0.4)) return false
        world.timeline.count("agency changed its client")
        to().sell()
        return true
      }
      const old: SimulatedAgency = new FieldAgency(
        world,
        file,
        style,
        consult,
        handOver(() => mended)
      )
      const mended = new NumberingAgency(world, file, style, consult, handOver(() => old))
      return {
        begin: () => old.begin(),
        sell: () => old.sell(),
        // Only one of them has a connection.
        move: () => {
          old.move()
          mended.move()
        },
        done: () => old.done() || mended.done()
      }
    }
  }
}
