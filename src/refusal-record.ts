/**
 * What the record says of a refused request: the reason, and whatever was known of it by then. Who was not proved to be
 * somebody is never its actor; who it said it is, if that is a declared client, stands apart as `claimed_client`.
 */

import type { ClientDirectory } from './agents/client.ts';
import { claimedClient, readAssertion } from './agents/client-assertion.ts';
import type { AuditAction } from './audit/audit-entry.ts';
import type { RefusalRecorder } from './audit/refusal-recorder.ts';
import type { ActiveCatalogue } from './catalogue/active-catalogue.ts';
import { keyInRecord } from './dpop/replay-key.ts';
import { Refusal } from './errors/refusal.ts';
import type { RefusalReason } from './errors/refusal-reasons.ts';
import { callerNames } from './http/caller-names.ts';
import type { Refused } from './http/edge.ts';
import type { Known } from './http/known.ts';
import type { Call, Route } from './http/route.ts';
import { isJsonObject } from './json/strict-json.ts';
import { isManagementAction } from './operators/management-actions.ts';
import { namedTarget, textDigest } from './operators/named-target.ts';
import { PATHS } from './tokens/server-metadata.ts';

type Names = { clients: ClientDirectory; catalogue: ActiveCatalogue; issuer: string };

export function recordRefusal(
  { refusal, requestId, source, route, call }: Omit<Refused, 'route'> & { route: Pick<Route, 'path'> | null },
  { recorder, ...names }: { recorder: RefusalRecorder } & Names,
): Promise<void> | undefined {
  if (route === null || (call === null && FRAMING.has(refusal.reason))) return undefined; // only counted
  const { actor = undefined, ...about } = call === null ? {} : knownOf(call, refusal.reason, names);
  return recorder.record({
    action: actionOf(refusal, route.path),
    reason: refusal.reason,
    requestId,
    source,
    ...present({ actor, sessionId: call?.known.sessionId, tokenId: call?.known.tokenId }),
    details: { route: route.path, ...about },
  });
}

/** What is wrong with the bytes, before anybody looked at what they ask: a flood of it must cost no writes. */
const FRAMING: ReadonlySet<RefusalReason> = new Set([
  'request_malformed',
  'header_repeated',
  'body_too_large',
  'media_type_unsupported',
]);

/** Whoever only repeats what it saw has shown nothing of itself. */
const REPETITIONS: ReadonlySet<RefusalReason> = new Set(['proof_replayed', 'assertion_replayed']);

/** 401 is the answer to whoever did not show who it is, here as there (RFC 9110 §15.5.2). */
function actionOf({ code, status }: Refusal, path: string): AuditAction {
  if (code === 'use_dpop_nonce') return 'proof.challenged';
  if (status === 401) return 'login.failed';
  return path === PATHS.token ? 'token.refused' : 'request.refused';
}

function knownOf(call: Call, reason: RefusalReason, names: Names) {
  const { known } = call;
  const actor = REPETITIONS.has(reason) ? undefined : known.actor;
  const claimed = actor === undefined ? (known.actor ?? known.claimedClient ?? claimedBy(call)) : undefined;
  const isDeclared = (name: string) => names.clients.has(name);
  return present({
    actor,
    ...versionFor(actor, names),
    claimed_client: claimed !== undefined && isDeclared(claimed) ? claimed : undefined,
    client_kid: known.clientKid,
    jkt: known.jkt,
    proof: known.proof === undefined ? undefined : keyInRecord(known.proof),
    epoch: known.epoch,
    ...(actor === undefined ? {} : { ...namedTarget(call, isDeclared), ...askedFor(known, names) }),
    caller_request_id: callerNames(call.request).caller_request_id,
  });
}

/** The version that decided, and under which identifier it has the one who asks. */
function versionFor(actor: string | undefined, { clients, catalogue }: Names) {
  const client = actor === undefined ? undefined : clients.get(actor);
  const applied = actor === undefined ? catalogue.applied() : catalogue.appliedFor(actor);
  return {
    catalogue: applied?.version,
    agent: client === undefined || client.kind === 'resource' ? undefined : applied?.agentIds.get(client.id),
    zone: client?.kind === 'agent' ? client.agent.zone : undefined,
  };
}

/** Longer lists of actions are told by their digest alone. */
const MAX_SCOPE_CHARACTERS = 2_000;

/** Declared names as they are. Anything else could be anything, and stands there by the digest of all that was asked. */
function askedFor({ asked }: Known, { catalogue: { catalogue }, issuer }: Names) {
  if (asked === undefined) return {};
  const { actions, resource } = asked;
  const declared = actions.filter((name) => isManagementAction(name) || catalogue.actions.has(name));
  const scope = declared.join(' ');
  const isWhole = declared.length === actions.length && scope.length <= MAX_SCOPE_CHARACTERS;
  const isKnown = resource !== undefined && (resource === issuer || catalogue.resources.has(resource));
  return {
    scope: scope === '' || scope.length > MAX_SCOPE_CHARACTERS ? undefined : scope,
    scope_sha256: isWhole ? undefined : textDigest(actions.join(' ')),
    resource: isKnown ? resource : undefined,
    resource_sha256: isKnown || resource === undefined ? undefined : textDigest(resource),
  };
}

type Present<Members> = { [Name in keyof Members]?: Exclude<Members[Name], undefined | null> };

function present<Members extends object>(members: Members): Present<Members> {
  const entries = Object.entries(members).filter(([, value]) => value !== undefined && value !== null);
  return Object.fromEntries(entries) as Present<Members>;
}

const BEARER = /^bearer +(\S+)$/i;

function claimedBy({ form, json, request }: Call): string | undefined {
  try {
    const assertion = isJsonObject(json) ? json.client_assertion : form.one('client_assertion');
    const given = assertion ?? BEARER.exec(request.headers.authorization ?? '')?.[1];
    return typeof given === 'string' ? (claimedClient(readAssertion(given)) ?? undefined) : undefined;
  } catch (error) {
    if (error instanceof Refusal) return undefined;
    throw error;
  }
}
