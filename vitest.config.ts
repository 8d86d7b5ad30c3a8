import { defineConfig } from 'vitest/config';

// `unit` is what `npm test` runs: parts of Firn, sometimes with a short-lived process or a client that is installed.
// `system` starts Firn as a user does, with real clients and servers where they are installed. `simulate` runs whole
// sites in one process, by seeds; `fuzz` gives decoders changed payloads. Vitest alone would leave one core idle, which
// is half of a machine with two.
// A machine with other work answers late: what a test waits for may take so long.
const expect = { poll: { timeout: 30_000 } };

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          expect,
          include: [
            '{lake,gateway,cloud,cli,provisioning}/**/*.test.ts',
            'test/{contract,golden}/**/*.test.ts',
            'test/tidy.test.ts',
            'test/lockfile.test.ts',
          ],
          testTimeout: 120_000,
          hookTimeout: 60_000,
          maxWorkers: '100%',
          // Modules keep nothing that another file could trip over, and reading them anew for each costs a second.
          isolate: false,
        },
      },
      {
        test: {
          name: 'system',
          expect,
          include: ['test/system/**/*.test.ts'],
          testTimeout: 240_000,
          hookTimeout: 120_000,
          // Two sites at a time: most of their time is waiting, but some have little patience.
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: 'fuzz',
          expect,
          include: ['test/fuzz/**/*.test.ts'],
          testTimeout: 300_000,
          maxWorkers: '100%',
        },
      },
      {
        test: {
          name: 'simulate',
          expect,
          include: ['test/simulate/**/*.test.ts'],
          testTimeout: 3_000_000,
          maxWorkers: '100%',
        },
      },
    ],
  },
});
