/** How often a test repeats what can only go wrong sometimes: once for everyday, a hundred times for `npm run soak`. */
export function soakFactor(): number {
  return process.env.MAYFLY_SOAK === '1' ? 100 : 1;
}
