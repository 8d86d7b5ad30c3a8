import { expect, test } from 'vitest';
import { stillClock } from '../../test/contract/lake-fixtures.ts';
import {
  type CompletenessQuestion,
  completenessOf,
  type GapRow,
  type GatewayShipping,
} from './completeness.ts';
import { completenessWarning } from './warning.ts';

const nowUs = 1_700_000_000_000_000;
const secondUs = 1_000_000;
const rules = { toleranceMs: 60_000, retiredAfterDays: 30 };
const ago = (seconds: number): number => nowUs - seconds * secondUs;
const pending = (from: number, to: number) => ({ fromUs: ago(from), toUs: ago(to), rows: 3, bytes: 9 });

const gatewayOf = (
  gateway: string,
  headAgo: number,
  more: Partial<GatewayShipping> & { watermarkAgo?: number; pending?: ReturnType<typeof pending>[] } = {},
): GatewayShipping => {
  const { watermarkAgo = headAgo, pending: ranges = [], ...rest } = more;
  const metrics = { headUs: ago(headAgo), watermarkUs: ago(watermarkAgo), pending: ranges };
  return { gateway, site: 'plant', progress: { metrics }, lastHeardUs: ago(headAgo), ...rest };
};
const gap = (from: number, to: number, more: Partial<GapRow> = {}): GapRow => ({
  ...{
    signal: 'metrics',
    class: 'metrics',
    kind: 'gap',
    reason: 'disk-full',
    gateway: 'gw-1',
    site: 'plant',
  },
  ...{ fromUs: ago(from), toUs: ago(to), rows: 5, detail: null },
  ...more,
});
const hour: CompletenessQuestion = { fromUs: ago(3600), toUs: nowUs, signal: 'metrics' };
const why = (
  gateways: readonly GatewayShipping[],
  gaps: readonly GapRow[] = [],
  question: CompletenessQuestion = hour,
) =>
  completenessOf(question, gateways, gaps, rules, nowUs).parts.map(
    (part) => [part.gateway, part.behind, part.pending.length, part.gaps.length] as const,
  );

test.each<[string, GatewayShipping, readonly GapRow[], readonly [boolean, number, number]]>([
  ['all of it is there', gatewayOf('gw-1', 20), [], [false, 0, 0]],
  ['young data is not expected', gatewayOf('gw-1', 59), [], [false, 0, 0]],
  ['the head is behind', gatewayOf('gw-1', 61), [], [true, 0, 0]],
  ['ranges are to come', gatewayOf('gw-1', 1, { pending: [pending(9000, 3000)] }), [], [false, 1, 0]],
  ['ranges of another time', gatewayOf('gw-1', 1, { pending: [pending(9000, 3601)] }), [], [false, 0, 0]],
  [
    'a range that ends where it begins',
    gatewayOf('gw-1', 1, { pending: [pending(9000, 3600)] }),
    [],
    [false, 1, 0],
  ],
  ['a gap', gatewayOf('gw-1', 1), [gap(100, 90)], [false, 0, 1]],
  ['a gap of another time', gatewayOf('gw-1', 1), [gap(9000, 8000)], [false, 0, 0]],
  ['a gap of another gateway', gatewayOf('gw-1', 1), [gap(100, 90, { gateway: 'gw-2' })], [false, 0, 0]],
  ['a gap of another signal', gatewayOf('gw-1', 1), [gap(100, 90, { signal: 'logs' })], [false, 0, 0]],
])('%s', (_, gateway, gaps, [behind, ranges, gapCount]) => {
  expect(why([gateway], gaps)).toEqual([['gw-1', behind, ranges, gapCount]]);
  const { complete } = completenessOf(hour, [gateway], gaps, rules, nowUs);
  expect(complete).toBe(!behind && ranges + gapCount === 0);
});

test('a gateway that was not heard of for long is not waited for, nor one that never had the signal', () => {
  const days = 86_400;
  expect(why([gatewayOf('gw-1', 31 * days), gatewayOf('gw-2', 29 * days)])).toEqual([['gw-2', true, 0, 0]]);
  expect(why([gatewayOf('gw-1', 1, { progress: {} })])).toEqual([]);
  // Unless it says itself that something is missing.
  expect(why([gatewayOf('gw-1', 1, { progress: {} })], [gap(9, 8)])).toEqual([['gw-1', false, 0, 1]]);
});

test('a range in the past is complete although the gateway is behind now', () => {
  const question = { ...hour, toUs: ago(1800) };
  expect(why([gatewayOf('gw-1', 1800)], [], question)).toEqual([['gw-1', false, 0, 0]]);
  expect(why([gatewayOf('gw-1', 1801)], [], question)).toEqual([['gw-1', true, 0, 0]]);
});

test('site, gateway and signal narrow the question', () => {
  const gateways = [gatewayOf('b', 1, { site: 'mill' }), gatewayOf('c', 1), gatewayOf('a', 1)];
  const asked = (more: Partial<CompletenessQuestion>) =>
    why(gateways, [], { ...hour, ...more }).map(([name]) => name);
  expect(asked({})).toEqual(['b', 'a', 'c']);
  expect(asked({ site: 'plant' })).toEqual(['a', 'c']);
  expect(asked({ gateway: 'b' })).toEqual(['b']);
  expect(asked({ signal: 'logs' })).toEqual([]);
});

const warn = (gateways: readonly GatewayShipping[], gaps: readonly GapRow[] = []) => {
  const source = { gateways: () => gateways, gaps: async () => gaps };
  return completenessWarning(hour, source, rules, stillClock());
};

test('a warning tells what is missing, and is absent when nothing is', async () => {
  expect(await warn([gatewayOf('gw-1', 1)])).toBeUndefined();
  const backlog = gatewayOf('gw-1', 1, {
    watermarkAgo: 7200,
    pending: [pending(7200, 3000), pending(2000, 1000)],
  });
  expect(await warn([backlog], [gap(100, 90)])).toBe(
    'completeness: data of gateway gw-1 (site plant): is complete up to 2023-11-14T20:13:20.000Z, 2 ranges still to come, 1 gap in the range',
  );
  expect(await warn([gatewayOf('gw-1', 1)], [gap(100, 90), gap(80, 70)])).toBe(
    'completeness: data of gateway gw-1 (site plant): 2 gaps in the range',
  );
});

test('of many gateways a warning names some and counts the others', async () => {
  const many = Array.from({ length: 8 }, (_, index) => gatewayOf(`gw-${index}`, 600));
  const text = (await warn(many)) ?? '';
  expect(text.match(/gw-\d/g)).toEqual(['gw-0', 'gw-1', 'gw-2', 'gw-3', 'gw-4']);
  expect(text).toMatch(/; and 3 more$/);
});
