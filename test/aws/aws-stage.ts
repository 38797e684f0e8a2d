/** A broker with actions that give AWS credentials, a local STS behind it, and an agent that asks. */
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeJwt } from 'jose';
import { CompiledQuery } from 'kysely';
import { parse, stringify } from 'yaml';
import { loadCatalogue } from '../../src/catalogue/load-catalogue.ts';
import { tokenHash } from '../../src/dpop/proof.ts';
import { canonicalDigest } from '../../src/json/canonical-digest.ts';
import { until } from '../broker-process.ts';
import { awsResource, READ_REPORT, ROLE } from '../catalogue/aws-fixture.ts';
import type { Loose } from '../catalogue/policy-fixture.ts';
import { newSessionKey, type SessionKey } from '../test-agent.ts';
import { createTestWorld, TEST_ISSUER, type TestBrokerOptions } from '../test-broker.ts';
import { startLocalSts } from './local-sts.ts';

export const URL_OF_CREDENTIALS = `${TEST_ISSUER}/v1/aws/credentials`;
export const RESOURCE = `${TEST_ISSUER}/v1/aws`;
/** The same role by the broker's own identity, and for one call at a time. */
export const ASSUME_REPORT = 'aws:assume:reports';
export const ONE_REPORT = 'aws:fetch:reports';
const NEIGHBOUR = 'incident-responder';
export const ARGUMENTS = { team: 'search', day: '2026-11-23' };

export type Asking = {
  session?: SessionKey;
  token?: string | null;
  body?: unknown;
  proof?: string | null;
};

/**
 * @param options.issuer what the broker calls itself; whoever asks it by name has to find it there
 * @param options.iam where it is; without, nothing is denied on any role
 */
export async function createAwsStage({
  issuer = TEST_ISSUER,
  iam,
}: {
  issuer?: string;
  iam?: { url: string };
} = {}) {
  const world = await createTestWorld();
  const catalogue = await withAws(world.scopes.directory, {
    audience: `${issuer}/v1/aws`,
    denies: iam !== undefined,
  });
  await world.apply(catalogue);
  let provider = '';
  const sts = await startLocalSts({ roles: [ROLE], issuer, provider: () => provider });

  async function startBroker(options: TestBrokerOptions = {}) {
    const broker = await world.startBroker({
      catalogue,
      ...options,
      settings: {
        MAYFLY_ISSUER: issuer,
        MAYFLY_AWS_STS_ENDPOINT: sts.url,
        ...(iam === undefined ? {} : { MAYFLY_AWS_IAM_ENDPOINT: iam.url }),
        ...options.settings,
      },
    });
    provider = broker.url;
    return broker;
  }

  const broker = await startBroker();
  const agent = world.agent(broker, 'report-writer');

  const neighbour = world.agent(broker, NEIGHBOUR);

  async function tokenFor(action = READ_REPORT, session = newSessionKey(), fields = {}, by = agent) {
    const { body, status } = await by.token(session, { scope: action, ...fields });
    if (status !== 200) throw new Error(`no token for ${action}: ${JSON.stringify(body)}`);
    return { session, token: body.access_token as string, body };
  }

  function proofFor(session: SessionKey, token: string, claims: object = {}): string {
    return agent.proof(session, { claims: { htu: URL_OF_CREDENTIALS, ath: tokenHash(token), ...claims } });
  }

  async function blocked(): Promise<number> {
    const [row] = await world.query<{ count: string }>(
      "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()",
    );
    return Number(row?.count);
  }

  return {
    world,
    catalogue,
    broker,
    sts,
    agent,
    /** Another one, in another zone, that may do the same. */
    neighbour,
    startBroker,
    tokenFor,
    proofFor,

    /** Begins requests with the row of a token locked, and lets go of it when several wait there. */
    async whileLocked<Answer>(token: string, begin: () => Promise<Answer>[]): Promise<Answer[]> {
      const waiting = await world.owner.transaction().execute(async (transaction) => {
        const lock = 'select from tokens where jti = $1 for update';
        await transaction.executeQuery(CompiledQuery.raw(lock, [decodeJwt(token).jti]));
        const requests = begin();
        await until(async () => (await blocked()) > 1, 'several requests wait for the row');
        return requests;
      });
      return Promise.all(waiting);
    },

    /** A token for the one call with this body. */
    async callToken(body: object, session = newSessionKey()) {
      const call = {
        type: 'mayfly_call',
        action: ONE_REPORT,
        method: 'POST',
        url: URL_OF_CREDENTIALS,
        arguments_digest: canonicalDigest(body),
      };
      return tokenFor(undefined, session, {
        scope: undefined,
        authorization_details: JSON.stringify([call]),
      });
    },

    /** Asks with a good token and a good proof, or with what is given instead. */
    async ask(
      { session, token, proof, body = { action: READ_REPORT, arguments: ARGUMENTS } }: Asking = {},
      at = broker,
    ) {
      const made = token === undefined ? await tokenFor(undefined, session) : { session, token };
      const headers: Record<string, string> = { 'Content-Type': 'application/json' };
      if (made.token !== null) {
        const key = made.session ?? newSessionKey();
        headers.Authorization = `DPoP ${made.token}`;
        if (proof !== null) headers.DPoP = proof ?? proofFor(key, made.token ?? '');
      }
      const response = await fetch(`${at.url}/v1/aws/credentials`, {
        method: 'POST',
        headers,
        body: JSON.stringify(body),
      });
      return { status: response.status, headers: response.headers, body: (await response.json()) as Loose };
    },
  };
}

export type AwsStage = Awaited<ReturnType<typeof createAwsStage>>;

/** The files of the world with a resource for AWS beside them. */
async function withAws(scopes: string, { audience, denies }: { audience: string; denies: boolean }) {
  const root = await mkdtemp(join(tmpdir(), 'mayfly-scopes-'));
  try {
    const directory = join(root, 'scopes');
    await cp(scopes, directory, { recursive: true });
    const resource = awsResource(audience);
    const { [READ_REPORT]: action } = resource.actions;
    if (denies) action.aws.deny_when_revoked = true;
    resource.actions[ASSUME_REPORT] = {
      ...action,
      title: 'Read a report by the broker itself',
      aws: { ...action.aws, via: 'assume_role' },
    };
    resource.actions[ONE_REPORT] = { ...action, title: 'Read one report, once', use: 'request' };
    for (const name of ['report-writer', NEIGHBOUR]) {
      const path = join(directory, `agents/${name}.yaml`);
      const agent = parse(await readFile(path, 'utf8'));
      agent.may.push(...Object.keys(resource.actions));
      await writeFile(path, stringify(agent, { aliasDuplicateObjects: false }));
    }
    await writeFile(
      join(directory, 'resources/aws.yaml'),
      stringify(resource, { aliasDuplicateObjects: false }),
    );
    const { catalogue, problems } = await loadCatalogue(directory);
    if (catalogue === null) throw new Error(JSON.stringify(problems, null, 1));
    return catalogue;
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}
