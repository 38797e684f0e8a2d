/** The HTTP edge of the kill switch: parse, call one verb, answer. */
import { z } from 'zod';
import type { CiteRevocation } from '../audit/cite-entry.ts';
import { refuse } from '../errors/refusal.ts';
import { pageAnswer, readChoice, readPage } from '../http/list.ts';
import type { Answer, Call } from '../http/route.ts';
import type { Operator } from '../operators/operator-guard.ts';
import { MAX_REASON_CHARACTERS, readIdempotency, reasonSchema } from '../operators/read-change.ts';
import type { SettledEntry } from '../revocations/receipt.ts';
import type { Receipts } from '../revocations/receipts.ts';
import { isIdentifierOf } from '../time/identifier.ts';
import type { KillSwitch } from './kill-switch.ts';
import type { KillSwitchStore, SwitchChange, SwitchRow } from './kill-switch-store.ts';
import { KILL_KINDS, killTargetSchema } from './kill-target.ts';

export type KillSwitchRoutes = {
  engage: (call: Call, operator: Operator) => Promise<Answer>;
  preview: (call: Call) => Promise<Answer>;
  list: (call: Call) => Promise<Answer>;
  read: (call: Call) => Promise<Answer>;
  receipt: (call: Call) => Promise<Answer>;
  release: (call: Call, operator: Operator) => Promise<Answer>;
};

export const DEFAULT_WAIT_SECONDS = 2;
export const MAX_WAIT_SECONDS = 30;

const engageSchema = z.strictObject({
  target: killTargetSchema,
  reason: reasonSchema,
  wait_seconds: z.int().min(0).max(MAX_WAIT_SECONDS).default(DEFAULT_WAIT_SECONDS),
});
const ENGAGE_HINT =
  `The members are target (the kind all alone, or one of ${KILL_KINDS.slice(1).join(', ')} with its id), reason ` +
  `(one line, 1 to ${MAX_REASON_CHARACTERS} characters, no token) and, if wanted, wait_seconds (0 to ${MAX_WAIT_SECONDS}).`;

const previewSchema = z.strictObject({ target: killTargetSchema });
const PREVIEW_HINT = `The member is target: the kind all alone, or one of ${KILL_KINDS.slice(1).join(', ')} with its id.`;

const releaseSchema = z.strictObject({ reason: reasonSchema });
const RELEASE_HINT = `The member is reason (one line, 1 to ${MAX_REASON_CHARACTERS} characters, no token).`;

export function createKillSwitchRoutes(options: {
  killSwitch: KillSwitch;
  store: KillSwitchStore;
  receipts: Receipts;
  /** Where the log has the line that goes with an entry. */
  cite: CiteRevocation;
  /** How often one operator may change it. @throws {Refusal} `rate_limited` */
  admit: (operator: string) => void;
}): KillSwitchRoutes {
  const { killSwitch, store, receipts, cite, admit } = options;

  function tellSettled(settled: SettledEntry): object {
    return { ...tellState(settled), receipt: receipts.sign(settled) };
  }

  return {
    async engage(call, operator) {
      const { target, reason, wait_seconds: waitSeconds } = parse(call, engageSchema, ENGAGE_HINT);
      admit(operator.name);
      const change = changeOf(call, operator, reason);
      const engaged = await killSwitch.engage({ target, waitSeconds, change, signal: call.signal });
      const { effect, settled } = engaged;
      return {
        status: settled.complete ? 200 : 202,
        body: { ...tellSwitch(engaged.switch), effect, ...tellSettled(settled) },
      };
    },

    async preview(call) {
      const { target } = parse(call, previewSchema, PREVIEW_HINT);
      const { agents, sessions, liveTokens } = await killSwitch.preview(target);
      return { body: { target, agents, sessions, live_tokens: liveTokens } };
    },

    async list({ query }) {
      const page = readPage(query, { filters: ['kind', 'state'], isIdentifier: isSwitchId });
      const filters = {
        kind: readChoice(query, 'kind', KILL_KINDS),
        state: readChoice(query, 'state', ['engaged', 'released']),
      };
      const switches = await store.list(filters, { after: page.after, atMost: page.limit + 1 });
      return pageAnswer(switches, { limit: page.limit, identify: ({ id }) => id, tell: tellSwitch });
    },

    async read({ params }) {
      const id = switchIdOf(params.id);
      const settled = await killSwitch.stateOf(id);
      return { body: { ...tellSwitch(await killSwitch.find(id)), ...tellState(settled) } };
    },

    async receipt({ params }) {
      const settled = await killSwitch.stateOfEntry(switchIdOf(params.id));
      const { id, epoch, complete, committed_at: committedAt, aws } = settled;
      const audit = await cite({ epoch, at: new Date(committedAt) });
      const stated = aws === undefined ? {} : { aws };
      return { body: { id, complete, ...stated, receipt: receipts.sign(settled), audit } };
    },

    async release(call, operator) {
      const { reason } = parse(call, releaseSchema, RELEASE_HINT);
      admit(operator.name);
      const id = switchIdOf(call.params.id);
      const change = changeOf(call, operator, reason);
      const released = await killSwitch.release({ id, change, signal: call.signal });
      const { effect, settled } = released;
      return {
        status: settled.complete ? 200 : 202,
        body: { ...tellSwitch(released.switch), effect, ...tellSettled(settled) },
      };
    },
  };
}

function tellSwitch({ id, epoch, target, reason, actor, at, released }: SwitchRow): object {
  return {
    id,
    epoch,
    target,
    reason,
    actor,
    at: at.toISOString(),
    released: released === null ? null : { ...released, at: new Date(released.at).toISOString() },
  };
}

/** Whatever the receipt says of enforcement points and of AWS, in plain members. */
export function tellState({
  committed_at,
  replicated,
  complete,
  unlisted_stop_at,
  verifiers,
  aws,
}: SettledEntry): object {
  return {
    committed_at,
    replicated,
    complete,
    ...(unlisted_stop_at === undefined ? {} : { unlisted_stop_at }),
    verifiers,
    ...(aws === undefined ? {} : { aws }),
  };
}

function changeOf(call: Call, { name }: Operator, reason: string): SwitchChange {
  const { requestId, source } = call;
  return { reason, actor: name, requestId, source: source.address, idempotency: readIdempotency(call) };
}

function parse<Body>({ json }: Call, schema: z.ZodType<Body>, hint: string): Body {
  const parsed = schema.safeParse(json);
  return parsed.success ? parsed.data : refuse('parameter_invalid', { hint });
}

/** What is no identifier names no switch; the database is not asked. */
function switchIdOf(text: string | undefined): string {
  return text !== undefined && isSwitchId(text) ? text : refuse('kill_switch_not_found');
}

function isSwitchId(text: string): boolean {
  return isIdentifierOf('rev', text);
}
