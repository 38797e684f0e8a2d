/** What an adversary and bad luck choose, from a seed: the same seed is the same run. */
export type Choices = {
  /** 0 … count − 1. */
  below(count: number): number;
  between(least: number, most: number): number;
  chance(probability: number): boolean;
  pick<Item>(items: readonly Item[]): Item | undefined;
  /** In proportion to the weights. */
  weighted<Name extends string>(weights: Readonly<Record<Name, number>>): Name;
};

export function createChoices(seed: number): Choices {
  let state = Math.imul(seed + 1, 0x9e3779b1) >>> 0;

  /** Mulberry32: small, and good enough to choose with. */
  function next(): number {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  const below = (count: number) => Math.floor(next() * count);
  return {
    below,
    between: (least, most) => least + below(most - least + 1),
    chance: (probability) => next() < probability,
    pick: (items) => items[below(items.length)],
    weighted(weights) {
      const names = Object.keys(weights) as (keyof typeof weights)[];
      let left = next() * names.reduce((sum, name) => sum + weights[name], 0);
      for (const name of names) {
        left -= weights[name];
        if (left < 0) return name;
      }
      throw new RangeError('nothing has a weight');
    },
  };
}
