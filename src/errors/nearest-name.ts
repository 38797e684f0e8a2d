/** Finds what somebody probably meant, for "did you mean": the fewest edits away, and not too many. */

const MAX_COMPARED_CHARACTERS = 100;

/** @returns the candidate nearest to `name`, or null when none is near */
export function nearestName(name: string, candidates: Iterable<string>): string | null {
  if (name.length > MAX_COMPARED_CHARACTERS) return null;
  const farthest = Math.max(1, Math.floor(name.length / 3));
  let best: { candidate: string; edits: number } | null = null;
  for (const candidate of candidates) {
    if (Math.abs(candidate.length - name.length) > farthest) continue;
    const edits = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (edits <= farthest && (best === null || edits < best.edits)) best = { candidate, edits };
  }
  return best?.candidate ?? null;
}

/** "Did you mean …? " or nothing, to stand before the rest of a fix. */
export function didYouMean(name: string, candidates: Iterable<string>): string {
  const nearest = nearestName(name, candidates);
  return nearest === null ? '' : `Did you mean ${nearest}? `;
}

/** Levenshtein's distance, row by row. */
function editDistance(from: string, to: string): number {
  let previous = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let i = 1; i <= from.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= to.length; j += 1) {
      const substituted = (previous[j - 1] ?? 0) + (from[i - 1] === to[j - 1] ? 0 : 1);
      row.push(Math.min((previous[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, substituted));
    }
    previous = row;
  }
  return previous.at(-1) ?? 0;
}
