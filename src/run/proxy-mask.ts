/**
 * Tokens and proofs that were shown to resources, and the places in answers where they come back: there stand asterisks
 * instead, as many, so that lengths and ranges stay true. It knows them as they were sent: whoever writes them
 * otherwise, in base64 or back to front, gets them past.
 */
export type Secrets = {
  remember(secret: string): void;
  /** @returns the same text when there is none in it */
  maskText(text: string): string;
  /** For one stream: holds back an end that may be the beginning of one. */
  openMask(): { pass(chunk: Buffer): Buffer; end(): Buffer; hits(): number };
};

const MAX_SECRETS = 128;
const LEAST_BYTES = 16;
const ASTERISK = 0x2a;

export function createSecrets(): Secrets {
  let secrets: readonly Buffer[] = [];
  let beginnings: readonly Buffer[] = [];

  function remember(text: string): void {
    const secret = Buffer.from(text, 'latin1');
    if (secret.length < LEAST_BYTES) return;
    const others = secrets.filter((known) => !known.equals(secret));
    secrets = [...others.slice(1 - MAX_SECRETS), secret];
    // They begin alike, with the header of a JWT: looking for that once is looking for all of them.
    const texts = new Set(secrets.map((each) => each.toString('latin1', 0, LEAST_BYTES)));
    beginnings = [...texts].map((each) => Buffer.from(each, 'latin1'));
  }

  /** In place. @returns how many */
  function maskBytes(bytes: Buffer): number {
    let hits = 0;
    for (const beginning of beginnings) {
      for (let at = bytes.indexOf(beginning); at !== -1; at = bytes.indexOf(beginning, at + 1)) {
        const found = secrets.find((secret) => stands(bytes, at, secret));
        if (found === undefined) continue;
        bytes.fill(ASTERISK, at, at + found.length);
        hits += 1;
      }
    }
    return hits;
  }

  /** How long the end is that may become one. */
  function unsureBytes(bytes: Buffer): number {
    const longest = secrets.reduce((most, { length }) => Math.max(most, length), 1);
    for (let at = Math.max(0, bytes.length - longest + 1); at < bytes.length; at += 1) {
      if (beginnings.some((beginning) => beginning[0] === bytes[at]) && mayBegin(bytes.subarray(at))) {
        return bytes.length - at;
      }
    }
    return 0;
  }

  function mayBegin(end: Buffer): boolean {
    return secrets.some(
      (secret) => secret.length > end.length && stands(end, 0, secret.subarray(0, end.length)),
    );
  }

  return {
    remember,
    maskText(text) {
      const bytes = Buffer.from(text, 'latin1');
      return maskBytes(bytes) === 0 ? text : bytes.toString('latin1');
    },
    openMask() {
      let held = Buffer.alloc(0);
      let hits = 0;
      return {
        pass(chunk) {
          const bytes = Buffer.concat([held, chunk]);
          hits += maskBytes(bytes);
          const sure = bytes.length - unsureBytes(bytes);
          held = bytes.subarray(sure);
          return bytes.subarray(0, sure);
        },
        end: () => held,
        hits: () => hits,
      };
    },
  };
}

function stands(bytes: Buffer, at: number, part: Buffer): boolean {
  return at + part.length <= bytes.length && bytes.compare(part, 0, part.length, at, at + part.length) === 0;
}
