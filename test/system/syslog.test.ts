import { appendFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { run, sql, temporaryFolder } from '../harness/firn.ts';
import { startProgram, waitFor } from '../harness/process.ts';
import { findProgram } from '../harness/programs.ts';
import { shareGateway } from '../harness/shared-gateway.ts';

// Debian's rsyslog as the sender, into SQL.

const rsyslogd = findProgram('rsyslogd');

const forwards = [
  {
    name: 'TCP with octet counting, RFC 5424',
    protocol: 'tcp',
    action: 'TCP_Framing="octet-counted" Template="RSYSLOG_SyslogProtocol23Format"',
    lines: 3000,
    // RFC 5424 has one space before the message; rsyslog's template has that, and its message begins with one.
    said: ' belt stopped\nby hand',
  },
  {
    name: 'TCP with octet counting, RFC 3164 with an RFC 3339 time',
    protocol: 'tcp',
    action: 'TCP_Framing="octet-counted" Template="RSYSLOG_ForwardFormat"',
    lines: 3000,
    said: 'belt stopped\nby hand',
  },
  {
    name: 'TCP line by line, RFC 3164',
    protocol: 'tcp',
    action: 'TCP_Framing="traditional" Template="RSYSLOG_TraditionalForwardFormat"',
    lines: 3000,
    said: 'belt stopped by hand',
  },
  {
    name: 'UDP, RFC 3164',
    protocol: 'udp',
    action: 'Template="RSYSLOG_TraditionalForwardFormat"',
    // Datagrams have no back pressure: so many fit the socket's buffer at once.
    lines: 100,
    said: 'belt stopped\nby hand',
  },
];

describe.skipIf(!rsyslogd)('rsyslog (skipped where rsyslogd is not installed: test/setup)', () => {
  const gateway = shareGateway('--syslog-listen', '--syslog-port', '0');

  test.each(forwards)('$name: each line is there once', async ({ name, protocol, action, lines, said }) => {
    using folder = temporaryFolder();
    const hostname = `line-${forwards.findIndex((each) => each.name === name)}`;
    const [log, socket] = [join(folder.path, 'press.log'), join(folder.path, 'log')];
    const port = gateway.port(protocol === 'tcp' ? 'syslogTcp' : 'syslogUdp');
    const config = join(folder.path, 'rsyslog.conf');
    writeFileSync(
      config,
      [
        `global(workDirectory="${folder.path}" localHostname="${hostname}" parser.escapeControlCharactersOnReceive="off")`,
        'module(load="imfile")',
        'module(load="imuxsock" SysSock.Use="off")',
        `input(type="imfile" File="${log}" Tag="press:" Facility="local3" Severity="warning")`,
        `input(type="imuxsock" Socket="${socket}")`,
        `action(type="omfwd" Target="127.0.0.1" Port="${port}" Protocol="${protocol}" ${action})`,
        '',
      ].join('\n'),
    );
    const sent = Array.from({ length: lines }, (_, n) => `${n} Öl: ${n / 4} °C [ok] "x=1"`);
    writeFileSync(
      log,
      sent
        .slice(0, lines / 2)
        .map((line) => `${line}\n`)
        .join(''),
    );
    await using _sender = startProgram('env', [
      ...['TZ=UTC', rsyslogd ?? '', '-n', '-f', config, '-i', join(folder.path, 'pid')],
    ]);
    const count = async (app: string): Promise<number> => {
      const where = `labels->>'hostname' = '${hostname}' AND labels->>'app' = '${app}'`;
      return Number((await sql(gateway.url, `SELECT count(*) FROM logs WHERE ${where}`))[0]?.[0]);
    };
    const arrived = (app: string, rows: number) =>
      waitFor(`${rows} lines of ${app}`, 30_000, async () => (await count(app)) >= rows || undefined);
    await arrived('press', lines / 2);
    appendFileSync(
      log,
      sent
        .slice(lines / 2)
        .map((line) => `${line}\n`)
        .join(''),
    );
    const logged = await run('logger', ['-u', socket, '-i', '-p', 'daemon.crit', '-t', 'plc', said.trim()]);
    expect(logged).toMatchObject({ code: 0, stderr: '' });
    await Promise.all([arrived('press', lines), arrived('plc', 1)]);

    const rows = await sql(
      gateway.url,
      `SELECT labels->>'app', line, severity, labels->>'source', labels->>'facility', labels->>'severity',
         attributes->>'sender', coalesce(attributes->>'process_id', '') <> '',
         abs(date_diff('second', timestamp, now())) < 120, quality
       FROM logs WHERE labels->>'hostname' = '${hostname}'`,
    );
    const row = (app: string, line: string, facility: string, severity: string, hasProcess: boolean) => [
      ...[app, line, severity, 'syslog', facility, severity, '127.0.0.1', hasProcess, true, null],
    ];
    const expected = [
      row('plc', said, 'daemon', 'crit', true),
      ...sent.map((line) => row('press', line, 'local3', 'warning', false)),
    ];
    const order = (all: readonly unknown[][]) => all.map((each) => JSON.stringify(each)).sort();
    expect(order(rows)).toEqual(order(expected));
  });
});
