/**
 * What a resource server says about itself (RFC 9728), so that a client that was refused can find the broker. Its
 * `scopes_supported` is what clients ask for when they know nothing better: list the least that is of use.
 */
import { JWS_ALGORITHMS } from '../jws/jwk.ts';

export type ResourceMetadata = {
  resource: string;
  authorization_servers: readonly string[];
  bearer_methods_supported: readonly ['header'];
  scopes_supported?: readonly string[];
  resource_name?: string;
  dpop_bound_access_tokens_required: true;
  dpop_signing_alg_values_supported: readonly string[];
};

/**
 * @param resource what clients know this resource as: the URL that they call, or one that it begins with, without
 *   a slash at the end; they compare it, and give it back as `resource` of RFC 8707
 */
export function resourceMetadata(options: {
  resource: string;
  issuer: string;
  actions?: readonly string[];
  title?: string;
}): ResourceMetadata {
  const { resource, issuer, actions = [], title } = options;
  return {
    resource,
    authorization_servers: [issuer],
    bearer_methods_supported: ['header'],
    ...(actions.length === 0 ? {} : { scopes_supported: actions }), // §3.2: no empty arrays
    ...(title === undefined ? {} : { resource_name: title }),
    dpop_bound_access_tokens_required: true,
    dpop_signing_alg_values_supported: JWS_ALGORITHMS,
  };
}

const WELL_KNOWN = '/.well-known/oauth-protected-resource';

/** Where that document is found: RFC 9728 §3.1, between the host and the path of the resource. */
export function resourceMetadataUrl(resource: string): string {
  const { origin, pathname } = new URL(resource);
  return `${origin}${WELL_KNOWN}${pathname === '/' ? '' : pathname}`;
}

/** @returns the resource whose document is found there; null when it is no place of that kind */
export function resourceOfMetadataUrl(url: string): string | null {
  const { origin, pathname } = new URL(url);
  const path = pathname.slice(WELL_KNOWN.length);
  return pathname.startsWith(WELL_KNOWN) && /^(?:$|\/)/.test(path) ? `${origin}${path}` : null;
}
