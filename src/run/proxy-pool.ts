/**
 * The connections of one run, shared with nobody. Node closes one over which something comes that nobody asked for, and
 * one whose request was cancelled; a test holds it to that.
 */
import { Agent, type AgentOptions } from 'node:http';
import { Agent as TlsAgent } from 'node:https';

export type Pool = { of(url: URL): Agent; close(): void };

const IDLE_MILLISECONDS = 4_000;
const LIMITS: AgentOptions = {
  keepAlive: true,
  timeout: IDLE_MILLISECONDS, // for those that nobody uses; requests have limits of their own
  maxSockets: 128,
  maxFreeSockets: 16,
  maxTotalSockets: 256,
};

/** @param authorities PEM; those that the machine trusts when absent */
export function createPool(authorities?: string): Pool {
  const plain = new Agent(LIMITS);
  // Said, so that no variable of the environment takes it away.
  const tls = { rejectUnauthorized: true, ...(authorities === undefined ? {} : { ca: authorities }) };
  const secure = new TlsAgent({ ...LIMITS, ...tls });
  return {
    of: ({ protocol }) => (protocol === 'https:' ? secure : plain),
    close() {
      plain.destroy();
      secure.destroy();
    },
  };
}
