/** The HTTP edge of the feed: one page, or a stream of them, for resource servers and for operators. */
import { CLIENT_ASSERTION_TYPE, type ClientAuthenticator } from '../agents/authenticate-client.ts';
import type { AuditEntry } from '../audit/audit-entry.ts';
import type { SpentKey } from '../dpop/replay-key.ts';
import { refuse } from '../errors/refusal.ts';
import { refuseUnknown } from '../http/list.ts';
import type { Answer, Call } from '../http/route.ts';
import type { Operator, OperatorGuard } from '../operators/operator-guard.ts';
import type { Feed } from '../revocations/feed.ts';
import { ledgerKey } from '../revocations/revocation.ts';
import { type Revocable, tokenKeys } from '../revocations/rule.ts';
import type { Clock } from '../time/clock.ts';
import { newIdentifier } from '../time/identifier.ts';

export type FeedRoutes = { read: (call: Call) => Promise<Answer> };

const BEARER = /^bearer(?: +(.*))?$/i;
const EVENT_STREAM = 'text/event-stream';

/** A front that gathers answers before it sends them would hold a revocation back. */
const STREAM_HEADERS = { 'Content-Type': EVENT_STREAM, 'X-Accel-Buffering': 'no' };

export function createFeedRoutes(options: {
  feed: Feed;
  authenticator: ClientAuthenticator;
  operatorGuard: OperatorGuard;
  /** Marks an assertion as used, and records what for. @returns false when it was used before */
  spend: (spending: { assertion: SpentKey; entry: AuditEntry }) => Promise<boolean>;
  clock: Clock;
}): FeedRoutes {
  const { feed, authenticator, operatorGuard, spend, clock } = options;

  /**
   * A resource server by an assertion (RFC 7523 §2.2 in the place of a token), an operator by a token of its own.
   * @returns that token
   */
  async function admit(call: Call): Promise<Revocable | null> {
    const bearer = BEARER.exec(call.request.headers.authorization ?? '');
    if (bearer === null) {
      return revocableOf(await operatorGuard.require(call, 'mayfly:read:revocations'));
    }
    const by = authenticator.authenticate(
      {
        clientId: undefined,
        assertion: bearer[1] ?? '',
        assertionType: CLIENT_ASSERTION_TYPE,
        secretGiven: false,
        authorization: undefined,
      },
      call,
    );
    if (by.client.kind !== 'resource') {
      refuse('client_is_no_resource', { hint: 'Resource servers and operators read the ledger.' });
    }
    const entry: AuditEntry = {
      id: newIdentifier('aud', clock),
      action: 'ledger.read',
      outcome: 'allowed',
      requestId: call.requestId,
      actor: by.client.id,
      details: { source: call.source.address },
    };
    if (!(await spend({ assertion: by.assertion, entry }))) refuse('assertion_replayed');
    return null;
  }

  return {
    async read(call) {
      const since = sinceOf(call);
      const token = await admit(call);
      if (!isStream(call)) return { body: { page: await feed.page(since) } };
      return {
        headers: STREAM_HEADERS,
        stream: await feed.open(since, { network: call.source.network, token }),
      };
    },
  };
}

function revocableOf({ token }: Operator): Revocable {
  const { jti, sid: sessionId, client_id: clientId, sub: subject, zone, aud: resource, scope } = token;
  const actions = scope.split(' ');
  return {
    epoch: token.epoch,
    keys: new Set(tokenKeys({ jti, sessionId, clientId, subject, zone, resource, actions })),
    signingKey: ledgerKey({ kind: 'signing-key', id: token.kid }),
    exemptFromWide: true,
  };
}

function isStream({ request }: Call): boolean {
  const accepted = request.headers.accept?.split(',') ?? [];
  return accepted.some((range) => range.split(';')[0]?.trim().toLowerCase() === EVENT_STREAM);
}

const EPOCH = /^(?:0|[1-9][0-9]{0,15})$/;
const EPOCH_HINT = 'since, and Last-Event-ID of a stream, is an epoch: a whole number, 0 for everything.';

/** A reader that comes back says in the header where it was (HTML §9.2.3); that is newer than the address it uses. */
function sinceOf(call: Call): number {
  refuseUnknown(call.query, ['since']);
  const lastEvent = isStream(call) ? call.request.headers['last-event-id'] : undefined;
  const text = lastEvent ?? call.query.one('since') ?? '0';
  const since = typeof text === 'string' && EPOCH.test(text) ? Number(text) : Number.NaN;
  return Number.isSafeInteger(since) ? since : refuse('parameter_invalid', { hint: EPOCH_HINT });
}
