import { parseMonth, zonedMs } from './time.ts';

// Syslog messages: RFC 5424, and what RFC 3164 found in the field. Nothing is refused: what is neither is a message.

export interface SyslogMessage {
  readonly facility: string;
  readonly severity: string;
  /** Nanoseconds since the Unix epoch; undefined: the sender did not say, or not in a way that can be read. */
  readonly timestampNs: bigint | undefined;
  readonly hostname: string;
  readonly app: string;
  readonly processId: string;
  readonly messageId: string;
  /** `element.parameter` and its value, in their order. */
  readonly structuredData: readonly (readonly [name: string, value: string])[];
  readonly message: string;
}

export interface SyslogContext {
  readonly receivedMs: number;
  /** IANA name: of times that say none. */
  readonly timeZone: string;
}

const facilities = [
  ...['kern', 'user', 'mail', 'daemon', 'auth', 'syslog', 'lpr', 'news', 'uucp', 'cron', 'authpriv', 'ftp'],
  ...[
    'ntp',
    'audit',
    'alert',
    'clock',
    'local0',
    'local1',
    'local2',
    'local3',
    'local4',
    'local5',
    'local6',
    'local7',
  ],
];
const severities = ['emerg', 'alert', 'crit', 'err', 'warning', 'notice', 'info', 'debug'];
/** Without a priority: user.notice (RFC 3164, 4.3.3). */
const priorityDefault = 13;

export function parseSyslog(text: string, context: SyslogContext): SyslogMessage {
  const match = /^<(\d{1,3})>/.exec(text);
  const priority = match !== null && Number(match[1]) < 192 ? Number(match[1]) : undefined;
  const rest = priority === undefined ? text : text.slice(match?.[0].length);
  const level = {
    facility: facilities[(priority ?? priorityDefault) >> 3] ?? 'user',
    severity: severities[(priority ?? priorityDefault) & 7] ?? 'notice',
  };
  const parsed = (rest.startsWith('1 ') ? parse5424(rest) : undefined) ?? parse3164(rest, context);
  return { ...level, ...parsed };
}

type Header = Omit<SyslogMessage, 'facility' | 'severity'>;

const nilTo = (text: string | undefined): string => (text === undefined || text === '-' ? '' : text);

/** RFC 5424, 6; undefined: it is not. */
function parse5424(text: string): Header | undefined {
  const match = /^1 (\S+) (\S{1,255}) (\S{1,255}) (\S{1,255}) (\S{1,255}) ?/.exec(text);
  if (match === null) return undefined;
  const [whole, time = '-', hostname, app, processId, messageId] = match;
  const timestampNs = time === '-' ? undefined : rfc3339Ns(time);
  if (time !== '-' && timestampNs === undefined) return undefined;
  const data = readStructuredData(text, whole.length);
  if (data === undefined) return undefined;
  const message = text
    .slice(data.end)
    .replace(/^ /, '')
    .replace(/^\ufeff/, '');
  return {
    timestampNs,
    hostname: nilTo(hostname),
    app: nilTo(app),
    processId: nilTo(processId),
    messageId: nilTo(messageId),
    structuredData: data.pairs,
    message,
  };
}

function rfc3339Ns(text: string): bigint | undefined {
  const match = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/.exec(text);
  if (match === null) return undefined;
  const ms = Date.parse(`${match[1]}${match[3]}`);
  return Number.isNaN(ms) ? undefined : BigInt(ms) * 1_000_000n + BigInt((match[2] ?? '').padEnd(9, '0'));
}

/** `-`, or `[id name="value" ...]` one after the other. */
function readStructuredData(
  text: string,
  start: number,
): { pairs: [string, string][]; end: number } | undefined {
  if (text[start] === '-') return { pairs: [], end: start + 1 };
  const pairs: [string, string][] = [];
  const element = /\[([^\s=\]"]+)((?: +[^\s=\]"]+="(?:[^"\\\]]|\\.)*")*) *\]/sy;
  let end = start;
  for (;;) {
    element.lastIndex = end;
    const match = element.exec(text);
    if (match === null) return end === start ? undefined : { pairs, end };
    end = element.lastIndex;
    for (const [, name, value = ''] of (match[2] ?? '').matchAll(/ +([^\s=\]"]+)="((?:[^"\\\]]|\\.)*)"/gs))
      pairs.push([`${match[1]}.${name}`, value.replaceAll(/\\(["\\\]])/g, '$1')]);
  }
}

/** `Nov  5 08:01:02 host app[123]: message`, of which any part may be missing; also with an RFC 3339 time, as rsyslog forwards. */
function parse3164(text: string, context: SyslogContext): Header {
  const time = readTime(text, context);
  // Without a time there is no telling a host from the first word of the message.
  const host = time.end > 0 ? /^ ?([^\s:[\]]+) /.exec(text.slice(time.end)) : null;
  const afterHost = time.end + (host?.[0].length ?? 0);
  const rest = text.slice(afterHost).replace(/^ /, '');
  const tag = /^([\w./@-]{1,64})(?:\[([^\]\s]{1,64})\])?:(?: |$)/.exec(rest);
  return {
    timestampNs: time.ns,
    hostname: host?.[1] ?? '',
    app: tag?.[1] ?? '',
    processId: tag?.[2] ?? '',
    messageId: '',
    structuredData: [],
    message: rest.slice(tag?.[0].length ?? 0),
  };
}

function readTime(
  text: string,
  { receivedMs, timeZone }: SyslogContext,
): { ns: bigint | undefined; end: number } {
  const full = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d))(?= )/.exec(text);
  if (full !== null) return { ns: rfc3339Ns(full[1] ?? ''), end: full[0].length };
  // Cisco puts * or . before it, and some put the year before or behind the day.
  const match =
    /^[*.]?([A-Z][a-z]{2}) +(\d{1,2})(?: (\d{4}))? (\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?: (\d{4}))?:?(?= |$)/.exec(
      text,
    );
  const month = parseMonth(match?.[1] ?? '');
  if (match === null || month === undefined) return { ns: undefined, end: 0 };
  const [whole, , day, year, hour, minute, second, fraction = '', yearBehind] = match;
  const clock = [month, Number(day), Number(hour), Number(minute), Number(second)] as const;
  const said = year ?? yearBehind;
  const ms = zonedMs(clock, said === undefined ? undefined : Number(said), receivedMs, timeZone);
  return {
    ns: ms === undefined ? undefined : BigInt(ms) * 1_000_000n + BigInt(fraction.padEnd(9, '0')),
    end: whole.length,
  };
}
