import { expect, test } from 'vitest';
import { runOverHttp, whyNoHttp } from '../conformance/promql-http.ts';

// A part of what `npm run conformance -- promql` runs: the scripts with few sections, because each section has a gateway.

const scripts = [
  ...['at_modifier', 'duration_expression', 'histograms', 'limit', 'literals', 'staleness', 'trig_functions'],
  'type_and_unit',
];

test.skipIf(whyNoHttp !== undefined)(
  `Prometheus' language scripts by remote write and over HTTP${whyNoHttp ? ` (skipped: ${whyNoHttp})` : ''}`,
  async () => {
    const { passed, failed } = await runOverHttp(scripts.map((name) => `${name}.test`));
    expect(failed).toEqual([]);
    expect(passed).toBeGreaterThan(290);
  },
);
