/** An operator's request that a case can bend anywhere, header by header, with a good token and a good proof. */
import { createTestWorld } from '../test-broker.ts';
import { beforeDrop } from '../test-database.ts';
import type { TestOperator } from '../test-operator.ts';
import { expectSafeAnswer } from './after-checks.ts';
import { type Answer, createRawClient, type Header } from './raw-request.ts';

export type Bent = { body?: string | Buffer; headers?: readonly Header[] };

export async function createManagementRaw() {
  const world = await createTestWorld();
  const broker = await world.startBroker();
  const raw = createRawClient(broker.url);
  beforeDrop(async () => raw.close());
  const olivia = world.operator(broker, 'olivia');
  const tokens = new Map<string, Promise<string>>();

  async function tokenFor(operator: TestOperator, action: string): Promise<string> {
    const name = `${operator.name} ${action}`;
    const token = tokens.get(name) ?? operator.token(action);
    tokens.set(name, token);
    return token;
  }

  return {
    world,
    broker,
    raw,
    olivia,
    omar: world.operator(broker, 'omar'),

    /** By olivia. What came is safe whatever it is: no 500, no echo, no insides. */
    async ask(
      operation: readonly [method: string, path: string, action: string],
      bent: Bent = {},
    ): Promise<Answer> {
      const [method, path, action] = operation;
      const token = await tokenFor(olivia, action);
      const proof = olivia.proof({ method, path, token });
      const headers: Header[] = [
        ['Authorization', `DPoP ${token}`],
        ['DPoP', proof],
        ...(bent.headers ?? (bent.body === undefined ? [] : [['Content-Type', 'application/json'] as const])),
      ];
      const answer = await raw.send({
        method,
        path,
        headers,
        ...(bent.body === undefined ? {} : { body: bent.body }),
      });
      expectSafeAnswer(answer, { headers });
      return answer;
    },

    async headEpoch(): Promise<number> {
      const [row] = await world.query<{ epoch: string }>('select epoch from revocation_head');
      return Number(row?.epoch);
    },
  };
}

/** What the signed middle of a token says. */
export function claimsIn(token: string): { jti: string; sid: string } {
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
}
