/** As far as a connection: the name, the port, and TLS with a certificate that is believed. Nothing is sent. */
import type { LookupAddress } from 'node:dns';
import { lookup } from 'node:dns/promises';
import { once } from 'node:events';
import { connect } from 'node:net';
import { type PeerCertificate, type TLSSocket, connect as tlsConnect } from 'node:tls';
import { networkCodeOf } from '../../sdk/send.ts';
import { type Finding, failed, type Hop, ok, warning } from './hop.ts';

const DAY_MILLISECONDS = 86_400_000;
const SOON_DAYS = 14;
const MAX_ADDRESSES = 8;

export type Place = { url: URL; withinMilliseconds: number };

export function networkHops({ url, withinMilliseconds }: Place): Hop[] {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const port = Number(url.port || (url.protocol === 'https:' ? 443 : 80));
  const place = { host, port, withinMilliseconds };
  let addresses: LookupAddress[] = [];
  return [
    {
      name: 'name',
      needs: [],
      ends: 'unreachable',
      async look() {
        try {
          addresses = (await lookup(host, { all: true })).slice(0, MAX_ADDRESSES);
        } catch (error) {
          return failed(`${host} has no address (${networkCodeOf(error)}).`, nameFix(host));
        }
        return ok(`${host} is ${addresses.map(({ address }) => address).join(', ')}.`);
      },
    },
    { name: 'tcp', needs: ['name'], ends: 'unreachable', look: () => lookAtPort(addresses, place) },
    {
      name: 'tls',
      needs: ['tcp'],
      ends: 'unreachable',
      look: async () => (url.protocol === 'https:' ? lookAtTls(place) : null),
    },
  ];
}

function nameFix(host: string): string {
  return `Compare it with MAYFLY_ISSUER of the broker, and ask this machine: getent hosts ${host}`;
}

type Port = { host: string; port: number; withinMilliseconds: number };

/** One address that answers is enough, as for any client. */
async function lookAtPort(addresses: readonly LookupAddress[], place: Port): Promise<Finding> {
  const { port, withinMilliseconds } = place;
  let code = 'ENOTFOUND';
  for (const { address } of addresses) {
    const socket = connect({ host: address, port });
    try {
      await once(socket, 'connect', { signal: AbortSignal.timeout(withinMilliseconds) });
      return ok(`${address} takes connections at port ${port}.`);
    } catch (error) {
      code = isTimeout(error) ? 'ETIMEDOUT' : networkCodeOf(error);
    } finally {
      socket.destroy();
    }
  }
  if (code === 'ECONNREFUSED') {
    const fix =
      'Start the broker there (npm start; mayfly start), or name another one: --url, MAYFLY_ISSUER.';
    return failed(`Nobody listens at port ${port} of ${place.host}.`, fix);
  }
  const fix = `Something between drops or refuses it, such as a firewall; try: nc -vz ${place.host} ${port}`;
  return failed(`No connection to port ${port} of ${place.host} (${code}).`, fix);
}

/** Looked at before it is believed: over this connection nothing is sent. */
async function lookAtTls({ host, port, withinMilliseconds }: Port): Promise<Finding> {
  const socket = tlsConnect({ host, port, rejectUnauthorized: false, ...nameOf(host) });
  try {
    await once(socket, 'secureConnect', { signal: AbortSignal.timeout(withinMilliseconds) });
    return judgeCertificate(socket, host);
  } catch (error) {
    const code = isTimeout(error) ? 'no answer' : networkCodeOf(error);
    return failed(
      `What listens at port ${port} of ${host} speaks no TLS (${code}).`,
      `Look at what it is: openssl s_client -connect ${host}:${port}; behind a proxy, at the proxy's own settings.`,
    );
  } finally {
    socket.destroy();
  }
}

/** RFC 6066 §3: an address is no name to ask for. */
function nameOf(host: string): { servername?: string } {
  return /^[\d.]+$|:/.test(host) ? {} : { servername: host };
}

function judgeCertificate(socket: TLSSocket, host: string): Finding {
  const certificate = socket.getPeerCertificate();
  const until = new Date(certificate.valid_to);
  const by = `by ${certificate.issuer?.CN ?? 'somebody without a name'}`;
  const about = `The certificate of ${host} (${by}, good until ${certificate.valid_to})`;
  const isOver = until.getTime() <= Date.now();
  if (isOver) return failed(`${about} has expired.`, 'Whoever runs the broker has to renew it.');
  if (!socket.authorized)
    return failed(`${about} is not believed: ${reasonOf(socket)}.`, certificateFix(socket, certificate));
  const days = Math.floor((until.getTime() - Date.now()) / DAY_MILLISECONDS);
  const spoken = `${socket.getProtocol()}, with a certificate ${by}, good for ${days} days more.`;
  return days >= SOON_DAYS ? ok(spoken) : warning(spoken, 'Whoever runs the broker should renew it now.');
}

function reasonOf({ authorizationError }: TLSSocket): string {
  return String(authorizationError)
    .replace(/^Error: /, '')
    .slice(0, 200);
}

function certificateFix(socket: TLSSocket, { subjectaltname = 'nobody' }: PeerCertificate): string {
  const reason = reasonOf(socket);
  if (reason.includes('ALTNAME'))
    return `It is for ${subjectaltname}: use such a name with --url, or MAYFLY_ISSUER.`;
  if (reason.includes('NOT_YET')) return 'Compare the clocks: timedatectl';
  return 'If it is your own authority, name its certificate: export NODE_EXTRA_CA_CERTS=/path/of/ca.pem';
}

export function isTimeout(error: unknown): boolean {
  return error instanceof Error && (error.name === 'AbortError' || error.name === 'TimeoutError');
}
