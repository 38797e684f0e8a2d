import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { inspect } from 'node:util';
import type { KeyRing } from '../../src/signing-keys/key-ring.ts';
import type { Signer } from '../../src/signing-keys/signers.ts';
import { openStage } from './ring-stage.ts';

/** Every way in which 32 bytes tend to turn up in a log. */
function spellings(secret: Buffer): string[] {
  return [
    secret.toString('hex'),
    secret.toString('base64').replaceAll('=', ''),
    secret.toString('base64url'),
    secret.toString('latin1'),
    inspect(secret).slice('<Buffer '.length, 'Buffer '.length + 60),
    JSON.stringify([...secret]).slice(1, -1),
  ];
}

function secretsOf(ring: KeyRing): Buffer[] {
  const seed = ({ privateKey }: Signer) => privateKey.export({ type: 'pkcs8', format: 'der' }).subarray(-32);
  return [seed(ring.tokenSigner()), seed(ring.ledgerSigner()), ring.nonceSecrets().current.export()];
}

describe('secrets', () => {
  it('turn up in no log line, error, audit entry, row or printed object', async (t) => {
    const stage = await openStage(t);
    const kek = { current: randomBytes(32), previous: [randomBytes(32)] };
    const lost = { current: randomBytes(32), previous: [] };
    const ring = await stage.ring({ kek });
    const secrets = [kek.current, ...kek.previous, lost.current, ...secretsOf(ring)];
    const printed: unknown[] = [
      ring,
      ring.tokenSigner(),
      ring.ledgerSigner(),
      ring.nonceSecrets(),
      ring.jwks(),
    ];

    await ring.rotate({ purpose: 'token', immediately: true, actor: 'operator' });
    await ring.rotate({ purpose: 'nonce', immediately: true, actor: 'operator' });
    secrets.push(...secretsOf(ring));
    const renewed = await stage.ring({ kek: { current: randomBytes(32), previous: [kek.current] } });
    await ring.refresh();
    printed.push(
      renewed,
      await stage.operations({ kek }).list(),
      await stage.operations({ kek }).unopenable(),
    );
    printed.push(await stage.ring({ kek: lost }).catch((error: unknown) => error));
    await stage.rows('update signing_keys set sealed_secret = sha256(sealed_secret)');
    await renewed.refresh();
    printed.push(await stage.ring({ kek }).catch((error: unknown) => error));
    printed.push(await stage.operations({ kek: lost }).abandon(), stage.lines);
    printed.push(await stage.rows('select details::text, actor, action from audit_entries'));
    printed.push(await stage.rows('select signing_keys::text as everything from signing_keys'));

    const text = printed
      .flatMap((thing) => [
        inspect(thing, { depth: 20, showHidden: true, maxArrayLength: null, maxStringLength: null }),
        JSON.stringify(thing),
        String(thing),
      ])
      .join('\n');
    assert.ok(stage.lines.length > 5 && text.length > 5_000, 'there is something in which to look');
    for (const [index, secret] of secrets.entries()) {
      for (const spelling of spellings(secret)) {
        assert.ok(!text.includes(spelling), `secret ${index} was printed as ${spelling.slice(0, 8)}…`);
      }
    }
  });

  it('would be found if they did', () => {
    const secret = randomBytes(32);
    for (const text of [
      inspect({ secret }),
      JSON.stringify({ secret }),
      secret.toString('base64url'),
      `\\x${secret.toString('hex')}`,
    ]) {
      assert.ok(
        spellings(secret).some((spelling) => text.includes(spelling)),
        text,
      );
    }
  });
});
