import { test } from 'vitest';
import { runLakeSchedules } from './lake-model/run-lake-schedules.ts';

test('no row of the lake is lost, doubled or seen twice, whoever works on it or is killed when (2 of 2)', () =>
  runLakeSchedules(1));
