/**
 * When to ask a broker again that could not answer. Few times, later each time, never all at once (full jitter), and
 * as it says, if what it says can be meant: an agent that waits for a year is as dead as one that never waits.
 */
export const MAX_ATTEMPTS = 4;
export const MAX_HONOURED_SECONDS = 30;

const FIRST_MILLISECONDS = 250;
const LONGEST_MILLISECONDS = 8_000;
const MAX_TOLD_SECONDS = 86_400;

/**
 * @param failures how often it failed so far, from 1
 * @param random 0 to 1
 * @returns milliseconds; null when asking again makes no sense
 */
export function pauseAfter(
  failures: number,
  { retryAfterSeconds, random }: { retryAfterSeconds: number | null; random: () => number },
): number | null {
  if (failures >= MAX_ATTEMPTS) return null;
  if (retryAfterSeconds === null) {
    return random() * Math.min(LONGEST_MILLISECONDS, FIRST_MILLISECONDS * 2 ** (failures - 1));
  }
  if (retryAfterSeconds > MAX_HONOURED_SECONDS) return null;
  return (retryAfterSeconds + random()) * 1_000;
}

/** RFC 9110 §5.6.7, the form that is to be sent. `Date.parse` alone takes `-5` for a year. */
const HTTP_DATE = /^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/;

/**
 * `Retry-After` (RFC 9110 §10.2.3) in seconds, at most a day.
 * @param nowSeconds at the server
 * @returns null when there is none, or none that can be meant: zero, negative, past, no number
 */
export function retryAfterOf(headers: Headers, nowSeconds: number): number | null {
  const text = (headers.get('retry-after') ?? '').trim();
  const seconds = HTTP_DATE.test(text) ? Math.ceil(Date.parse(text) / 1_000 - nowSeconds) : wholeNumber(text);
  return seconds > 0 ? Math.min(seconds, MAX_TOLD_SECONDS) : null;
}

function wholeNumber(text: string): number {
  return /^\d{1,15}$/.test(text) ? Number(text) : 0;
}
