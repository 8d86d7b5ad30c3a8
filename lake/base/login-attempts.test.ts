import { expect, test } from 'vitest';
import { createLoginAttempts, type LoginLimits } from './login-attempts.ts';

function open(limits: Partial<LoginLimits> = {}) {
  let nowMs = 0;
  const blocked: string[] = [];
  const attempts = createLoginAttempts(
    { failuresPerNameMax: 3, failuresPerAddressMax: 5, windowSeconds: 60, ...limits },
    { monotonicMs: () => nowMs },
    (address, name) => blocked.push(`${name} from ${address}`),
  );
  const fail = (times: number, address: string, name: (time: number) => string): void => {
    for (let time = 0; time < times; time++) attempts.failed(address, name(time));
  };
  const pass = (ms: number): void => {
    nowMs += ms;
  };
  return { attempts, blocked, fail, pass };
}

test('a name can be tried so often in a window, from wherever', () => {
  const { attempts, blocked, fail, pass } = open();
  fail(2, '10.0.0.1', () => 'ann');
  expect(attempts.waitMs('10.0.0.2', 'ann')).toBe(0);
  pass(1000);
  fail(1, '10.0.0.2', () => 'ann');
  expect([attempts.waitMs('10.0.0.3', 'ann'), attempts.waitMs('10.0.0.3', 'bob')]).toEqual([59_000, 0]);
  expect(blocked).toEqual(['ann from 10.0.0.2']);
  pass(59_000);
  expect(attempts.waitMs('10.0.0.3', 'ann')).toBe(0);
  fail(2, '10.0.0.3', () => 'ann');
  expect(attempts.waitMs('10.0.0.3', 'ann')).toBe(0);
});

test('an address can try so many names', () => {
  const { attempts, fail } = open();
  fail(5, '10.0.0.1', (time) => `name-${time}`);
  expect([attempts.waitMs('10.0.0.1', 'new'), attempts.waitMs('10.0.0.2', 'new')]).toEqual([60_000, 0]);
});

test('all addresses of an IPv6 network are one', () => {
  const { attempts, fail } = open();
  for (let time = 0; time < 5; time++) fail(1, `2001:db8:1:2::${time}`, () => `name-${time}`);
  expect(attempts.waitMs('2001:db8:1:2:9::1', 'new')).toBe(60_000);
  expect(attempts.waitMs('2001:db8:1:3::1', 'new')).toBe(0);
});

test('who came before is not kept out by others, and can not guess on either', () => {
  const { attempts, fail } = open();
  attempts.succeeded('10.0.0.1', 'ann');
  fail(5, '10.0.0.1', (time) => `name-${time}`);
  fail(3, '10.0.0.9', () => 'ann');
  expect([attempts.waitMs('10.0.0.1', 'ann'), attempts.waitMs('10.0.0.2', 'ann')]).toEqual([0, 60_000]);
  fail(3, '10.0.0.1', () => 'ann');
  expect(attempts.waitMs('10.0.0.1', 'ann')).toBe(60_000);
});

test('without limits nobody waits; what is remembered has an end', () => {
  const { attempts, fail } = open({ failuresPerNameMax: 0, failuresPerAddressMax: 0 });
  fail(1000, '10.0.0.1', () => 'ann');
  expect(attempts.waitMs('10.0.0.1', 'ann')).toBe(0);
  const bounded = open();
  bounded.fail(3, '10.0.0.1', () => 'first');
  bounded.fail(60_000, '10.0.0.2', (time) => `name-${time}`);
  expect(bounded.attempts.waitMs('10.0.0.3', 'first')).toBe(0);
});
