/**
 * What was seen lately, with a bound on how much: two generations, of which the older is dropped whole when the
 * newer is full. Constant time, no list to keep in order, and what is asked for often stays.
 */
export type Recent<Value> = {
  get(name: string): Value | undefined;
  set(name: string, value: Value): void;
  delete(name: string): void;
};

/** @param maxEntries at least half of it is always remembered */
export function createRecent<Value>(maxEntries: number): Recent<Value> {
  let newer = new Map<string, Value>();
  let older = new Map<string, Value>();

  const set = (name: string, value: Value) => {
    if (newer.size >= maxEntries / 2) {
      older = newer;
      newer = new Map();
    }
    newer.set(name, value);
  };

  return {
    set,
    get(name) {
      const found = newer.get(name);
      if (found !== undefined) return found;
      const aged = older.get(name);
      if (aged !== undefined) set(name, aged);
      return aged;
    },
    delete(name) {
      newer.delete(name);
      older.delete(name);
    },
  };
}
