/** Two operators, and agents whose runs they end: what the tests of changes have in common. */
import { newSessionKey, type SessionKey } from '../test-agent.ts';
import { createTestWorld } from '../test-broker.ts';

export const CUSTOMERS = 'https://customers.example.com';
export const WHY = { reason: 'INC-1234: a test' };

export type Run = { session: SessionKey; token: string; jti: string; sid: string; epoch: number };

export async function createManagementStage() {
  const world = await createTestWorld();
  const broker = await world.startBroker();

  async function runOf(name: string, session = newSessionKey()): Promise<Run> {
    const { body } = await world
      .agent(broker, name)
      .token(session, name === 'billing-runner' ? { scope: 'billing:read:invoices' } : {});
    const { jti, sid, epoch } = JSON.parse(
      Buffer.from(String(body.access_token).split('.')[1] ?? '', 'base64url').toString(),
    );
    return { session, token: body.access_token, jti, sid, epoch };
  }

  async function isActive({ token }: Run): Promise<boolean> {
    const server = world.resourceServer(broker, CUSTOMERS);
    const { body } = await server.post('/oauth/introspect', server.authenticated({ token }));
    return body.active;
  }

  async function mintCode(name: string, session: SessionKey): Promise<string | undefined> {
    const { body } = await world.agent(broker, name).token(session);
    return body.code;
  }

  async function entries(): Promise<number> {
    const [row] = await world.query<{ epoch: string }>('select epoch from revocation_head');
    return Number(row?.epoch);
  }

  async function details(requestId: string | null): Promise<Record<string, unknown>[]> {
    return world.query(
      `select action, actor, details->>'reason' as reason from audit_entries where request_id = $1 order by at, id`,
      [requestId],
    );
  }

  return {
    world,
    broker,
    olivia: world.operator(broker, 'olivia'),
    omar: world.operator(broker, 'omar'),
    runOf,
    isActive,
    mintCode,
    entries,
    details,
  };
}
