import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { CommandFlag } from '../../lake/base/command.ts';
import { FirnError, hasCode } from '../../lake/base/errors.ts';
import { createLogger } from '../../lake/base/log.ts';
import { gatewayId, siteId, tenantId } from '../../lake/model/ids.ts';
import { createGatewayClock } from '../clock/gateway-clock.ts';
import type { GatewayConfig } from '../config.ts';
import { lockFolder } from '../folder-lock.ts';
import { openLog } from '../main/storage.ts';
import { startSealer } from '../seal/sealer.ts';
import { createSegmentClaims } from '../seal/segment-claims.ts';
import { deviceAccess } from '../security/device-access.ts';
import { type BundleSource, openLocalSource } from '../ship/export/bundle-source.ts';
import { httpSource } from '../ship/export/http-source.ts';
import { openWalLedger } from '../ship/export/wal-ledger.ts';
import { startRecovery } from '../wal/recovery/run-recovery.ts';

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
  // A log that is lost is made again from the segments.
  if (!['wal.db', 'segments'].some((name) => existsSync(join(dataDir, name)))) throw noGateway(dataDir);
  try {
    stack.use(lockFolder(dataDir));
  } catch (error) {
    if (!hasCode(error, 'invalid')) throw error;
    const { url: own, headers } = deviceAccess(config);
    return httpSource(own, headers);
  }
  return openFolder(config, stack);
}

/** The gateway's own way to its log, without anything that receives or ships. */
async function openFolder(config: GatewayConfig, stack: AsyncDisposableStack): Promise<BundleSource> {
  const { dataDir, seal } = config;
  const logger = createLogger('warn').with({ part: 'export' });
  const gatewayClock = createGatewayClock({ ...config.clock, logger });
  const { clock, holdSinceMonoUs, notBefore } = gatewayClock;
  const ids = {
    tenant: tenantId(config.tenant),
    site: siteId(config.site),
    gateway: gatewayId(config.gateway),
  };
  const onDamage = (error: unknown): void =>
    logger.error('the log is damaged; start the gateway, which saves what can be read', { error });
  const walPath = join(dataDir, 'wal.db');
  const wal = await openLog(config, walPath, gatewayClock, logger, onDamage, stack);
  const shared = { ...ids, wal, dataDir, clock, logger };
  const recovery = stack.use(await startRecovery(shared));
  const sealer = stack.use(await startSealer({ ...shared, writer: seal.writer, holdSinceMonoUs, onDamage }));
  const sealNow = async (): Promise<void> => {
    await recovery.finished;
    await sealer.sealNow();
  };
  const claims = createSegmentClaims();
  const ledger = stack.use(openWalLedger({ ...shared, claims, sealNow, onReceipt: notBefore }));
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
