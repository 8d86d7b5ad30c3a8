import { canonicalLabels, type Labels, withIdentity } from '../../model/labels.ts';
import type { LogStream, LogStreams } from '../logs/streams.ts';
import type { LogsBuilder } from '../logs-builder.ts';
import { type OwnTime, rowTime } from '../mqtt/device-time.ts';
import { parseSyslog, type SyslogMessage } from './parse.ts';

export interface SyslogRowOptions {
  readonly streams: LogStreams;
  /** IANA name: of times that say none. */
  readonly timeZone: string;
  /** A sender's time that is so much later than the receipt is not believed. */
  readonly futureMsMax: number;
  readonly ownTime: () => OwnTime;
}

/**
 * Appends a message as a log line. Labels of its stream: source, hostname, app, facility, severity. What differs from
 * line to line (process id, message id, structured data, sender's address) is structured metadata. Throws FirnError `limit`.
 */
export function appendSyslog(
  bytes: Uint8Array,
  sender: string,
  receivedUs: number,
  logs: LogsBuilder,
  { streams, timeZone, futureMsMax, ownTime }: SyslogRowOptions,
): void {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
  const parsed = parseSyslog(text, { receivedMs: receivedUs / 1000, timeZone });
  const stream = streamOf(parsed, streams);
  const deviceUs = parsed.timestampNs === undefined ? undefined : Number(parsed.timestampNs / 1000n);
  const { timestampUs, doubt } = rowTime(deviceUs, receivedUs, ownTime(), futureMsMax * 1000);
  const exactNs = doubt === undefined ? parsed.timestampNs : undefined;
  logs.append(stream, {
    timestampNs: exactNs ?? BigInt(timestampUs) * 1000n,
    line: parsed.message,
    severity: parsed.severity,
    level: levels[parsed.severity] ?? 'unknown',
    metadata: metadataOf(parsed, sender),
    ...(doubt && { doubt }),
  });
}

function streamOf({ hostname, app, facility, severity }: SyslogMessage, streams: LogStreams): LogStream {
  const key = Buffer.from(`syslog ${JSON.stringify([hostname, app, facility, severity])}`);
  return streams.of(key, 0, key.length, () => {
    const sent = canonicalLabels([
      ['app', app],
      ['hostname', hostname],
      ['facility', facility],
      ['severity', severity],
    ]);
    return withIdentity(sent, [['source', 'syslog']]);
  });
}

/** Severities in Loki's words. */
const levels: Readonly<Record<string, string>> = {
  ...{ emerg: 'critical', alert: 'critical', crit: 'critical', err: 'error' },
  ...{ warning: 'warn', notice: 'info', info: 'info', debug: 'debug' },
};

const metadataOf = ({ processId, messageId, structuredData }: SyslogMessage, sender: string): Labels =>
  canonicalLabels([
    ...structuredData,
    ['message_id', messageId],
    ['process_id', processId],
    ['sender', sender],
  ]);
