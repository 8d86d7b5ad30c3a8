import { expect, test } from 'vitest';
import { createGate, openLanes } from './lanes.ts';

const idle = { alarms: 0, newest: 0, backlog: 0 };
const always = (): boolean => true;

test.each([
  [idle, always, ['alarms', 'newest', 'backlog']],
  [{ ...idle, backlog: 2 }, always, ['alarms', 'newest']],
  [{ ...idle, newest: 3, backlog: 1 }, always, ['alarms', 'newest']],
  [{ ...idle, newest: 4 }, always, []],
  [idle, (lane: string) => lane === 'alarms', ['alarms']],
])('%j under way: %#', (running, isOpen, expected) => {
  expect(openLanes(running, isOpen)).toEqual(expected);
});

const at = (time: string): number => Date.parse(`2026-01-05T${time}Z`); // a Monday

test.each([
  [[], '12:00:00', true],
  [['* 22-23,0-5 * * *'], '23:59:59', true],
  [['* 22-23,0-5 * * *'], '05:59:59.999', true],
  [['* 22-23,0-5 * * *'], '06:00:00', false],
  [['* * * * 0', '30 7 * * 1'], '07:30:12', true],
  [['* * * * 0', '30 7 * * 1'], '07:31:00', false],
])('with windows %j, at %s it is open: %j', (windows, time, expected) => {
  expect(createGate(windows).isOpen(at(time))).toBe(expected);
});

test.each(['', 'soon', '* * * *', '61 * * * *', '* * * * * *'])('%j is no window', (window) => {
  expect(() => createGate([window])).toThrow(/is not a cron expression of five fields/);
});
