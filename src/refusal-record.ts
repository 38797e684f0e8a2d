/** What the record says of a refused request: the reason, and who claimed to be asking, if that is a declared client. */

import type { ClientDirectory } from './agents/client.ts';
import { claimedClient, readAssertion } from './agents/client-assertion.ts';
import type { AuditAction } from './audit/audit-entry.ts';
import type { RefusalRecorder } from './audit/refusal-recorder.ts';
import { Refusal, type RefusalReason } from './errors/refusal.ts';
import { callerNames } from './http/caller-names.ts';
import type { Refused } from './http/edge.ts';
import type { Call } from './http/route.ts';
import { isJsonObject } from './json/strict-json.ts';
import { PATHS } from './tokens/server-metadata.ts';

export function recordRefusal(
  { refusal, requestId, source, route, call }: Refused,
  { recorder, clients }: { recorder: RefusalRecorder; clients: () => ClientDirectory },
): Promise<void> | undefined {
  if (route === null || (call === null && FRAMING.has(refusal.reason))) return undefined; // only counted
  const actor = refusal.actor ?? (call === null ? null : claimedBy(call, clients()));
  return recorder.record({
    action: ACTIONS[route.path] ?? 'request.refused',
    reason: refusal.reason,
    requestId,
    source,
    ...(actor === null ? {} : { actor }),
    details: { route: route.path, ...namesIn(call) },
  });
}

/** What the caller calls its request, beside our id. */
function namesIn(call: Call | null): { caller_request_id?: string } {
  const name = call === null ? undefined : callerNames(call.request).caller_request_id;
  return name === undefined ? {} : { caller_request_id: name };
}

/** What is wrong with the bytes, before anybody looked at what they ask: a flood of it must cost no writes. */
const FRAMING: ReadonlySet<RefusalReason> = new Set([
  'request_malformed',
  'header_repeated',
  'body_too_large',
  'media_type_unsupported',
]);

const ACTIONS: Readonly<Record<string, AuditAction>> = { [PATHS.token]: 'token.refused' };

function claimedBy({ form, json }: Call, clients: ClientDirectory): string | null {
  try {
    const assertion = isJsonObject(json) ? json.client_assertion : form.one('client_assertion');
    const claimed = typeof assertion === 'string' ? claimedClient(readAssertion(assertion)) : null;
    return claimed !== null && clients.has(claimed) ? claimed : null;
  } catch (error) {
    if (error instanceof Refusal) return null;
    throw error;
  }
}
