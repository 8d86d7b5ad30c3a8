import { execFileSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect } from 'node:net';
import { expect, test } from 'vitest';
import { systemClock } from '../../lake/base/clock.ts';
import { FirnError } from '../../lake/base/errors.ts';
import { createLogger } from '../../lake/base/log.ts';
import type { Batch, LogsBatch } from '../../lake/model/batch.ts';
import { textsOf } from '../../lake/model/text-column.ts';
import { createSeriesCache } from '../../lake/receive/series-cache.ts';
import { findProgram } from '../../test/harness/programs.ts';
import { type SyslogOptions, startSyslog } from './syslog.ts';

async function setUp(change: Partial<SyslogOptions> = {}) {
  const batches: LogsBatch[] = [];
  const state = { full: false };
  const dropped: number[] = [];
  const append = async (batch: Batch): Promise<void> => {
    if (state.full)
      throw new FirnError({ code: 'unavailable', operation: 'append', subject: 'log', message: 'full' });
    if (batch.signal === 'logs') batches.push(batch);
  };
  const server = await startSyslog({
    ...{ host: '127.0.0.1', port: 0, append, cache: createSeriesCache({ identity: [] }), clock: systemClock },
    ...{ timeZone: 'UTC', futureMsMax: 3_600_000, ownTime: () => ({ trusted: true, floorUs: 0 }) },
    ...{
      logger: createLogger('silent'),
      messageBytesMax: 1000,
      connectionsMax: 10,
      udpQueueBytesMax: 10_000,
    },
    onDropped: (_, rows) => dropped.push(rows),
    ...change,
  });
  const lines = (): string[] => batches.flatMap(({ line }) => textsOf(line));
  const until = async (look: () => boolean): Promise<void> => {
    for (let tries = 0; tries < 1000 && !look(); tries++) await systemClock.sleep(10);
    expect(look(), JSON.stringify([lines(), server.counts])).toBe(true);
  };
  const udp = async (...messages: string[]): Promise<void> => {
    const socket = createSocket('udp4');
    for (const message of messages)
      await new Promise((resolve) => socket.send(message, server.udpPort, '127.0.0.1', resolve));
    socket.close();
  };
  return { server, batches, state, dropped, lines, until, udp };
}

test('UDP and TCP, both kinds of frames', async () => {
  const { server, batches, lines, until, udp } = await setUp();
  await using _server = server;
  await udp('<34>Oct 11 22:14:15 h su: over UDP\n');
  await until(() => lines().length === 1);
  const socket = connect(server.tcpPort, '127.0.0.1');
  socket.write('17 <13>a: counted oneX<13>b: a line\n<13>c: the last'.replace('oneX', 'on'));
  socket.end();
  await once(socket, 'close');
  await until(() => lines().length === 4);
  expect(lines()).toEqual(['over UDP', 'counted on', 'a line', 'the last']);
  expect(textsOf(batches[0]?.attributes)).toEqual(['{"detected_level":"critical","sender":"127.0.0.1"}']);
  expect(server.counts).toMatchObject({ messages: 4, dropped: 0 });
});

test('TCP waits while there is no room, and loses nothing; UDP loses, and says how much', async () => {
  const { server, state, dropped, lines, until, udp } = await setUp();
  await using _server = server;
  state.full = true;
  const socket = connect(server.tcpPort, '127.0.0.1');
  let written = 0;
  const line = `<13>a: ${'x'.repeat(900)}\n`;
  // Until the sender feels it: the gateway does not read on.
  while (written < 100_000 && socket.write(line)) written++;
  written++;
  await udp('<13>lost', '<13>lost');
  await until(() => server.counts.dropped === 2);
  expect(dropped.reduce((sum, rows) => sum + rows, 0)).toBe(2);
  state.full = false;
  socket.end();
  await until(() => lines().length === written);
  expect(server.counts.dropped).toBe(2);
});

test('more than the queue holds is lost, and a long message is cut', async () => {
  const { server, lines, until, udp } = await setUp({ udpQueueBytesMax: 10, messageBytesMax: 8 });
  await using _server = server;
  await udp(`<13>${'x'.repeat(20)}`);
  await until(() => server.counts.dropped === 1);
  await udp('<13>12345');
  await until(() => lines().length === 1);
  expect(lines()).toEqual(['1234']);
  expect(server.counts.cut).toBe(1);
});

test.skipIf(!findProgram('logger'))(
  'logger of util-linux, every way it can (skipped where it is not installed)',
  async () => {
    const { server, batches, lines, until } = await setUp();
    await using _server = server;
    const log = (flags: string[], message: string): void => {
      const base = ['-n', '127.0.0.1', '-t', 'press', '-p', 'local3.warning', ...flags, message];
      execFileSync('logger', base, { stdio: 'ignore' });
    };
    const udp = ['-d', '-P', String(server.udpPort)];
    const tcp = ['-T', '-P', String(server.tcpPort)];
    const ways = [udp, tcp].flatMap((way) => [
      [...way, '--rfc3164'],
      [...way, '--rfc5424'],
      [...way, '--rfc5424', '--sd-id', 'zone@1', '--sd-param', 'room="7"'],
    ]);
    ways.push([...tcp, '--octet-count', '--rfc5424']);
    for (const [index, flags] of ways.entries()) log(flags, `message ${index}`);
    await until(() => lines().length === ways.length);
    expect(lines().sort()).toEqual(ways.map((_, index) => `message ${index}`));
    const streams = new Set(batches.flatMap(({ series }) => series.map(({ labels }) => labels)));
    for (const stream of streams)
      expect(JSON.parse(stream)).toMatchObject({
        app: 'press',
        facility: 'local3',
        severity: 'warning',
        source: 'syslog',
      });
    expect(
      batches
        .flatMap(({ attributes }) => textsOf(attributes))
        .filter((text) => text?.includes('"zone_1_room":"7"')),
    ).toHaveLength(2);
  },
);
