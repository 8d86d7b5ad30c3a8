import { expect, test } from 'vitest';
import { heldClock } from '../../test/harness/tenant-places.ts';
import { openWaitingDevices } from './waiting-devices.ts';

const limits = { adoptionsPerSecondMax: 100, adoptionsPerSecondPerAddressMax: 2 };
const asked = { address: '192.0.2.1', gateway: undefined, tenant: undefined };

function open() {
  const clock = heldClock(Date.UTC(2026, 0, 1));
  return { clock, waiting: openWaitingDevices(clock, limits) };
}

test('an address asks so often, and one network of IPv6 is one address; nobody else waits for it', () => {
  const { clock, waiting } = open();
  const letIn = (address: string, times: number): number =>
    Array.from({ length: times }, () => waiting.waitMs(address)).filter((ms) => ms === 0).length;
  expect(letIn('192.0.2.1', 100)).toBe(4);
  expect(letIn('192.0.2.2', 100)).toBe(4);
  expect(letIn('2001:db8:1:2::1', 3) + letIn('2001:db8:1:2::2', 3)).toBe(4);
  clock.pass(1000);
  expect(letIn('192.0.2.1', 100)).toBe(2);
});

test('all addresses together ask so often', () => {
  const { waiting } = open();
  const letIn = Array.from({ length: 1000 }, (_, index) =>
    waiting.waitMs(`10.0.${index >> 8}.${index & 255}`),
  );
  expect(letIn.filter((ms) => ms === 0)).toHaveLength(200);
});

test('who has waited for long comes less often', () => {
  const { clock, waiting } = open();
  const seconds: number[] = [];
  for (const wait of [0, 60, 540, 580, 580]) {
    clock.pass(wait * 1000);
    seconds.push(waiting.note('A', asked));
  }
  expect(seconds).toEqual([5, 5, 30, 59, 60]);
});

test('a device is forgotten after ten minutes, and when very many come after it', () => {
  const { clock, waiting } = open();
  waiting.note('A', asked);
  clock.pass(599_000);
  expect(waiting.find('A', 'acme')).toMatchObject({ address: '192.0.2.1' });
  clock.pass(1000);
  expect(waiting.find('A', 'acme')).toBeUndefined();
  waiting.note('A', asked);
  for (let other = 0; other < 10_000; other++) waiting.note(`B${other}`, asked);
  expect(waiting.find('A', 'acme')).toBeUndefined();
  expect(waiting.find('B9999', 'acme')).toBeDefined();
});
