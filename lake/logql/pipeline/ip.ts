import { isIPv4, isIPv6 } from 'node:net';

// Addresses in lines and label values: one address, a range `a-b`, or a network `a/bits`.

interface Range {
  readonly version: 4 | 6;
  readonly first: bigint;
  readonly last: bigint;
}

/** Whether a text holds an address that the pattern means. Throws an Error in Loki's words. */
export function ipTest(pattern: string): (text: string) => boolean {
  const range = parseIpPattern(pattern);
  if (range.version === 4) return (text) => anyIpv4(text, range);
  return (text) => anyIpv6(text, range);
}

function parseIpPattern(pattern: string): Range {
  const invalid = (): Error => new Error('ip: invalid pattern');
  const network = /^(.*)\/(\d+)$/.exec(pattern);
  const between = pattern.split('-');
  if (network !== null) {
    const address = parseIp(network[1] ?? '');
    const bits = Number(network[2]);
    const width = address?.version === 4 ? 32 : 128;
    if (address === undefined || bits > width) throw invalid();
    const size = 1n << BigInt(width - bits);
    const first = address.value - (address.value % size);
    return { version: address.version, first, last: first + size - 1n };
  }
  const [first, last = first] = between.map(parseIp);
  if (between.length > 2 || first === undefined || last === undefined || first.version !== last.version)
    throw invalid();
  return { version: first.version, first: first.value, last: last.value };
}

function parseIp(text: string): { version: 4 | 6; value: bigint } | undefined {
  if (isIPv4(text)) return { version: 4, value: ipv4Value(text) };
  if (!isIPv6(text) || text.includes('%')) return undefined;
  return { version: 6, value: ipv6Value(text) };
}

const ipv4Value = (text: string): bigint =>
  text.split('.').reduce((value, part) => value * 256n + BigInt(part), 0n);

function ipv6Value(text: string): bigint {
  const embedded = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  if (embedded !== null) {
    const value = ipv4Value(embedded[2] ?? '0.0.0.0');
    return ipv6Value(`${embedded[1]}${(value >> 16n).toString(16)}:${(value & 0xffffn).toString(16)}`);
  }
  const [head = '', tail] = text.split('::');
  const groups = (part: string): string[] => (part === '' ? [] : part.split(':'));
  const front = groups(head);
  const back = groups(tail ?? '');
  const zeros = Array.from({ length: 8 - front.length - back.length }, () => '0');
  return [...front, ...zeros, ...back].reduce((value, group) => value * 65_536n + BigInt(`0x${group}`), 0n);
}

const within = (value: bigint, { first, last }: Range): boolean => value >= first && value <= last;

const ipv4 = /\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}/g;

function anyIpv4(text: string, range: Range): boolean {
  for (const [candidate] of text.matchAll(ipv4))
    if (isIPv4(candidate) && within(ipv4Value(candidate), range)) return true;
  return false;
}

const ipv6 = /[0-9a-fA-F]*:[0-9a-fA-F:.]*/g;

function anyIpv6(text: string, range: Range): boolean {
  for (const [found] of text.matchAll(ipv6)) {
    // What follows an address may look like a part of it.
    const candidate = [found, found.replace(/[:.]+$/, '')].find((each) => isIPv6(each));
    if (candidate !== undefined && within(ipv6Value(candidate), range)) return true;
  }
  return false;
}
