/**
 * Where an outbound request may go. The name in a URL proves nothing: it may resolve to this machine, to its neighbours
 * or to the address at which a cloud gives out credentials. So the address is judged, and the one that was judged is
 * the one that is called.
 */
import { BlockList, isIP, isIPv4 } from 'node:net';

/** Everybody may be named by a URL, but these (RFC 6890 and its registry, IANA's special-purpose addresses). */
const NOT_PUBLIC_V4: readonly (readonly [string, number])[] = [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.31.196.0', 24],
  ['192.52.193.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['192.175.48.0', 24],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
  ['168.63.129.16', 32], // Azure's own, on every machine there
];

/** Within 2000::/3: addresses that carry another one inside, documentation, and what is not routed. */
const NOT_PUBLIC_V6: readonly (readonly [string, number])[] = [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['2620:4f:8000::', 48],
  ['3fff::', 20],
];

/** What an operator may allow by the host's name: this machine and private networks. */
const PRIVATE_V4: readonly (readonly [string, number])[] = [
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['172.16.0.0', 12],
  ['192.168.0.0', 16],
];
const PRIVATE_V6: readonly (readonly [string, number])[] = [
  ['::1', 128],
  ['fc00::', 7],
];

/** Where clouds give credentials to whoever asks: never, whatever was allowed. */
const METADATA = new BlockList();
METADATA.addSubnet('169.254.0.0', 16, 'ipv4');
METADATA.addAddress('100.100.100.200', 'ipv4');
METADATA.addAddress('192.0.0.192', 'ipv4');
METADATA.addAddress('168.63.129.16', 'ipv4');
METADATA.addSubnet('fd00:ec2::', 32, 'ipv6');
METADATA.addAddress('fd20:ce::254', 'ipv6');

/** By family: a list of IPv4 networks would also judge `::ffff:10.0.0.1`, which here is refused as what it is. */
const LISTS = {
  ipv4: { notPublic: listOf('ipv4', NOT_PUBLIC_V4), isPrivate: listOf('ipv4', PRIVATE_V4) },
  ipv6: { notPublic: listOf('ipv6', NOT_PUBLIC_V6), isPrivate: listOf('ipv6', PRIVATE_V6) },
};
/** All of IPv6 that is routed between networks. */
const GLOBAL_V6 = listOf('ipv6', [['2000::', 3]]);

/**
 * @param address as a resolver gives it
 * @param options.allowPrivate also private networks and this machine
 */
export function mayCall(address: string, { allowPrivate }: { allowPrivate: boolean }): boolean {
  if (isIP(address) === 0 || address.includes('%')) return false; // a zone, `fe80::1%eth0`, is this machine's own
  const family = isIPv4(address) ? 'ipv4' : 'ipv6';
  if (METADATA.check(address, family)) return false;
  const { notPublic, isPrivate } = LISTS[family];
  if (isPrivate.check(address, family)) return allowPrivate;
  if (family === 'ipv6' && !GLOBAL_V6.check(address, family)) return false;
  return !notPublic.check(address, family);
}

function listOf(family: 'ipv4' | 'ipv6', networks: readonly (readonly [string, number])[]): BlockList {
  const list = new BlockList();
  for (const [network, prefix] of networks) list.addSubnet(network, prefix, family);
  return list;
}
