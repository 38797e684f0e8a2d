// The image's health check: ends with 0 when the broker in this container answers /livez. It asks for liveness
// and not for readiness, since restarting a broker helps against nothing that makes it not ready.
import { get as getPlainly } from 'node:http';
import { get as getOverTls } from 'node:https';

const TIMEOUT_MILLISECONDS = 2_000;

const { MAYFLY_HOST = '127.0.0.1', MAYFLY_PORT = '8420', MAYFLY_TLS_CERT } = process.env;
const host = ['0.0.0.0', '::'].includes(MAYFLY_HOST) ? '127.0.0.1' : MAYFLY_HOST;
const get = MAYFLY_TLS_CERT ? getOverTls : getPlainly;

// The certificate names the public host and not this address; nothing is sent that anybody could steal.
get({ host, port: MAYFLY_PORT, path: '/livez', timeout: TIMEOUT_MILLISECONDS, rejectUnauthorized: false })
  .on('response', ({ statusCode }) => process.exit(statusCode === 200 ? 0 : 1))
  .on('timeout', () => process.exit(1))
  // A listener that wants a client certificate is alive enough to say so.
  .on('error', ({ code }) => process.exit(code === 'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED' ? 0 : 1));
