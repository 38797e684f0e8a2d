/** The agent of the examples beside this one: of the catalogue that a checkout comes with, or as the environment says. */
import { createAgent } from 'mayfly/agent';
import { keyFromFile } from 'mayfly/agent/node';

export function openAgent() {
  const { ISSUER: issuer = 'http://127.0.0.1:8420', CLIENT_ID: clientId = 'support-assistant' } = process.env;
  const { KEY_FILE: keyFile = `.mayfly/keys/${clientId}.jwk.json` } = process.env;
  return createAgent({ issuer, clientId, key: keyFromFile(keyFile) });
}
