/**
 * `mayfly token request`: whether an agent gets a token, and what is in it. The key that such a token is bound to is
 * made for the command and gone with it, so the token itself is of no use to anybody afterwards, and is shown only to
 * whoever asks for it. `--for` is how it is used once: it prints what one request carries.
 */
import { type Command, InvalidArgumentError } from 'commander';
import type { Environment } from '../config/environment.ts';
import type { Agent } from '../sdk/agent.ts';
import type { AgentToken } from '../sdk/shown-token.ts';
import { addActionOption, addAgentOptions, requireActions } from './agent-options.ts';
import type { ConnectionOptions } from './connection.ts';
import { wholeNumberIn } from './number-options.ts';
import { addFormatOption, type Format } from './operator-commands.ts';
import type { Row } from './table.ts';

type OneRequest = { method: string; url: string };
type Options = ConnectionOptions & {
  action: string[];
  resource?: string;
  ttl?: number;
  for?: OneRequest;
  nonce?: string;
  show: boolean;
  output: Format;
};

const LIFE_SECONDS = { from: 60, to: 900, unit: 'seconds' };

export function addTokenRequest(group: Command, environment: Environment): Command {
  const command = group
    .command('request')
    .description('get a token as an agent, and see what it is for')
    .option('--resource <url>', 'where it is for, if the actions belong to several')
    .option('--ttl <seconds>', 'how long it lives at most', wholeNumberIn(LIFE_SECONDS))
    .option(
      '--for <request>',
      'print the headers that this one request carries, as "GET https://…", for curl -H @-',
      oneRequest,
    )
    .option('--nonce <text>', 'the DPoP-Nonce that the resource asked for, with --for')
    .option('--show', 'show the token itself, which nobody can use', false)
    .action(async (options: Options) => {
      requireActions(options.action, command);
      await requestToken(environment, options);
    });
  addFormatOption(addAgentOptions(addActionOption(command)), ['table', 'json']);
  return group;
}

async function requestToken(environment: Environment, options: Options): Promise<void> {
  const { asAgent } = await import('./as-agent.ts');
  const { print, printOne, say } = await import('./print.ts');
  const { action: actions, resource, ttl, for: request, nonce, output } = options;
  const lifetime = ttl === undefined ? {} : { tokenLifetimeSeconds: ttl };
  const asking = { ...options, ...lifetime, isKept: request !== undefined };
  await asAgent(environment, asking, async (agent: Agent, { clientId }) => {
    const token = await agent.token({ actions, ...(resource === undefined ? {} : { resource }) });
    if (request === undefined) return printOne(described(token, clientId, options), output);
    const headers = await token.credentials({ ...request, ...(nonce === undefined ? {} : { nonce }) });
    if (output === 'json') printOne(headers, output);
    else print(`Authorization: ${headers.Authorization}\nDPoP: ${headers.DPoP}\n`);
    say(`Good for one ${request.method} of that URL, within a minute.`);
  });
}

/** Members of the token, by their names where they are known to people. */
function described(token: AgentToken, agent: string, { show }: Options): Row {
  const [header, claims] = token.accessToken.split('.').map(decoded);
  return {
    agent,
    scope: token.actions.join(' '),
    resource: claims?.aud ?? null,
    expires_at: new Date(token.expiresAt).toISOString(),
    expires_in_seconds: secondsBetween(claims?.iat, claims?.exp),
    session_id: token.sessionId ?? null,
    kid: header?.kid ?? null,
    claims: claims ?? null,
    ...(show ? { access_token: token.accessToken } : {}),
  };
}

/** Null where it is no JWT: what a token looks like is the broker's affair. */
function decoded(part: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString('utf8'));
    return typeof value === 'object' && value !== null ? { ...value } : null;
  } catch {
    return null;
  }
}

function secondsBetween(from: unknown, to: unknown): number | null {
  return typeof from === 'number' && typeof to === 'number' ? to - from : null;
}

const REQUEST = /^([A-Z]{1,20}) (\S+)$/;

function oneRequest(text: string): OneRequest {
  const [, method = '', url = ''] = REQUEST.exec(text) ?? [];
  if (URL.canParse(url)) return { method, url };
  throw new InvalidArgumentError(
    'It is a method and a URL, such as "GET https://api.example.com/customers".',
  );
}
