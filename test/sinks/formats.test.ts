import assert from 'node:assert/strict';
import { isIP } from 'node:net';
import { describe, test } from 'node:test';
import type { EntryDocument } from '../../src/audit/entry-document.ts';
import { canonicalJson } from '../../src/json/canonical-json.ts';
import { EVENT_FORMATS, eventText } from '../../src/sinks/event-text.ts';
import { OCSF_ACTIONS, OCSF_VERSION } from '../../src/sinks/ocsf-classes.ts';
import { ocsfEvent } from '../../src/sinks/ocsf-event.ts';
import { syslogFrame, syslogMessage } from '../../src/sinks/syslog-message.ts';
import { fc } from '../properties.ts';
import {
  AUTH_PROTOCOLS,
  CLASSES,
  OBJECTS,
  SEVERITY_CAPTIONS,
  SEVERITY_IDS,
  type Shape,
  STATUS_CAPTIONS,
  VERSION,
} from './ocsf-extract.ts';
import { sampleDocument } from './sample-log.ts';

/** What strangers put into names to break out of a line, a terminal, a page or a string. */
const INJECTIONS = [
  'a\r\nb',
  'a\nfake entry',
  'a\u2028b\u2029c',
  '\u001b[2J\u001b[31mred',
  '\u009b31mred',
  'a\u0000b',
  '\u202egnp.exe',
  '\u2066isolate\u2069',
  '\u200bzero\ufeffwidth',
  '<script>alert(1)</script>',
  '</textarea>&amp;',
  '"}\n{"id":"aud_forged"}',
  '"] <165>1 - - - - - forged',
  ']]>"\\',
  '\u007f\u0080\u0085',
  '\u{e0041}\u{1f600}',
  '%n%s$'.concat('{jndi:ldap://x}'),
];
const everywhere = (text: string): EntryDocument =>
  sampleDocument(1, {
    actor: text,
    reason: text,
    request_id: text,
    session_id: text,
    token_id: text,
    action: text,
    details: { source: text, kind: text, target: text, kid: text, [text]: { [text]: [text] } },
  });

const STYLE = { hostName: 'broker.example', maxMessageBytes: 8_192 };
const DANGEROUS = /[<>&\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u;

describe('no name breaks out (AUD-10)', () => {
  for (const format of EVENT_FORMATS) {
    test(`of a line of ${format} JSON`, () => {
      for (const injection of INJECTIONS) {
        const document = everywhere(injection);
        const text = eventText(format, { index: 7, document });
        assert.doesNotMatch(text, DANGEROUS);
        const expected = format === 'native' ? document : ocsfEvent({ index: 7, document });
        assert.deepEqual(JSON.parse(text), JSON.parse(JSON.stringify(expected)));
      }
    });

    test(`of a syslog message with ${format} in it`, () => {
      for (const injection of INJECTIONS) {
        const message = syslogMessage({ index: 7, document: everywhere(injection) }, { ...STYLE, format });
        assert.match(message, /^<110>1 \S+ broker\.example mayfly - \S{1,32} \[mayfly@32473 /);
        assert.doesNotMatch(message, /[^\x20-\x7e]/);
        const { values, rest } = parsedData(message);
        assert.equal(values.id, everywhere('').id);
        JSON.parse(rest);
      }
    });
  }

  test('whatever text it is made of', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
        const document = everywhere(text);
        assert.deepEqual(JSON.parse(eventText('native', { index: 1, document })), document);
        const message = syslogMessage(
          { index: 1, document },
          { ...STYLE, format: 'native', maxMessageBytes: 100_000 },
        );
        assert.doesNotMatch(message, /[^\x20-\x7e]/);
        assert.deepEqual(JSON.parse(parsedData(message).rest), document);
      }),
    );
  });
});

