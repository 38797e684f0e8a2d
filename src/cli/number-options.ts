/** Numbers as options take them: digits alone, within bounds that whoever gave another one is told. */
import { InvalidArgumentError } from 'commander';

type Bounds = { from: number; to: number; unit?: string };

/** @returns a parser for commander @throws {InvalidArgumentError} from that */
export function wholeNumberIn(bounds: Bounds): (text: string) => number {
  return (text) => within(/^\d{1,6}$/.test(text) ? Number(text) : Number.NaN, bounds);
}

/** With three places at most. @returns a parser for commander @throws {InvalidArgumentError} from that */
export function decimalIn(bounds: Bounds): (text: string) => number {
  return (text) => within(/^\d{1,6}(\.\d{1,3})?$/.test(text) ? Number(text) : Number.NaN, bounds);
}

function within(number: number, { from, to, unit }: Bounds): number {
  if (number >= from && number <= to) return number;
  throw new InvalidArgumentError(`From ${from} to ${to}${unit === undefined ? '' : ` ${unit}`}.`);
}
