import { BlockList, isIP } from 'node:net';

/** RFC 1035 §2.3.4 */
const MAX_HOST_LENGTH = 253;

/** @param hostname as `URL` gives it */
export function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127(\.\d{1,3}){3}$/.test(hostname);
}

/**
 * A host in the letters in which proofs can name it (RFC 9449 §4.3, `dpop/target-url.ts`): no `_`, no dot at the end,
 * none of the other characters that WHATWG `URL` lets pass.
 * @param hostname as `URL` gives it
 */
export function isPlainHost(hostname: string): boolean {
  if (hostname.length > MAX_HOST_LENGTH) return false;
  return /^([a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])$/.test(hostname);
}

/** What a socket can be bound to: an address, or a name for the resolver. */
export function isBindable(host: string): boolean {
  return isIP(host) !== 0 || (!host.startsWith('[') && isPlainHost(host.toLowerCase()));
}

/** An address, or a range in CIDR notation. */
export function isNetwork(text: string): boolean {
  return rangeOf(text) !== null;
}

/** Whether a range is everybody of a family, however it is written (`::ffff:0:0/96` is all of IPv4). */
export function isEverybody(network: string): boolean {
  const range = rangeOf(network);
  if (range === null) return false;
  return ENDS.some(([family, ...ends]) => ends.every((address) => range.check(address, family)));
}

const ENDS = [
  ['ipv4', '0.0.0.0', '255.255.255.255'],
  ['ipv6', '::', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
] as const;

function rangeOf(text: string): BlockList | null {
  const [address = '', prefix, ...rest] = text.split('/');
  const family = isIP(address);
  const list = new BlockList();
  if (family === 0 || rest.length > 0 || !/^\d{1,3}$/.test(prefix ?? '0')) return null;
  try {
    if (prefix === undefined) list.addAddress(address, family === 4 ? 'ipv4' : 'ipv6');
    else list.addSubnet(address, Number(prefix), family === 4 ? 'ipv4' : 'ipv6');
    return list;
  } catch {
    return null;
  }
}