/** RFC 5424 §6.3 read by itself: the structured data, unescaped, and what follows it. */
function parsedData(message: string): { values: Record<string, string>; rest: string } {
  const values: Record<string, string> = {};
  let at = message.indexOf('[mayfly@32473') + '[mayfly@32473'.length;
  const param = / ([a-z]+)="((?:[^"\\\]]|\\["\\\]])*)"/y;
  for (;;) {
    param.lastIndex = at;
    const found = param.exec(message);
    if (found === null) break;
    values[found[1] ?? ''] = (found[2] ?? '').replace(/\\(["\\\]])/g, '$1');
    at = param.lastIndex;
  }
  assert.equal(message.slice(at, at + 2), '] ', message.slice(at, at + 40));
  return { values, rest: message.slice(at + 2) };
}

test('a native line is the leaf, once it is written canonically again', () => {
  const document = everywhere('<\u2028\u001b>');
  assert.equal(
    canonicalJson(JSON.parse(eventText('native', { index: 1, document }))),
    canonicalJson(document),
  );
});

test('an entry that cannot be written whole is sent without its details, and says so (AUD-12)', () => {
  const cycle: Record<string, unknown> = {};
  cycle.self = cycle;
  let deep: Record<string, unknown> = {};
  for (let level = 0; level < 10_000; level += 1) deep = { deep };
  for (const details of [cycle, deep, { big: 1n }, { text: '\ud800' }, { nan: Number.NaN }]) {
    for (const format of EVENT_FORMATS) {
      const text = eventText(format, { index: 1, document: sampleDocument(1, { details }) });
      assert.ok(text.includes(sampleDocument(1).id));
      assert.ok(text.includes('"unwritable":true'));
    }
  }
});

describe('a syslog message', () => {
  test('is RFC 5424 with the length before it (RFC 5425 §4.3.1)', () => {
    const event = { index: 3, document: sampleDocument(3, { actor: 'Zoë "]\\' }) };
    const frame = syslogFrame(event, { ...STYLE, format: 'native' });
    const message = syslogMessage(event, { ...STYLE, format: 'native' });
    assert.equal(frame, `${Buffer.byteLength(message)} ${message}`);
    assert.ok(
      message.startsWith(
        '<110>1 2026-09-01T12:00:00.003003Z broker.example mayfly - token.minted [mayfly@32473 id="aud_',
      ),
    );
    assert.ok(message.includes(' leaf="3" outcome="allowed" actor="Zo\\\\u00eb \\"\\]\\\\" '));
    assert.ok(message.includes('"actor":"Zo\\u00eb \\"]\\\\"'));
  });

  test('of a refusal is a warning', () => {
    const document = sampleDocument(1, { outcome: 'refused', reason: 'proof_replayed' });
    assert.ok(syslogMessage({ index: 1, document }, { ...STYLE, format: 'native' }).startsWith('<108>1 '));
  });

  test('is never longer than the receiver takes: then it goes without details, and says so', () => {
    const document = sampleDocument(1, { details: { text: 'x'.repeat(60_000) } });
    for (const format of EVENT_FORMATS) {
      const message = syslogMessage({ index: 1, document }, { ...STYLE, maxMessageBytes: 2_048, format });
      assert.ok(message.length <= 2_048);
      const { values } = parsedData(message);
      assert.equal(values.truncated, 'true');
      assert.equal(values.id, document.id);
    }
  });

  test('of names as long as can be still fits into 8,192 bytes', () => {
    const document = everywhere('\u2028'.repeat(5_000));
    const message = syslogMessage({ index: 1, document }, { ...STYLE, format: 'native' });
    assert.ok(message.length <= 8_192, `${message.length}`);
  });
});

describe('OCSF', () => {
  const samples: EntryDocument[] = [...OCSF_ACTIONS, 'something.new', 'constructor', '__proto__'].flatMap(
    (action) => [
      sampleDocument(1, { action }),
      sampleDocument(2, {
        action,
        outcome: 'refused',
        reason: 'proof_replayed',
        repetitions: 40,
        details: {},
      }),
      {
        id: 'aud_x',
        at: '2026-09-01T12:00:00.000001Z',
        action,
        outcome: 'allowed',
        repetitions: 1,
        details: {},
      },
      sampleDocument(3, {
        action,
        details: { kind: 'agent', target: 'report-writer', source: '2001:db8::/56' },
      }),
      sampleDocument(4, { action, details: { kid: 'key-1', version: 7, source: '2001:db8::7' } }),
    ],
  );

  test(`events are what version ${VERSION} of the schema says`, () => {
    assert.equal(OCSF_VERSION, VERSION);
    for (const document of samples) {
      const event = JSON.parse(eventText('ocsf', { index: 5, document })) as Record<string, unknown>;
      const shape = CLASSES.find(({ uid }) => uid === event.class_uid);
      assert.ok(shape, `class ${event.class_uid}`);
      assertShape(event, shape, document.action);
      assert.equal(event.class_name, shape.caption);
      assert.equal(event.category_uid, shape.category);
      assert.equal(event.activity_name, shape.activities[event.activity_id as number]);
      assert.equal(event.type_uid, shape.uid * 100 + (event.activity_id as number));
      assert.ok(SEVERITY_IDS.includes(event.severity_id as number));
      assert.equal(event.severity, SEVERITY_CAPTIONS[event.severity_id as number]);
      assert.equal(event.status, STATUS_CAPTIONS[event.status_id as number]);
      if (event.auth_protocol_id !== undefined) {
        assert.equal(event.auth_protocol, AUTH_PROTOCOLS[event.auth_protocol_id as number]);
      }
    }
  });

  test('the id, the action and everything without a place of its own are kept', () => {
    for (const document of samples) {
      const event = ocsfEvent({ index: 5, document });
      const { uid, event_code } = event.metadata as Record<string, unknown>;
      assert.equal(uid, document.id);
      assert.equal(event_code, document.action);
      assert.deepEqual((event.unmapped as Record<string, unknown>).details, document.details);
    }
  });

  test('an action that nobody has classified is a base event, not a guess', () => {
    for (const action of ['something.new', 'constructor', '__proto__', 'toString']) {
      const event = ocsfEvent({ index: 5, document: sampleDocument(1, { action }) });
      assert.deepEqual([event.class_uid, event.activity_id, event.type_uid], [0, 99, 99]);
    }
  });

  test('a token is a logon, an agent that is stopped an account that is disabled, a key an entity', () => {
    const classOf = (action: string, details = {}) =>
      ocsfEvent({ index: 1, document: sampleDocument(1, { action, details }) }).type_uid;
    assert.equal(classOf('token.minted'), 300201);
    assert.equal(classOf('session.revoked'), 300202);
    assert.equal(classOf('revocation.appended', { kind: 'agent', target: 'report-writer' }), 300105);
    assert.equal(classOf('revocation.appended', { kind: 'zone', target: 'analytics' }), 300409);
    assert.equal(classOf('signing_key.revoked', { kid: 'k' }), 300409);
    assert.equal(classOf('token.introspected'), 600302);
  });
});

function assertShape(value: unknown, shape: Shape, where: string): void {
  assert.ok(typeof value === 'object' && value !== null, where);
  const members = value as Record<string, unknown>;
  for (const name of shape.required) assert.ok(Object.hasOwn(members, name), `${where} lacks ${name}`);
  const oneOf = shape.atLeastOne;
  if (oneOf !== undefined) {
    assert.ok(
      oneOf.some((name) => Object.hasOwn(members, name)),
      `${where} has none of ${oneOf.join(', ')}`,
    );
  }
  for (const [name, member] of Object.entries(members)) {
    const type = shape.attributes[name];
    assert.ok(type !== undefined, `${where} has ${name}, which the schema does not know`);
    assertType(member, type, `${where}.${name}`);
  }
}

function assertType(value: unknown, type: Shape['attributes'][string], where: string): void {
  if (typeof type === 'object') assertShape(value, OBJECTS[type.object], where);
  else if (type === 'integer' || type === 'time') assert.ok(Number.isSafeInteger(value), where);
  else if (type === 'ip') assert.ok(isIP(value as string) !== 0, where);
  else if (type !== 'any') assert.equal(typeof value, type, where);
}
