/**
 * Where a request came from, for rate bounds and the audit log; never for a decision about who somebody is.
 * It is the address of the socket's other end, unless that is a proxy that the operator trusts: then it is the
 * rightmost address of X-Forwarded-For (or RFC 7239 Forwarded) that is not such a proxy. Whatever stands further
 * left was written by strangers. Nothing else of those headers is ever used.
 */
import type { IncomingMessage } from 'node:http';
import { BlockList, isIP, SocketAddress } from 'node:net';

export type Source = {
  /** One spelling per address: an IPv4-mapped IPv6 address is the IPv4 address. */
  address: string;
  /** What a rate bound counts: the IPv4 address, or the /64 that one IPv6 host owns. */
  network: string;
};

export type SourceReader = (request: IncomingMessage) => Source;

const UNKNOWN: Source = { address: 'unknown', network: 'unknown' };

/** @param trustedProxies addresses and CIDR ranges; @param maxHops addresses looked at, from the right */
export function createSourceReader(options: {
  trustedProxies: readonly string[];
  maxHops: number;
}): SourceReader {
  const { maxHops } = options;
  const trusted = blockListOf(options.trustedProxies);
  const peers = new WeakMap<object, { source: Source; isProxy: boolean }>(); // once a connection, not a request

  const peerOf = (request: IncomingMessage) => {
    const known = peers.get(request.socket);
    if (known !== undefined) return known;
    const source = sourceOf(request.socket.remoteAddress ?? '') ?? UNKNOWN;
    const peer = { source, isProxy: contains(trusted, source) };
    peers.set(request.socket, peer);
    return peer;
  };

  return (request) => {
    const { source, isProxy } = peerOf(request);
    if (!isProxy) return source;
    let client = source;
    for (const hop of forwardedHops(request, maxHops)) {
      const next = sourceOf(hop);
      if (next === null) break; // "unknown", a pseudonym or nonsense: who sent it is not known any better
      client = next;
      if (!contains(trusted, next)) break;
    }
    return client;
  };
}

/** Reads an address as an operating system or a proxy writes it; null when it is none. */
export function sourceOf(text: string): Source | null {
  const address = canonicalAddress(text);
  if (address === null) return null;
  return { address, network: address.includes(':') ? networkOf(address) : address };
}

function contains(list: BlockList, { address }: Source): boolean {
  return address !== UNKNOWN.address && list.check(address, address.includes(':') ? 'ipv6' : 'ipv4');
}

function blockListOf(networks: readonly string[]): BlockList {
  const list = new BlockList();
  for (const network of networks) {
    const [address = '', prefix] = network.split('/');
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
    if (prefix === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(prefix), family);
  }
  return list;
}

/**
 * From right to left. Both headers at once count for nothing: a proxy sets one of them and passes on what a
 * stranger wrote into the other.
 */
function forwardedHops({ headers }: IncomingMessage, maxHops: number): string[] {
  const list = headers['x-forwarded-for'];
  const { forwarded } = headers;
  if ((list === undefined) === (forwarded === undefined)) return [];
  const entries = String(list ?? forwarded).split(',');
  const hops = entries.slice(-maxHops).reverse();
  return list === undefined ? hops.map(forParameter) : hops;
}

/** RFC 7239 §4: the `for` of one element, `for=192.0.2.60;proto=http` or `for="[2001:db8::1]:4711"`. */
function forParameter(element: string): string {
  const pair = element.split(';').find((part) => part.trim().toLowerCase().startsWith('for='));
  return (
    pair
      ?.slice(pair.indexOf('=') + 1)
      .trim()
      .replace(/^"(.*)"$/, '$1') ?? ''
  );
}

const WITH_PORT = /^(?:\[([^\]]+)\](?::\d{1,5})?|(\d{1,3}(?:\.\d{1,3}){3}):\d{1,5})$/;
const MAPPED = '::ffff:';

function canonicalAddress(text: string): string | null {
  const bare = text.trim();
  const [, bracketed, dotted] = WITH_PORT.exec(bare) ?? [];
  const host = (bracketed ?? dotted ?? bare).split('%', 1)[0] ?? ''; // fe80::1%eth0
  const family = isIP(host);
  if (family === 0) return null;
  if (family === 4) return host;
  const { address } = new SocketAddress({ address: host, family: 'ipv6' });
  const isMapped = address.startsWith(MAPPED) && address.includes('.');
  return isMapped ? address.slice(MAPPED.length) : address;
}

/** The first 64 bits, written out: `2001:db8:0:1::/64`. */
function networkOf(address: string): string {
  const [left = '', right] = address.split('::');
  const head = left === '' ? [] : left.split(':');
  const tail = right === undefined || right === '' ? [] : right.split(':');
  const gap =
    right === undefined ? [] : new Array<string>(Math.max(0, 8 - head.length - tail.length)).fill('0');
  return `${[...head, ...gap, ...tail].slice(0, 4).join(':')}::/64`;
}
