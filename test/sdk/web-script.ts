/**
 * What a program of the web does with `mayfly/agent`, wherever that is: an expression that finds `mayfly`, `issuer` and
 * `key` among its globals, and comes to a line of JSON.
 */
export const WEB_SCRIPT = `
  (async () => {
    const absent = ['process', 'Buffer', 'require', 'global', 'setImmediate'].filter((name) => name in globalThis);
    const agent = mayfly.createAgent({ issuer, clientId: 'a', key });
    const response = await agent.fetch(issuer + '/thing', { method: 'POST', body: JSON.stringify({ a: 1 }) });
    const called = await agent.call({ action: 'a:b:c', url: issuer + '/thing', arguments: { b: [1, 'é'] } });
    const session = await agent.session({ actions: ['a:b:c'] });
    const token = await session.token({ actions: ['a:b:c'] });
    const moved = await agent.fetch(issuer + '/moved', { actions: ['a:b:c'] }).catch(({ code }) => code);
    await agent.close();
    const error = await agent.fetch(issuer).catch(({ code }) => code);
    const seen = [absent, response.status, called.status, session.id, token.accessToken.length > 0, moved, error];
    return JSON.stringify(seen);
  })()`;

/** What comes of it, at the server of `web.test.ts`. */
export const WEB_OUTCOME = [[], 200, 200, 'ses_1', true, 'protocol', 'closed'];
