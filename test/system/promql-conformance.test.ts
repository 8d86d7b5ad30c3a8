import { expect, test } from 'vitest';
import { whyNoRunner } from '../conformance/corpus-runner.ts';
import { runOverHttp } from '../conformance/promql-http.ts';

// A part of what `npm run conformance -- promql` runs: the scripts with few sections, because each section has a gateway.

const scripts = [
  ...['at_modifier', 'duration_expression', 'histograms', 'limit', 'literals', 'staleness', 'trig_functions'],
  'type_and_unit',
];

test.skipIf(whyNoRunner !== undefined)(
  `Prometheus' language scripts by remote write and over HTTP${whyNoRunner ? ` (skipped: ${whyNoRunner})` : ''}`,
  async () => {
    const { passed, failed } = await runOverHttp(scripts.map((name) => `${name}.test`));
    expect(failed).toEqual([]);
    expect(passed).toBeGreaterThan(290);
  },
);
