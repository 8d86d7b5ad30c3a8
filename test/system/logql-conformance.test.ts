import { expect, test } from 'vitest';
import { whyNoRunner } from '../conformance/corpus-runner.ts';
import { runScriptsOnGateways } from '../conformance/logql-gateway.ts';

// A part of what `npm run conformance -- logql` runs: the scripts with few sections, because each section has a gateway.

test.skipIf(whyNoRunner !== undefined)(
  `Loki's language scripts by push and over HTTP${whyNoRunner ? ` (skipped: ${whyNoRunner})` : ''}`,
  async () => {
    const { passed, failed } = await runScriptsOnGateways(
      ['conversions', 'formatters', 'functions', 'line_filters'].map((name) => `${name}.logqltest`),
    );
    expect(failed).toEqual([]);
    expect(passed).toBeGreaterThan(70);
  },
);
