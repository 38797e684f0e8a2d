/**
 * What several instances of one resource server share, so that a proof that one of them has seen is used up for all
 * (RFC 9449 §11.1). Each still keeps its own memory, which is asked first; a store that cannot be asked is 503.
 *
 * Such instances share the secret of their nonces too (`createProofMemory({ nonceSecret })`), or a client behind a
 * load balancer would be given a new nonce at each turn.
 */
import { replayKey } from '../dpop/replay-key.ts';
import { refuse } from './refusal.ts';

export type SharedProofs = {
  /**
   * Writes the name down unless it is there, in one atomic step, and keeps it at least that long. A store that is full
   * has to reject, not to evict: whoever could push a name out could use that proof again (ledger rule L18).
   * @param proof `name`: 32 hexadecimal digits, of which nobody learns anything; `filedAt`: NumericDate out of signed
   *   bytes, the same at each instance
   * @returns true for exactly one of all who write it down
   */
  spend(proof: { name: string; filedAt: number; keepMilliseconds: number }): Promise<boolean>;
};

/** As long as a proof may be accepted anywhere, with clocks of instances a minute apart. */
const KEEP_MILLISECONDS = 180_000;

/** @throws {VerifierRefusal} `proof_replayed`, or 503 when the store does not answer in time */
export async function spendShared(
  shared: SharedProofs,
  { jkt, jti, filedAt }: { jkt: string; jti: string; filedAt: number },
  { timeoutMilliseconds }: { timeoutMilliseconds: number },
): Promise<void> {
  const name = replayKey('proof', jkt, jti);
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => late.reject(new Error('the store of proofs does not answer')),
    timeoutMilliseconds,
  );
  try {
    const isFirst = await Promise.race([
      shared.spend({ name, filedAt, keepMilliseconds: KEEP_MILLISECONDS }),
      late.promise,
    ]);
    if (isFirst === true) return;
  } catch (cause) {
    const hint = 'It cannot be decided now whether this proof was used before; try again with a new one.';
    refuse('proof_store_unreachable', { hint, cause });
  } finally {
    clearTimeout(timer);
  }
  refuse('proof_replayed', { hint: 'Make a new proof for each request.' });
}

/**
 * Shared proofs in Redis, or in whatever understands `SET … NX PX`: one primary with
 * `maxmemory-policy noeviction` and `appendfsync always`, since what it forgets can be used again.
 * @param command sends one command over a client of yours and resolves with its reply, e.g. with `redis`
 *   `(...command) => client.sendCommand(command)`, with `ioredis` `(name, ...rest) => client.call(name, ...rest)`
 */
export function createRedisProofs(options: {
  command: (...command: [name: string, ...rest: string[]]) => Promise<unknown>;
  /** Of each key, to keep it apart from others. */
  prefix?: string;
}): SharedProofs {
  const { command, prefix = 'mayfly:proof:' } = options;
  return {
    async spend({ name, keepMilliseconds }) {
      const reply = await command('SET', `${prefix}${name}`, '1', 'NX', 'PX', String(keepMilliseconds));
      if (reply === null || reply === undefined) return false;
      if (String(reply) === 'OK') return true;
      throw new Error('SET was not answered with OK or nil'); // never a yes
    },
  };
}
