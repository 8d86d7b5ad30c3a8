import { once } from 'node:events';
import { connect } from 'node:net';
import mqtt from 'mqtt';
import { compress } from 'snappyjs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { encodePush } from '../../lake/receive/loki-push/encode.fixture.ts';
import { protobufOfJson } from '../../lake/receive/otlp/json.ts';
import { call } from '../harness/firn.ts';
import { bothAnswer, type LogSite, linesOf, push, range, startLogSite } from '../harness/log-site.ts';

// Lines as no one would write them: they come back from gateway and cloud as they were, or are refused by a name.

let site: LogSite;
beforeAll(async () => {
  site = await startLogSite({ gateway: ['--syslog-listen', '--syslog-port', '0'] });
});
afterAll(() => site?.[Symbol.asyncDispose]());

const nowNs = (): string => `${Date.now()}000000`;

/** `~` of a line stands for these bytes. */
const withBytes = (body: Uint8Array, bytes: readonly number[]): Uint8Array<ArrayBuffer> => {
  const text = Buffer.from(body)
    .toString('latin1')
    .replaceAll('~', String.fromCharCode(...bytes));
  return Uint8Array.from(Buffer.from(text, 'latin1'));
};

const post = async (path: string, type: string, body: Uint8Array<ArrayBuffer>): Promise<[number, string]> => {
  const headers = { 'content-type': type };
  const answer = await call(`${site.places[0].url}${path}`, undefined, { method: 'POST', headers, body });
  return [answer.status, await answer.text()];
};

const jsonBody = (app: string, line: string): Uint8Array =>
  Buffer.from(JSON.stringify({ streams: [{ stream: { app }, values: [[nowNs(), line]] }] }));
const protobufBody = (app: string, line: string): Uint8Array =>
  encodePush([{ labels: `{app="${app}"}`, entries: [[BigInt(nowNs()), line]] }]);
const otlpBody = (app: string, line: string): Uint8Array => {
  const resource = { attributes: [{ key: 'service.name', value: { stringValue: app } }] };
  const logRecords = [{ timeUnixNano: nowNs(), body: { stringValue: line } }];
  return protobufOfJson(
    'logs',
    Buffer.from(JSON.stringify({ resourceLogs: [{ resource, scopeLogs: [{ logRecords }] }] })),
  );
};

type Send = (app: string, line: string, bytes: readonly number[]) => Promise<[number, string]>;
const ways: readonly (readonly [name: string, send: Send, ok: number])[] = [
  [
    'Loki push, JSON',
    (app, line, bytes) =>
      post('/loki/api/v1/push', 'application/json', withBytes(jsonBody(app, line), bytes)),
    204,
  ],
  [
    'Loki push, protobuf',
    (app, line, bytes) =>
      post(
        '/loki/api/v1/push',
        'application/x-protobuf',
        Uint8Array.from(compress(withBytes(protobufBody(app, line), bytes))),
      ),
    204,
  ],
  [
    'OTLP',
    (app, line, bytes) =>
      post('/otlp/v1/logs', 'application/x-protobuf', withBytes(otlpBody(app, line), bytes)),
    200,
  ],
];

describe.each(ways)('%s', { timeout: 120_000 }, (name, send, ok) => {
  const app = name.replaceAll(/\W+/g, '-');
  const selector = `{service_name=~"${app}.*"}`;

  test('bytes that are no UTF-8 come back as what is not to be read', async () => {
    expect((await send(app, 'wrong ~ byte', [0xff]))[0]).toBe(ok);
    expect(await bothAnswer(site, `${selector} |= "wrong"`, 1)).toEqual(['wrong \ufffd byte']);
  });

  test.skipIf(name.endsWith('JSON'))('a NUL is a byte as others are', async () => {
    expect((await send(app, 'nul ~ byte', [0]))[0]).toBe(ok);
    expect(await bothAnswer(site, `${selector} |= "nul \\x00"`, 1)).toEqual(['nul \0 byte']);
  });

  test('a line of 10 MB is refused by the name of its limit, and nothing else is', async () => {
    const [status, text] = await send(app, `long ${'x'.repeat(10_000_000)}`, []);
    if (ok === 204) {
      expect(status).toBe(400);
      expect(text).toBe("Max entry size '1048576' bytes exceeded by an entry of '10000005' bytes\n");
    } else {
      expect(status).toBe(200);
      expect(text).toContain('lineBytesMax');
    }
    expect((await send(app, 'after', []))[0]).toBe(ok);
    await bothAnswer(site, `${selector} |= "after"`, 1);
    for (const place of site.places) expect(await linesOf(place, `${selector} |= "long"`)).toEqual([]);
  });
});

