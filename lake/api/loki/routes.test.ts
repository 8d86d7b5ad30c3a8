import { expect, test } from 'vitest';
import { systemClock } from '../../base/clock.ts';
import { createLogger } from '../../base/log.ts';
import { defaultLogqlLimits } from '../../logql/limits.ts';
import type { LogScan } from '../../scan/log-scan.ts';
import { buildInfo } from '../build-info.ts';
import { lokiRoutes } from './routes.ts';

// What is wrong with a request, in the words of Loki (grafana/loki 65e30f8) over HTTP; none of it gets to the data.

const app = lokiRoutes({
  context: () => ({ logs: { tenant: 'acme', evaluator: undefined } as unknown as LogScan }),
  limits: defaultLogqlLimits,
  clock: systemClock,
  logger: createLogger('silent'),
  buildInfo,
});

const lines = encodeURIComponent('{app="x"}');
const rate = encodeURIComponent('rate({app="x"}[1m])');
const notNumber = 'parsing "x": invalid syntax';

test.each([
  ['query?query=vector(1)&time=x', `strconv.ParseInt: ${notNumber}`],
  ['query?query=vector(1)&limit=x', `strconv.Atoi: ${notNumber}`],
  [`query_range?query=${lines}&start=x`, `could not parse 'start' parameter: strconv.ParseInt: ${notNumber}`],
  [
    `query_range?query=${lines}&since=x`,
    `could not parse 'since' parameter: not a valid duration string: "x"`,
  ],
  [`query_range?query=${lines}&interval=x`, 'cannot parse "x" to a valid duration'],
  [`query_range?query=${rate}&step=x`, 'cannot parse "x" to a valid duration'],
  [`detected_fields?query=${rate}`, 'only log selector is supported'],
  [`series?match[]=${lines}|=%22x%22`, 'only label matchers are supported'],
  [
    'format_query?query={',
    '{"status":"invalid-query","error":"parse error at line 1, col 2: syntax error: unexpected $end, expecting IDENTIFIER or }"}',
  ],
])('%s is refused', async (path, wanted) => {
  const response = await app.request(`/loki/api/v1/${path}`);
  expect([response.status, await response.text()]).toEqual([400, wanted]);
});
