/**
 * One request of a batch on its way into the mint's statement. A batch travels as one JSON text: cheaper to write
 * and to read than arrays of twenty columns. Its names are short, since they are repeated in every row.
 */
export type MintRow = {
  /** `tok_…`. What is made together is named together: its session and its audit entry get the same random part. */
  tokenId: string;
  tokenHour: number;
  /** Of the catalogue that decided the grant; the statement wants it to be the active one (L24). */
  catalogueVersion: number;
  agentId: string;
  clientId: string;
  zone: string;
  /** True for an operator's: what is revoked wide passes by its session (L4). */
  exemptFromWide: boolean;
  jkt: string;
  sessionSeconds: number;
  lifetimeSeconds: number;
  resource: string;
  /** Action names with single spaces between. */
  scope: string;
  call: object | undefined;
  /** For the record: a call's URL may hold anything. */
  callDigest: string | undefined;
  proofHour: number;
  proofKey: string;
  assertionHour: number;
  assertionKey: string;
  requestId: string;
  /** For the record: the caller's address, and which of the client's keys signed. */
  source: string;
  clientKid: string | undefined;
};

/** @returns the value of the statement's first parameter */
export function writeRows(rows: readonly MintRow[]): string {
  return JSON.stringify(rows.map(shorten));
}

function shorten(row: MintRow) {
  return {
    t: row.tokenId,
    th: row.tokenHour,
    v: row.catalogueVersion,
    a: row.agentId,
    c: row.clientId,
    z: row.zone,
    x: row.exemptFromWide,
    j: row.jkt,
    ss: row.sessionSeconds,
    l: row.lifetimeSeconds,
    r: row.resource,
    s: row.scope,
    k: row.call,
    kd: row.callDigest,
    ph: row.proofHour,
    p: row.proofKey,
    ah: row.assertionHour,
    q: row.assertionKey,
    i: row.requestId,
    o: row.source,
    d: row.clientKid,
  };
}

/** The same in SQL: the rows of `$1` under their full names. */
export const READ_ROWS = `
  select t as token_id, right(t, 26) as name, th as token_hour, v as catalogue_version, a as agent_id,
         c as client_id, z as zone, x as exempt, j as jkt, ss as session_seconds, l as lifetime_seconds,
         r as resource, s as scope, k as call, kd as call_digest, ph as proof_hour, p as proof_key, ah as assertion_hour, q as assertion_key,
         i as request_id, o as source, d as client_kid
    from json_to_recordset($1::json) as row (
      t text, th integer, v integer, a text, c text, z text, x boolean, j text, ss integer, l integer, r text,
      s text, k jsonb, kd text, ph integer, p uuid, ah integer, q uuid, i text, o text, d text)`;
