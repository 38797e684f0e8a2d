/** `mayfly keys …` as a process of its own: test/signing-keys/key-commands.test.ts starts it with what it connects to. */

import { keyCommands } from '../../src/cli/key-commands.ts';
import { createPool } from '../../src/database/pool.ts';
import { silentLog } from '../../src/errors/log.ts';
import { parseKek } from '../../src/signing-keys/key-encryption-key.ts';
import { createKeyOperations } from '../../src/signing-keys/key-operations.ts';
import { systemClock } from '../../src/time/clock.ts';

const [url = '', current = '', previous = '', ...words] = process.argv.slice(2);

await keyCommands(async () => {
  const pool = createPool({ url, size: 2, applicationName: 'mayfly keys', log: silentLog });
  const kek = { current: parseKek(current), previous: previous === '' ? [] : [parseKek(previous)] };
  return {
    ...createKeyOperations({ pool, kek, clock: systemClock, actor: 'command line' }),
    close: () => pool.end(),
  };
}).parseAsync(words, { from: 'user' });
