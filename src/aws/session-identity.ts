/**
 * Under which names AWS knows whom the credentials are for: in CloudTrail, in conditions of policies, and in a deny that
 * stops them. All of them come from a token that mayfly signed; what AWS does not take as it stands is a defect, never
 * something to be bent until it fits (EGR-24).
 */
export type SessionIdentity = {
  /** RoleSessionName: the token. */
  sessionName: string;
  /** SourceIdentity: the agent. It stays with the session whatever that does. */
  sourceIdentity: string;
  /** Session tags, which policies see as `aws:PrincipalTag/…`. None is transitive: there is no next role. */
  tags: Readonly<Record<'mayfly-session' | 'mayfly-agent' | 'mayfly-zone' | 'mayfly-epoch', string>>;
};

export type NamedClaims = { jti: string; sid: string; client_id: string; zone: string; epoch: number };

const NAME = /^[\w+=,.@-]{2,64}$/;

export function sessionIdentity({ jti, sid, client_id: agent, zone, epoch }: NamedClaims): SessionIdentity {
  const tags = {
    'mayfly-session': sid,
    'mayfly-agent': agent,
    'mayfly-zone': zone,
    'mayfly-epoch': String(epoch),
  };
  for (const value of Object.values(tags)) requireName(value.length === 1 ? `${value}.` : value);
  // AWS has no names of one character; an agent's has no @
  return {
    sessionName: requireName(jti),
    sourceIdentity: requireName(agent.length < 2 ? `${agent}@mayfly` : agent),
    tags,
  };
}

function requireName(text: string): string {
  if (!NAME.test(text)) throw new Error('a name in a token of ours is none that AWS takes');
  return text;
}
