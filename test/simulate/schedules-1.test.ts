import { test } from 'vitest';
import { runSchedules } from './run-schedules.ts';

test('what is acknowledged is in the lake once, whatever fails when (1 of 2)', () => runSchedules(0));
