/**
 * The resources that a run was started for, as its program names them: `http://host/path`, for https ones too, since
 * what goes through a proxy under https:// cannot be signed on the way.
 */
import { giveUp } from '../sdk/agent-error.ts';
import { covers, parseSafeUrl } from '../sdk/places.ts';

export type Places = {
  /** Where a request goes that names this target, and for which resource; null when it is none of the run's. */
  find(target: URL): { url: URL; resource: string } | null;
  /** A `Location` as the program can follow it: within a resource, under http://; otherwise as it is. */
  locationFor(location: string): string;
};

/** @throws {AgentError} `misconfigured` */
export function createPlaces(declared: readonly string[]): Places {
  const resources = declared.map(readResource);
  if (resources.length === 0) giveUp('misconfigured', 'A proxy is for resources: name them with --resource.');
  refuseDoubles(resources);

  function find(target: URL): { url: URL; resource: string } | null {
    for (const resource of resources) {
      const url = new URL(target);
      if (resource.protocol === 'https:') url.protocol = 'https:';
      if (covers(resource, url)) return { url, resource: resource.href };
    }
    return null;
  }

  return {
    find,
    locationFor(location) {
      const url = /^https:/i.test(location) ? URL.parse(location) : null;
      if (url === null || url.username !== '' || find(url) === null) return location;
      url.protocol = 'http:';
      return url.href;
    },
  };
}

function readResource(text: string): URL {
  const url = parseSafeUrl(text);
  if (url !== null && url.search === '') return url;
  return giveUp(
    'misconfigured',
    'A --resource is an https URL, or an http one on this machine, without a query.',
  );
}

/** Under http:// they would be the same place. */
function refuseDoubles(resources: readonly URL[]): void {
  const double = resources.find((one) =>
    resources.some(({ protocol, host }) => host === one.host && protocol !== one.protocol),
  );
  if (double === undefined) return;
  giveUp(
    'misconfigured',
    `${double.host} is declared under http and https: through a proxy both are the same.`,
  );
}
