/** A receipt as people are shown it: whether it is over, and what they would need to prove it. */
import { awsOutlook } from './aws-outlook.ts';
import type { Json } from './operator-client.ts';

export function receiptInShort(body: Json): Json {
  const aws = 'aws' in body ? { aws: awsOutlook(body.aws) ?? 'no credentials were out' } : {};
  return { ...body, ...aws, audit: citationInShort(body.audit) };
}

/** The proof is for programs: a page of hashes. */
function citationInShort(audit: unknown): string {
  const { id, proof } = (audit ?? {}) as { id?: unknown; proof?: unknown };
  if (typeof id !== 'string') return 'no place in the audit log yet; ask again in a second';
  const [, index = '?'] = /^index (\d+)$/m.exec(String(proof)) ?? [];
  return `${id}, entry ${index} of the log; -o json has its proof, for mayfly receipt verify`;
}
