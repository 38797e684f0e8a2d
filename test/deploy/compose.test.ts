import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { isIP } from 'node:net';
import { test } from 'node:test';
import { SETTING_NAMES } from '../../src/config/settings.ts';
import { rolesScript } from '../../src/database/roles.ts';
import { type ComposeService, networksOf, ROOT, readCompose, textOf } from './files.ts';

const compose = readCompose();
const services = Object.entries(compose.services);
const brokers = services.filter(([name]) => name.startsWith('broker-'));

for (const [name, service] of services) {
  test(`${name} has no rights that it does not need`, () => {
    assert.deepEqual(service.cap_drop, ['ALL']);
    assert.equal(service.cap_add, undefined);
    assert.ok(service.security_opt?.includes('no-new-privileges:true'));
    assert.equal(service.read_only, true);
    assert.equal(service.privileged, undefined);
    assert.equal(service.network_mode, undefined);
    assert.ok((service.pids_limit ?? 0) > 0 && service.mem_limit !== undefined, 'it is bounded');
    const user = service.user ?? userOfImage();
    assert.match(user, /^[1-9]\d*:[1-9]\d*$/, 'it does not run as root');
  });

  test(`${name} is a version, not a moving name, and says how it is`, () => {
    assert.match(service.image, /:v?\d+\.\d+(\.\d+)?(-[a-z-]+)?$/);
    const runsOnce = service.restart === 'no';
    if (runsOnce) assert.equal(service.healthcheck?.disable, true);
    else if (service.build === undefined) assert.ok(service.healthcheck?.test);
  });

  test(`${name} names only what there is`, () => {
    for (const secret of service.secrets ?? []) assert.ok(compose.secrets[secret], secret);
    for (const network of networksOf(service)) assert.ok(compose.networks[network], network);
    for (const [other, { condition }] of Object.entries(service.depends_on ?? {})) {
      const runsOnce = compose.services[other]?.restart === 'no';
      assert.equal(condition, runsOnce ? 'service_completed_successfully' : 'service_healthy', other);
    }
    for (const volume of service.volumes ?? []) {
      const [source = '', , mode] = volume.split(':');
      if (!source.startsWith('./')) assert.ok(compose.volumes[source], source);
      else {
        assert.equal(mode, 'ro', volume);
        assert.ok(isMade(source) || existsSync(`${ROOT}${source}`), source);
      }
    }
  });

  test(`${name} gets secrets as files, and no setting that mayfly does not know`, () => {
    for (const [setting, value] of Object.entries(service.environment ?? {})) {
      assert.ok(!/PASSWORD|URL|KEK/.test(setting) || setting.endsWith('_FILE'), setting);
      if (service.image.startsWith('mayfly:')) assert.ok(SETTING_NAMES.has(setting), setting);
      if (!setting.endsWith('_FILE')) continue;
      const secret = value.replace('/run/secrets/', '');
      assert.ok(service.secrets?.includes(secret), `${setting} names ${value}`);
    }
  });
}

test('there are two brokers, alike but for their address', () => {
  assert.equal(brokers.length, 2);
  const [one, other] = brokers.map(([, { networks, ...rest }]) => rest);
  assert.deepEqual(one, other);
});

test('the owner password reaches the two that run once, and the key-encryption key only the brokers', () => {
  const holders = (secret: string) =>
    services.filter(([, service]) => service.secrets?.includes(secret)).map(([name]) => name);
  assert.deepEqual(holders('owner_database_url'), ['migrate', 'apply-catalogue']);
  assert.deepEqual(holders('kek'), ['broker-1', 'broker-2']);
  assert.deepEqual(holders('front_key'), ['front']);
});

test('only the front is reachable from outside, and the database only from those who use it', () => {
  const published = services.filter(([, { ports }]) => ports !== undefined);
  assert.deepEqual(
    published.map(([name, { ports }]) => [name, ports]),
    [
      ['front', ['443:8443']],
      ['prometheus', ['127.0.0.1:9090:9090']],
    ],
  );
  for (const name of ['database', 'edge', 'metrics'])
    assert.equal(compose.networks[name]?.internal, true, name);
  const onDatabase = services.filter(([, service]) => networksOf(service).includes('database'));
  assert.deepEqual(
    onDatabase.map(([name]) => name),
    ['postgres', 'migrate', 'apply-catalogue', 'broker-1', 'broker-2'],
  );
  assert.deepEqual(networksOf(serviceOf('front')), ['public', 'edge']);
});

test('the brokers believe the address of the front and no other', () => {
  const addressOf = (name: string) => {
    const { networks } = serviceOf(name);
    return Array.isArray(networks) ? undefined : networks?.edge?.ipv4_address;
  };
  const trusted = serviceOf('broker-1').environment?.MAYFLY_TRUSTED_PROXIES ?? '';
  assert.equal(isIP(trusted), 4);
  assert.equal(trusted, addressOf('front'));
  const [subnet = ''] = compose.networks.edge?.ipam?.config.map((each) => each.subnet) ?? [];
  const prefix = subnet.slice(0, subnet.lastIndexOf('.') + 1);
  const addresses = ['front', 'broker-1', 'broker-2'].map(addressOf);
  assert.equal(new Set(addresses).size, 3);
  for (const address of addresses) assert.ok(address?.startsWith(prefix), `${address}`);
});

test('a broker is given longer to stop than its drain takes', () => {
  const drainSeconds = 10;
  for (const [name, { stop_grace_period: period = '' }] of brokers) {
    assert.ok(Number.parseInt(period, 10) > drainSeconds, name);
  }
});

test('the secrets are those that prepare.sh makes', () => {
  const script = textOf('deploy/prepare.sh');
  for (const [name, { file }] of Object.entries(compose.secrets)) {
    assert.equal(file, `./deploy/secrets/${name}`);
    assert.ok(script.includes(`secret ${name}\n`) || script.includes(`$secrets/${name}"`), name);
  }
  assert.ok(textOf('deploy/.gitignore').includes('/secrets/'));
});

test('the roles that a new database is made with are those of the code', () => {
  assert.equal(textOf('deploy/postgres-init/1-roles.sql'), rolesScript());
});

test('the front and Prometheus ask the brokers where they are', () => {
  const names = brokers.map(([name]) => name);
  assert.deepEqual(textOf('deploy/front/nginx.conf').match(/(?<=server )broker-\d+(?=:8420)/g), names);
  assert.deepEqual(textOf('deploy/prometheus/prometheus.yml').match(/broker-\d+(?=:8429)/g), names);
});

function serviceOf(name: string): ComposeService {
  const service = compose.services[name];
  assert.ok(service, name);
  return service;
}

/** What prepare.sh makes, and git ignores. */
function isMade(path: string): boolean {
  return ['./deploy/scopes', './deploy/broker.env'].includes(path);
}

function userOfImage(): string {
  return /^USER (.*)$/m.exec(textOf('Dockerfile'))?.[1] ?? 'root';
}
