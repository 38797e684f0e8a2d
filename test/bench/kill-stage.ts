/** Two brokers on one durable Postgres, operators, an agent, and verifiers in processes of their own. */

import { createPool, type Pool } from '../../src/database/pool.ts';
import { tokenHash } from '../../src/dpop/proof.ts';
import { silentLog } from '../../src/errors/log.ts';
import { createTestAgent, newSessionKey, type SessionKey, type TestAgent } from '../test-agent.ts';
import { createTestOperator, type TestOperator } from '../test-operator.ts';
import { type ChildProgram, startProgram } from './child-program.ts';
import type { FleetArguments, FleetOrder, FleetReply, FleetRequest } from './kill-fleet.ts';
import { startMayfly } from './servers.ts';
import { openStage } from './stage.ts';

const AUDIENCE = 'https://customers.example.com';
export const ACTION = 'db:read:customers';

export type Fleet = {
  instances: number;
  watch(after: number): Promise<number[]>;
  decide(requests: readonly FleetRequest[]): Promise<string[]>;
  close(): Promise<void>;
};

export type KillStage = {
  postgresVersion: string;
  olivia: TestOperator;
  omar: TestOperator;
  owner: Pool;
  startFleet(instances: number): Promise<Fleet>;
  mint(): Promise<{ token: string; session: SessionKey }>;
  requestWith(minted: { token: string; session: SessionKey }): FleetRequest;
  close(): Promise<void>;
};

export async function openKillStage(): Promise<KillStage> {
  await using opening = new AsyncDisposableStack();
  const stage = await openStage();
  opening.defer(stage.close);
  const first = await startMayfly(stage);
  opening.defer(first.program.stop);
  const { issuer } = first.target;
  const second = await startMayfly(stage, undefined, { MAYFLY_ISSUER: issuer });
  opening.defer(second.program.stop);
  const brokers = [issuer, second.target.issuer];
  const owner = createPool({
    url: stage.ownerUrl,
    size: 1,
    applicationName: 'bench',
    log: silentLog,
    statementTimeoutMilliseconds: 0,
  });
  opening.defer(() => owner.end());

  const client = (clientId: string, url = issuer) => ({ url, issuer, clientId, key: stage.keyOf(clientId) });
  const agent = createTestAgent(client('report-writer'));
  const opened = opening.move();
  return {
    postgresVersion: stage.postgresVersion,
    olivia: createTestOperator(client('olivia')),
    omar: createTestOperator(client('omar', second.target.issuer)),
    owner,
    startFleet: (instances) =>
      startFleet({
        issuer,
        brokers,
        resource: AUDIENCE,
        key: stage.keyOf('customers') as FleetArguments['key'],
        instances,
      }),
    async mint() {
      const session = newSessionKey();
      const { body } = await agent.token(session, { scope: ACTION });
      return { session, token: body.access_token };
    },
    requestWith: (minted) => requestWith(agent, minted),
    close: () => opened.disposeAsync(),
  };
}

function requestWith(
  agent: TestAgent,
  { token, session }: { token: string; session: SessionKey },
): FleetRequest {
  const claims = { htm: 'GET', htu: `${AUDIENCE}/customers`, ath: tokenHash(token), nonce: undefined };
  return {
    method: 'GET',
    target: '/customers',
    headers: [
      ['Authorization', `DPoP ${token}`],
      ['DPoP', agent.proof(session, { claims })],
    ],
  };
}

/** One process for one verifier, four for two hundred. */
export function processesFor(instances: number): number {
  if (instances === 1) return 1;
  return instances <= 50 ? 2 : 4;
}

async function startFleet(options: FleetArguments): Promise<Fleet> {
  const count = processesFor(options.instances);
  const instances = options.instances / count;
  const members = Array.from({ length: count }, (_, index) => {
    // Half of them ask the one broker first, half the other.
    const brokers = index % 2 === 0 ? options.brokers : options.brokers?.toReversed();
    return startMember({ ...options, ...(brokers && { brokers }), instances });
  });
  const all = async (order: FleetOrder) => Promise.all(members.map((member) => member.ask(order)));
  await all({ do: 'ready' });
  return {
    instances: options.instances,
    watch: async (after) => (await all({ do: 'watch', after })).flatMap(({ moments = [] }) => moments),
    async decide(requests) {
      const shares = members.map((_, index) => requests.slice(index * instances, (index + 1) * instances));
      const replies = await Promise.all(
        members.map((member, index) =>
          member.ask({ do: 'decide', requests: shares[index] ?? [], action: ACTION }),
        ),
      );
      return replies.flatMap(({ decisions = [] }) => decisions);
    },
    async close() {
      await all({ do: 'close' });
      await Promise.all(members.map(({ program }) => program.stop()));
    },
  };
}

type Reply = Exclude<FleetReply, { error: string }>;

function startMember(options: FleetArguments): {
  program: ChildProgram;
  ask(order: FleetOrder): Promise<Reply>;
} {
  const program = startProgram({
    name: 'verifiers',
    program: new URL('./kill-fleet.ts', import.meta.url),
    args: [JSON.stringify(options)],
  });
  const waiting = new Map<number, (reply: FleetReply) => void>();
  program.child.on('message', (message) => {
    const reply = message as FleetReply;
    waiting.get(reply.id)?.(reply);
    waiting.delete(reply.id);
  });
  let last = 0;
  return {
    program,
    async ask(order) {
      last += 1;
      const { promise, resolve } = Promise.withResolvers<FleetReply>();
      waiting.set(last, resolve);
      program.child.send({ id: last, order });
      const reply = await Promise.race([promise, program.ended]);
      if ('error' in reply) throw new Error(reply.error);
      return reply;
    },
  };
}
