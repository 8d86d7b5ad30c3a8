import { readFileSync } from 'node:fs';
import type { BuildInfo } from './prometheus/routes.ts';

export const { version: firnVersion } = JSON.parse(
  readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
) as {
  version: string;
};

/** What `status/buildinfo` says. No `features`, so that Grafana takes it for a Prometheus. */
export const buildInfo: BuildInfo = {
  version: `3.5.0+firn.${firnVersion}`,
  revision: '',
  branch: '',
  buildUser: '',
  buildDate: '',
  goVersion: '',
};
