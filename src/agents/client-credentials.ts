import { refuse } from '../errors/refusal.ts';
import type { Call } from '../http/route.ts';
import { isJsonObject } from '../json/strict-json.ts';
import type { ClientCredentials } from './authenticate-client.ts';

/** Client authentication out of a form (RFC 7521 §4.2). */
export function credentialsOfForm({ form, request }: Call): ClientCredentials {
  return {
    clientId: form.one('client_id'),
    assertion: form.one('client_assertion'),
    assertionType: form.one('client_assertion_type'),
    secretGiven: form.one('client_secret') !== undefined,
    authorization: request.headers.authorization,
  };
}

/** The same members out of a JSON body, for the endpoints under `/v1`. Other members are for the caller to judge. */
export function credentialsOfJson({ json, request }: Call): ClientCredentials {
  if (!isJsonObject(json)) refuse('request_malformed', { hint: 'The body is a JSON object.' });
  const text = (name: string): string | undefined => {
    const value = json[name];
    if (value === undefined || typeof value === 'string') return value;
    return refuse('parameter_invalid', { hint: `${name} is a string.` });
  };
  return {
    clientId: undefined,
    assertion: text('client_assertion'),
    assertionType: text('client_assertion_type'),
    secretGiven: false,
    authorization: request.headers.authorization,
  };
}
