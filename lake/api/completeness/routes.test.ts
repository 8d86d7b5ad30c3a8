import { expect, test } from 'vitest';
import { stillClock } from '../../../test/contract/lake-fixtures.ts';
import { createLogger } from '../../base/log.ts';
import type { CompletenessSource } from '../../completeness/completeness.ts';
import { completenessRoutes } from './routes.ts';

const clock = stillClock();
const nowUs = clock.nowMs() * 1000;
const source: CompletenessSource = {
  gateways: () => [
    {
      ...{ gateway: 'gw-1', site: 'plant', lastHeardUs: nowUs },
      progress: {
        metrics: {
          ...{ headUs: nowUs, watermarkUs: nowUs - 5e9 },
          pending: [{ fromUs: nowUs - 5e9, toUs: nowUs - 3e9, rows: 7, bytes: 70 }],
        },
        logs: { headUs: nowUs, watermarkUs: nowUs, pending: [] },
      },
    },
  ],
  gaps: async () => [
    {
      ...{ signal: 'logs', class: 'logs', kind: 'gap', reason: 'disk-full', gateway: 'gw-1', site: 'plant' },
      ...{ fromUs: nowUs - 9e6, toUs: nowUs - 8e6, rows: null, detail: 'oldest first' },
    },
  ],
};
const app = completenessRoutes({
  context: () => source,
  rules: { toleranceMs: 60_000, retiredAfterDays: 30 },
  clock,
  logger: createLogger('silent'),
});
const ask = async (query: string) => {
  const response = await app.request(`/api/v1/firn/completeness${query}`);
  return { status: response.status, json: (await response.json()) as object };
};

test('it tells what of a range is missing, of the last hour when none is asked for', async () => {
  expect(await ask('?signal=metrics')).toEqual({
    status: 200,
    json: {
      status: 'success',
      data: {
        complete: false,
        start: '2023-11-14T21:13:20.000Z',
        end: '2023-11-14T22:13:20.000Z',
        gateways: [
          {
            ...{ site: 'plant', gateway: 'gw-1', signal: 'metrics', complete: false, behind: false },
            head: '2023-11-14T22:13:20.000Z',
            watermark: '2023-11-14T20:50:00.000Z',
            lastHeard: '2023-11-14T22:13:20.000Z',
            pending: [
              { start: '2023-11-14T20:50:00.000Z', end: '2023-11-14T21:23:20.000Z', rows: 7, bytes: 70 },
            ],
            gapCount: 0,
            gaps: [],
          },
        ],
      },
    },
  });
});

test('gaps are listed with their reasons', async () => {
  const { json } = await ask('?signal=logs&site=plant&gateway=gw-1');
  const gap = { class: 'logs', kind: 'gap', reason: 'disk-full', rows: null, detail: 'oldest first' };
  expect(json).toMatchObject({ data: { complete: false, gateways: [{ gapCount: 1, gaps: [gap] }] } });
});

test.each([
  ['?start=1700000000&end=1700000000', true],
  [`?start=2023-11-14T21:30:00Z&end=2023-11-14T21:40:00Z`, true],
  ['', false],
  ['?site=mill', true],
])('%s is complete: %s', async (query, complete) => {
  expect(await ask(query)).toMatchObject({ status: 200, json: { data: { complete } } });
});

test.each([
  ['?signal=rain', 'invalid parameter "signal"'],
  ['?start=soon', `invalid parameter "start"`],
  ['?end=x', `invalid parameter "end"`],
  ['?start=2000000000&end=1', 'invalid parameter "end"'],
])('%s is refused, naming the parameter', async (query, error) => {
  expect(await ask(query)).toMatchObject({
    status: 400,
    json: { status: 'error', errorType: 'bad_data', error: expect.stringContaining(error) },
  });
});
