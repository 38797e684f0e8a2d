/** The endpoint that `mayfly run` gives to its program, asked from within that program (Node alone has Unix sockets). */
import { request as httpRequest } from 'node:http';
import { json } from 'node:stream/consumers';
import { AGENT_ERROR_CODES, AgentError, giveUp, tellable } from './agent-error.ts';

export type RunEnvironment = Readonly<Record<string, string | undefined>>;

type Asked = { name: string; body: object; secret: string | undefined; signal: AbortSignal | undefined };
type Json = Readonly<Record<string, unknown>>;

export type RunEndpoint = {
  /** What one request has to carry. @throws {AgentError} */
  credentials(asked: object, signal: AbortSignal): Promise<{ authorization: string; dpop: string }>;
};

/** @throws {AgentError} `misconfigured` outside of a run */
export function openRunEndpoint(environment: RunEnvironment): RunEndpoint {
  const { MAYFLY_TOKEN_ENDPOINT: address, MAYFLY_BOOTSTRAP: code, MAYFLY_TOKEN_SOCKET: socket } = environment;
  if (address === undefined && socket === undefined) {
    giveUp('misconfigured', 'This program was not started by mayfly run.', {
      hint: 'Start it as: mayfly run --action <name> -- <command>.',
    });
  }
  const ask = (asked: Asked) => post({ ...asked, address: address ?? 'http://localhost', socket });
  let secret: Promise<string | undefined> | undefined;

  /** Once: the code is good for no second time, and who asks after us is refused. */
  function secretOfRun(): Promise<string | undefined> {
    if (socket !== undefined) return Promise.resolve(undefined);
    secret ??= ask({ name: 'bootstrap', body: {}, secret: code, signal: undefined })
      .then((answer) => String(answer.secret))
      .catch((error: unknown) => {
        secret = undefined;
        throw error;
      });
    return secret;
  }

  return {
    async credentials(body, signal) {
      const answer = await ask({ name: 'credentials', body, secret: await secretOfRun(), signal });
      return { authorization: String(answer.authorization), dpop: String(answer.dpop) };
    },
  };
}

const ANSWER_MILLISECONDS = 60_000;

async function post(options: Asked & { address: string; socket: string | undefined }): Promise<Json> {
  const { address, socket, name, body, secret, signal } = options;
  const { promise, resolve, reject } = Promise.withResolvers<Json>();
  const deadline = AbortSignal.timeout(ANSWER_MILLISECONDS);
  const request = httpRequest(`${address}/${name}`, {
    method: 'POST',
    headers: {
      'Content-Type': 'application/json',
      ...(secret === undefined ? {} : { Authorization: `Bearer ${secret}` }),
    },
    signal: signal === undefined ? deadline : AbortSignal.any([signal, deadline]),
    ...(socket === undefined ? {} : { socketPath: socket }),
  });
  request.on('error', () => reject(signal?.aborted ? signal.reason : gone()));
  request.on('response', (response) => {
    const { statusCode = 0, headers } = response;
    json(response).then(
      (answer) => (statusCode === 200 ? resolve(answer as Json) : reject(refusalOf(answer as Json, headers))),
      () => reject(gone()),
    );
  });
  request.end(JSON.stringify(body));
  return promise;
}

function gone(): AgentError {
  return new AgentError('unavailable', 'The endpoint of the run does not answer.');
}

function refusalOf(
  problem: Json,
  { 'retry-after': after }: { 'retry-after'?: string | undefined },
): AgentError {
  const code = AGENT_ERROR_CODES.find((known) => known === problem.code) ?? 'denied';
  return new AgentError(code, tellable(problem.title) ?? 'The run refuses, and gave no reason', {
    hint: tellable(problem.hint),
    brokerCode: tellable(problem.broker_code),
    requestId: tellable(problem.request_id),
    approvalId: tellable(problem.approval_id),
    retryAfterSeconds: after === undefined ? undefined : Number(after),
  });
}
