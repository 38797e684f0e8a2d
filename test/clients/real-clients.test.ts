import { after, before } from 'node:test';
import { type ClientWorld, startClientWorld } from './client-world.ts';
import { describeMcpClient } from './mcp-client.ts';
import { describeOauth4webapi } from './oauth4webapi.ts';
import { describeOpenidClient } from './openid-client.ts';
import { describePythonClient } from './python-client.ts';

let world: ClientWorld | undefined;
before(async () => {
  world = await startClientWorld();
});
after(() => world?.stop());

function started(): ClientWorld {
  if (world === undefined) throw new Error('the broker did not start');
  return world;
}

describeOpenidClient(started);
describeOauth4webapi(started);
describeMcpClient(started);
describePythonClient(started);
