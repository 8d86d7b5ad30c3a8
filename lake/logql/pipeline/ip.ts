import { isIPv4, isIPv6 } from 'node:net';
import { quoted } from '../units.ts';

// Addresses in lines and label values: one address, a range `a-b`, or a network `a/bits`.

interface Address {
  readonly version: 4 | 6;
  readonly value: bigint;
}

interface Range {
  readonly version: 4 | 6;
  readonly first: bigint;
  readonly last: bigint;
}

/** Whether a text holds an address that the pattern means. Throws an Error in Loki's words. */
export function ipTest(pattern: string): (text: string) => boolean {
  const range = parseIpPattern(pattern);
  return (text) => {
    for (const address of addressesIn(text))
      if (address.version === range.version && within(address.value, range)) return true;
    return false;
  };
}

function parseIpPattern(pattern: string): Range {
  const invalid = (): Error => new Error(`ip: invalid pattern: ${quoted(pattern)}`);
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
  if (first.value > last.value) throw invalid();
  return { version: first.version, first: first.value, last: last.value };
}

function parseIp(text: string): Address | undefined {
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

/** What an address begins with, and what belongs to it. */
const ipv4Start = /\d(?:\.|.\.|..\.)/sy;
const ipv4Span = /[\d.]*/y;
const ipv6Start = /::[\da-fA-F]|[\da-fA-F]{1,4}:/y;
const ipv6Span = /[\da-fA-F:.]*/y;

const matches = (pattern: RegExp, text: string, at: number): string | undefined => {
  pattern.lastIndex = at;
  return pattern.exec(text)?.[0];
};

/** A hexadecimal digit, or a colon, which comes behind the decimal ones. */
const mayBegin = (code: number): boolean =>
  (code >= 0x30 && code <= 0x3a) || (code >= 0x41 && code <= 0x46) || (code >= 0x61 && code <= 0x66);

/** The addresses of a text, as Loki finds them: with a dot behind it, for example, there is none. */
function* addressesIn(text: string): Generator<Address> {
  for (let at = 0; at < text.length; at++) {
    if (!mayBegin(text.charCodeAt(at))) continue;
    const span =
      matches(ipv4Start, text, at) === undefined
        ? matches(ipv6Start, text, at) && matches(ipv6Span, text, at)
        : matches(ipv4Span, text, at);
    if (span === undefined) continue;
    const address = parseIp(span);
    if (address !== undefined) yield address;
    at += span.length;
  }
}
