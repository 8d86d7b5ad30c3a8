import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '../../lake/base/clock.ts';
import type { CommandFlag } from '../../lake/base/command.ts';
import { FirnError, hasCode } from '../../lake/base/errors.ts';
import { createLogger } from '../../lake/base/log.ts';
import { gatewayId, siteId, tenantId } from '../../lake/model/ids.ts';
import type { GatewayConfig } from '../config.ts';
import { lockFolder } from '../folder-lock.ts';
import { startSealer } from '../seal/sealer.ts';
import { createSegmentClaims } from '../seal/segment-claims.ts';
import { type BundleSource, openLocalSource } from '../ship/export/bundle-source.ts';
import { httpSource } from '../ship/export/http-source.ts';
import { openWalLedger } from '../ship/export/wal-ledger.ts';
import { openWal } from '../wal/open-wal.ts';

export const gatewayUrlFlag: CommandFlag = {
  flag: '--gateway-url',
  value: 'URL',
  description: 'HTTP port of a gateway that runs (default: as configured)',
};

/**
 * A gateway's bundles: from the gateway that runs on the folder, over HTTP, or from the folder itself when none does.
 * Either way one process alone gives numbers to shipments.
 */
export async function openSource(
  config: GatewayConfig,
  url: string | undefined,
  stack: AsyncDisposableStack,
): Promise<BundleSource> {
  if (url !== undefined) return httpSource(url);
  const { dataDir } = config;
  if (!existsSync(join(dataDir, 'wal.db'))) throw noGateway(dataDir);
  try {
    stack.use(lockFolder(dataDir));
  } catch (error) {
    if (!hasCode(error, 'invalid')) throw error;
    return httpSource(`http://${config.listen.host}:${config.http.port}`);
  }
  return openFolder(config, stack);
}

async function openFolder(config: GatewayConfig, stack: AsyncDisposableStack): Promise<BundleSource> {
  const { dataDir } = config;
  const logger = createLogger('warn').with({ part: 'export' });
  const clock = systemClock;
  const ids = {
    tenant: tenantId(config.tenant),
    site: siteId(config.site),
    gateway: gatewayId(config.gateway),
  };
  const wal = stack.use(
    await openWal({ path: join(dataDir, 'wal.db'), clock, alarmSelectors: config.classes.alarms }),
  );
  const shared = { ...ids, wal, dataDir, clock, logger };
  const sealer = stack.use(await startSealer({ ...shared, writer: config.seal.writer }));
  const ledger = stack.use(
    openWalLedger({ ...shared, claims: createSegmentClaims(), sealNow: sealer.sealNow }),
  );
  return openLocalSource({ ledger, ...shared });
}

export function noGateway(dataDir: string): FirnError {
  return new FirnError({
    code: 'invalid',
    operation: 'open gateway',
    subject: dataDir,
    message: `there is no gateway's data in ${dataDir}`,
    hint: 'give its folder with --data-dir DIR (or --config FILE)',
  });
}
