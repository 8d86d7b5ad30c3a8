import { canonicalLabels, labelsJson, withIdentity } from '../../model/labels.ts';
import type { LogsBuilder } from '../logs-builder.ts';
import { type OwnTime, rowTime } from '../mqtt/device-time.ts';
import type { CachedSeries, SeriesCache } from '../series-cache.ts';
import { parseSyslog, type SyslogMessage } from './parse.ts';

export interface SyslogRowOptions {
  readonly cache: SeriesCache;
  /** IANA name: of times that say none. */
  readonly timeZone: string;
  /** A sender's time that is so much later than the receipt is not believed. */
  readonly futureMsMax: number;
  readonly ownTime: () => OwnTime;
}

/**
 * Appends a message as a log line. Labels of its stream: source, hostname, app, service_name, facility, severity. What
 * differs from line to line (process id, message id, structured data, sender's address) is structured metadata, and so is
 * Loki's detected_level. Throws FirnError `limit`.
 */
export function appendSyslog(
  bytes: Uint8Array,
  sender: string,
  receivedUs: number,
  logs: LogsBuilder,
  { cache, timeZone, futureMsMax, ownTime }: SyslogRowOptions,
): void {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
  const parsed = parseSyslog(text, { receivedMs: receivedUs / 1000, timeZone });
  const stream = streamOf(parsed, cache);
  const deviceUs = parsed.timestampNs === undefined ? undefined : Number(parsed.timestampNs / 1000n);
  const { timestampUs, doubt } = rowTime(deviceUs, receivedUs, ownTime(), futureMsMax * 1000);
  const exactNs = doubt === undefined ? parsed.timestampNs : undefined;
  logs.append(stream, {
    timestampNs: exactNs ?? BigInt(timestampUs) * 1000n,
    line: parsed.message,
    severity: parsed.severity,
    attributes: attributesOf(parsed, sender),
    ...(doubt && { doubt }),
  });
}

function streamOf({ hostname, app, facility, severity }: SyslogMessage, cache: SeriesCache): CachedSeries {
  const key = Buffer.from(`syslog ${JSON.stringify([hostname, app, facility, severity])}`);
  const known = cache.find(key, 0, key.length);
  if (known !== undefined) return known;
  const sent = canonicalLabels([
    ['app', app],
    ['hostname', hostname],
    ['facility', facility],
    ['severity', severity],
    // As Loki's data source wants it of every stream.
    ['service_name', app || hostname || 'unknown_service'],
  ]);
  return cache.add(key, 0, key.length, withIdentity(sent, [['source', 'syslog']]));
}

/** Severities in Loki's words. */
const levels: Readonly<Record<string, string>> = {
  ...{ emerg: 'critical', alert: 'critical', crit: 'critical', err: 'error' },
  ...{ warning: 'warn', notice: 'info', info: 'info', debug: 'debug' },
};

function attributesOf(
  { processId, messageId, structuredData, severity }: SyslogMessage,
  sender: string,
): string {
  return labelsJson(
    canonicalLabels([
      ...structuredData,
      ['detected_level', levels[severity] ?? 'unknown'],
      ['message_id', messageId],
      ['process_id', processId],
      ['sender', sender],
    ]),
  );
}
