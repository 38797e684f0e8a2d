// What a program in Node does that mayfly run starts: fetch, JSON and its environment are all that it needs.
const [url] = process.argv.slice(2);
const endpoint = process.env.MAYFLY_TOKEN_ENDPOINT;

async function ask(name, secret, body = {}) {
  const headers = { Authorization: `Bearer ${secret}`, 'Content-Type': 'application/json' };
  const response = await fetch(`${endpoint}/${name}`, {
    method: 'POST',
    headers,
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(await response.text());
  return response.json();
}

async function read(secret, nonce) {
  const { authorization, dpop } = await ask('credentials', secret, { method: 'GET', url, nonce });
  const response = await fetch(url, { headers: { Authorization: authorization, DPoP: dpop } });
  const next = response.headers.get('dpop-nonce');
  const asksForNonce = response.status === 401 && nonce === undefined && next !== null;
  return asksForNonce ? read(secret, next) : response;
}

const { secret } = await ask('bootstrap', process.env.MAYFLY_BOOTSTRAP);
const { session_id: sessionId } = await ask('token', secret);
const response = await read(secret);
const { data, read_by: readBy } = await response.json();
process.stdout.write(JSON.stringify({ status: response.status, rows: data.length, readBy, sessionId }));
