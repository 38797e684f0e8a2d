/** The endings of an agent's command are those of an operator's, so that scripts know them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { agentFailure } from '../../src/cli/agent-failure.ts';
import { AgentError } from '../../src/sdk/agent-error.ts';

const told = (brokerCode: string, status: number) => ({ brokerCode, status, requestId: 'req_1' });

test('an agent that does not get what it asked for ends as an operator would', () => {
  for (const [exitCode, error] of [
    [1, new AgentError('misconfigured', 'No.')],
    [2, new AgentError('unavailable', 'No.', told('temporarily_unavailable', 503))],
    [2, new AgentError('throttled', 'No.', told('rate_limited', 429))],
    [2, new AgentError('protocol', 'No.')],
    [3, new AgentError('misconfigured', 'No.', told('invalid_client', 401))],
    [3, new AgentError('clock', 'No.', told('invalid_client', 401))],
    [4, new AgentError('unavailable', 'No.')],
    [4, new AgentError('misconfigured', 'What answers is no broker of that name.', { status: 200 })],
    [5, new AgentError('denied', 'No.', told('invalid_scope', 400))],
    [5, new AgentError('stopped', 'No.', told('agent_stopped', 400))],
    [5, new AgentError('approval_pending', 'No.', told('approval_required', 400))],
  ] as const) {
    assert.equal(agentFailure(error).exitCode, exitCode, `${error.code} ${error.brokerCode}`);
  }
});

test('what the broker said is all there: its words, what would help, when to come back, and the request', () => {
  const error = new AgentError('throttled', 'Too much (rate_limited, request req_1)', {
    ...told('rate_limited', 429),
    hint: 'Ask the team data-platform',
    retryAfterSeconds: 7,
    approvalId: 'app_1\u001b[2J',
  });
  const { message, told: facts } = agentFailure(error);
  assert.equal(
    message,
    'Too much (rate_limited, request req_1). Ask the team data-platform. The question to a person is app_1\\u{1b}[2J. Again in 7 s.',
  );
  assert.deepEqual(facts, { status: 429, code: 'rate_limited', requestId: 'req_1' });
});

test('what would help is said once, also when the broker has it in its words', () => {
  const error = new AgentError('denied', 'Not granted. Ask the owner. (invalid_scope, request req_1)', {
    hint: 'Ask the owner.',
  });
  assert.equal(agentFailure(error).message, 'Not granted. Ask the owner. (invalid_scope, request req_1).');
});
