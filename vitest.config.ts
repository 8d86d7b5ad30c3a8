import { defineConfig } from 'vitest/config';

// `unit` is what `npm test` runs: quick, no process is started, nothing outside a temp folder is touched.
// `system` starts real processes and, where they are installed, real clients and servers.
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: [
            '{lake,gateway,cloud,cli,provisioning}/**/*.test.ts',
            'test/{contract,golden}/**/*.test.ts',
            'test/tidy.test.ts',
            'test/lockfile.test.ts',
          ],
          testTimeout: 30_000,
        },
      },
      {
        test: {
          name: 'system',
          include: ['test/system/**/*.test.ts'],
          testTimeout: 240_000,
          hookTimeout: 120_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
