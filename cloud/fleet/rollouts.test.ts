import { describe, expect, test } from 'vitest';
import { desiredRollout, type Member, nextOf, type Rollout } from './rollouts.ts';

type State = 'applied' | 'trying' | 'refused' | 'rolled-back';

const minute = 60_000;

const rollout = (
  number: number,
  more: Partial<Rollout> = {},
  plan: Partial<Rollout['plan']> = {},
): Rollout => ({
  ...{ tenant: 'acme', number, settings: { number }, firmware: undefined },
  ...{ state: 'running', stage: 0, stageSinceMs: 0 },
  plan: {
    selector: {},
    canaries: [],
    stages: [10, 50, 100],
    bakeSeconds: 600,
    failurePercentMax: 10,
    ...plan,
  },
  ...more,
});

const fleet = (version: number, state: (index: number) => State | undefined, count = 1000): Member[] =>
  Array.from({ length: count }, (_, index) => {
    const said = state(index);
    return {
      ...{
        id: `gw-${index}`,
        site: index % 2 === 0 ? 'even' : 'odd',
        group: index < 5 ? 'test' : '',
        seenMs: 0,
      },
      said: said === undefined ? undefined : { config: { version, state: said } },
    };
  });

const reached = (rollouts: Rollout[], members: Member[]): number[] =>
  members.map((member) => desiredRollout(rollouts, 'settings', member)?.number ?? 0);

test('a stage reaches its share of the gateways, and later stages those and more', () => {
  const members = fleet(1, () => undefined);
  const [first, second, last] = [0, 1, 2].map((stage) => reached([rollout(1, { stage })], members));
  const count = (numbers: number[] = []): number => numbers.filter((each) => each === 1).length;
  expect(count(first)).toBeGreaterThan(70);
  expect(count(first)).toBeLessThan(130);
  expect(count(second)).toBeGreaterThan(440);
  expect(count(second)).toBeLessThan(560);
  expect(count(last)).toBe(1000);
  first?.forEach((each, index) => {
    if (each === 1) expect(second?.[index]).toBe(1);
  });
});

test('the newest that reaches a gateway counts, and one that is halted reaches nobody', () => {
  const [member] = fleet(1, () => undefined, 1);
  if (!member) throw new Error('no member');
  const all = [
    rollout(1, { state: 'done', stage: 2 }),
    rollout(2, { stage: 2 }, { selector: { sites: ['odd'] } }),
  ];
  expect(desiredRollout(all, 'settings', member)?.number).toBe(1);
  expect(desiredRollout(all, 'settings', { ...member, site: 'odd' })?.number).toBe(2);
  expect(
    desiredRollout([...all, rollout(3, { stage: -1 }, { canaries: ['gw-0'] })], 'settings', member)?.number,
  ).toBe(3);
  expect(
    desiredRollout([...all, rollout(3, { stage: 2, state: 'halted' })], 'settings', member)?.number,
  ).toBe(1);
  expect(
    desiredRollout([rollout(4, { stage: 2 }, { selector: { groups: ['x'] } })], 'settings', member),
  ).toBeUndefined();
});

test.each([
  ['nobody has tried it', () => undefined, 11, undefined],
  ['it is applied everywhere, and watched', () => 'applied', 11, { state: 'running', stage: 1 }],
  ['it is applied everywhere, not watched for long enough', () => 'applied', 9, undefined],
  ['some still try it', (index: number) => (index % 10 === 0 ? 'trying' : 'applied'), 11, undefined],
  [
    'a few took it back',
    (index: number) => (index % 20 === 0 ? 'rolled-back' : 'applied'),
    11,
    { state: 'running', stage: 1 },
  ],
  [
    'too many took it back',
    (index: number) => (index % 5 === 0 ? 'rolled-back' : undefined),
    1,
    { state: 'halted', stage: 0 },
  ],
  [
    'too many refused it',
    (index: number) => (index % 5 === 0 ? 'refused' : undefined),
    1,
    { state: 'halted', stage: 0 },
  ],
] satisfies [string, (index: number) => State | undefined, number, object | undefined][])(
  'when %s',
  (_, state, minutes, expected) => {
    const members = fleet(1, state).map((member) => ({ ...member, seenMs: minutes * minute }));
    const next = nextOf(rollout(1), members, minutes * minute);
    if (expected === undefined) expect(next).toBeUndefined();
    else expect(next).toMatchObject(expected);
  },
);

test('who is away is not waited for, and the last stage ends it', () => {
  const members = fleet(1, (index) => (index < 500 ? 'applied' : undefined)).map((member, index) => ({
    ...member,
    seenMs: index < 500 ? 60 * minute : 0,
  }));
  expect(nextOf(rollout(1, { stage: 2 }), members, 60 * minute)).toMatchObject({ state: 'done', stage: 2 });
  expect(nextOf(rollout(1, { stage: -1 }, { canaries: ['gw-1'] }), members, 60 * minute)).toMatchObject({
    stage: 0,
  });
});

describe('firmware', () => {
  const update = rollout(
    2,
    { firmware: { version: '1.3.0', url: 'https://updates.example.com/1.3.0' } },
    { stages: [100] },
  );
  const flashed = (id: string, version: string, state?: State): Member => ({
    ...{ id, site: 'even', group: '', seenMs: 0 },
    said: { firmware: { version, ...(state && { told: { rollout: 2, state } }) } },
  });

  test('is wanted beside settings, and neither stands in the other’s way', () => {
    const member = flashed('gw-1', '1.2.0');
    const both = [
      rollout(1, {}, { stages: [100] }),
      update,
      rollout(3, { state: 'halted' }, { stages: [100] }),
    ];
    expect(desiredRollout(both, 'settings', member)?.number).toBe(1);
    expect(desiredRollout(both, 'firmware', member)?.number).toBe(2);
  });

  test('is not waited for on gateways that were not flashed; the version that runs says that it is applied', () => {
    const plain = { ...flashed('gw-2', ''), said: { config: { version: 0, state: 'applied' as const } } };
    const late = 11 * minute;
    const members = (...all: Member[]): Member[] => all.map((each) => ({ ...each, seenMs: late }));
    expect(nextOf(update, members(flashed('gw-1', '1.2.0', 'trying'), plain), late)).toBeUndefined();
    expect(nextOf(update, members(flashed('gw-1', '1.3.0'), plain), late)).toMatchObject({ state: 'done' });
    expect(nextOf(update, members(flashed('gw-1', '1.3.0', 'trying'), plain), late)).toBeUndefined();
    expect(nextOf(update, members(flashed('gw-1', '1.2.0', 'rolled-back'), plain), late)).toMatchObject({
      state: 'halted',
    });
  });
});