test('odd lines come back as they were', { timeout: 120_000 }, async () => {
  const odd = [
    ...['', ' ', 'a\0b\0', '\u0001\u001b[31mred\u001b[0m'],
    ...['\ud83d\ude00 \ufffd', 'two\nlines\r\n', '"\\', '[{'],
  ];
  // Half a character is no text: JSON.stringify writes it as an escape, and it is stored as what is not to be read.
  const wrong = 'half \ud83d';
  const values = [...odd, wrong].map((line) => [nowNs(), line] as const);
  expect((await push(site, { app: 'odd' }, values)).status).toBe(204);
  const long = `${'x'.repeat(1_000_000)} end`;
  expect((await push(site, { app: 'long' }, [[nowNs(), long]])).status).toBe(204);
  const stored = [...odd, wrong.toWellFormed()].sort();
  expect(await bothAnswer(site, '{app="odd"}', stored.length)).toEqual(stored);
  expect(await bothAnswer(site, '{app="odd"} |= "\\x00"', 1)).toEqual(['a\0b\0']);
  expect((await bothAnswer(site, '{app="long"} |= "x end"', 1))[0]).toBe(long);
});

test('times of 1970, before it and far ahead stay; beyond what can be stored they are refused', async () => {
  const future = `${BigInt(Date.UTC(2199, 11, 31))}000000`;
  const odd = ['-1000000000000000001', '-1', '0', '1', '999999999', '1000000001', future];
  expect(
    (
      await push(
        site,
        { app: 'times' },
        odd.map((ns) => [ns, `at ${ns}`]),
      )
    ).status,
  ).toBe(204);
  const more = { start: '-2000000000000000000', end: `${future.slice(0, -1)}1`, direction: 'forward' };
  await bothAnswer(site, '{app="times"}', odd.length, more);
  for (const place of site.places) {
    const { result } = await range(place, '{app="times"}', more);
    expect(result.flatMap(({ values }) => values.map(([ns]) => ns))).toEqual(odd);
  }
  const beyond = await push(site, { app: 'times' }, [['9000000000000000000', 'too late']]);
  expect([beyond.status, await beyond.text()]).toEqual([
    400,
    'the timestamp 9000000000 s is out of range: times from 1698 to 2242 are accepted\n',
  ]);
});

test('devices: syslog keeps the start of what is too long, MQTT sets aside what is no text', async () => {
  const socket = connect(site.gateway.port('syslogTcp'), '127.0.0.1');
  await once(socket, 'connect');
  const long = `<14>1 - plc app - - - ${'y'.repeat(10_000_000)}`;
  socket.write(`${Buffer.byteLength(long)} ${long}`);
  socket.write(Buffer.from('<14>1 - plc app - - - f\xfcr\0 immer\n', 'latin1'));
  socket.end();
  const lines = await bothAnswer(site, '{source="syslog"}', 2);
  expect(lines[0]).toBe('f\ufffdr\0 immer');
  expect(lines[1]).toMatch(/^y{60000,70000}$/);
  const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${site.gateway.port('mqtt')}`);
  await client.publishAsync('odd/bytes', Buffer.from([0x66, 0xff, 0]), { qos: 1 });
  await client.endAsync();
  expect(await bothAnswer(site, '{stream="dead-letter", topic="odd/bytes"}', 1)).toEqual(['Zv8A']);
});

test('line protocol: what is no UTF-8 is refused, and a text of 10 MB by the name of its limit', async () => {
  const wrong = withBytes(Buffer.from('m,host=odd f="a~b"'), [0xff]);
  expect(await post('/write', 'text/plain', wrong)).toEqual([400, '{"error":"the body is not UTF-8 text"}']);
  const long = 'z'.repeat(10_000_000);
  const error =
    'unable to parse line 2: a text of 10000000 bytes: at most 1048576 are accepted (limits.lineBytesMax); nothing is stored';
  expect(await post('/write', 'text/plain', Buffer.from(`m f=1\nm,host=odd f="${long}"`))).toEqual([
    ...[400, JSON.stringify({ error })],
  ]);
  const fits = long.slice(0, 1_048_576);
  expect((await post('/write', 'text/plain', Buffer.from(`m,host=odd f="${fits}"`)))[0]).toBe(204);
  expect((await bothAnswer(site, '{host="odd"}', 1))[0]).toBe(fits);
});
