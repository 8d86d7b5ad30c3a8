import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '../../lake/base/clock.ts';
import { type Command, jsonFlag, runCommand } from '../../lake/base/command.ts';
import { FirnError, hasCode } from '../../lake/base/errors.ts';
import { createLogger } from '../../lake/base/log.ts';
import { openStick } from '../../lake/bundle/stick.ts';
import type { TenantId } from '../../lake/model/ids.ts';
import { receiptKey } from '../../lake/model/keys.ts';
import type { ReceiptForm } from '../../lake/model/receipt.ts';
import type { ObjectStore } from '../../lake/object-store/object-store.ts';
import { openObjectStore } from '../../lake/object-store/open.ts';
import { openAuthority } from '../../provisioning/authority-files.ts';
import { headsOf } from '../catalog/rest/heads.ts';
import { type CloudConfig, cloudSettings, loadCloudConfig } from '../config.ts';
import { receiptsSignedBy } from '../fleet/receipts.ts';
import {
  type ImportedBundle,
  type ImportResult,
  importBundles,
  type ReceiptText,
} from '../ingest/import-bundles.ts';
import { type IngestOptions, startIngest } from '../ingest/ingest.ts';
import { openGatewayKeys } from '../tenants/gateway-keys.ts';
import { openTenantStore } from '../tenants/tenant-store.ts';
import { receiptSigner } from './ship-cloud-key.ts';

const command: Command = {
  name: 'firn ship import',
  about:
    'In the cloud: takes what gateways have exported to a stick, each row exactly once, and leaves a signed receipt on it for each of them. Works beside a cloud that runs and without one. Give it the configuration of the cloud.',
  flags: [jsonFlag],
  positionals: ['DIR'],
  settings: cloudSettings,
};

/** For a cloud that runs to write the receipt of what it has just committed. */
const receiptWaitMs = 15_000;

export function main(argv: readonly string[]): Promise<number> {
  return runCommand(command, argv, async (line) => {
    const [directory = ''] = line.positionals;
    const result = await importStick(loadCloudConfig(line.rest), directory);
    if (line.isSet('--json')) process.stdout.write(`${JSON.stringify(result)}\n`);
    else print(directory, result);
    const whole = result.bundles.every(({ outcome }) => outcome === 'committed');
    return whole && result.problems.length === 0 ? 0 : 1;
  });
}

async function importStick(config: CloudConfig, directory: string): Promise<ImportResult> {
  const stick = await openStick(directory);
  const logger = createLogger(config.logLevel === 'info' ? 'warn' : config.logLevel).with({ part: 'import' });
  const tenants = await tenantsOf(config);
  if (tenants.length === 0) throw noTenants(config.dataDir);
  const keys = openGatewayKeys(config.dataDir);
  const workDirectory = join(config.dataDir, 'import');
  mkdirSync(workDirectory, { recursive: true });
  const { authorityDir } = config.fleet;
  const receipts = receiptsSignedBy(await openAuthority(authorityDir, systemClock.nowMs(), logger));
  const { store, locationOf } = await openObjectStore(config.store);
  const headOf = headsOf(config.catalog, systemClock);
  try {
    return await importBundles({
      ...{ stick, store, tenants, workDirectory, receiptWaitMs, clock: systemClock },
      keyOf: keys.keyOf,
      signer: await receiptSigner(config.dataDir),
      ingestNow: (names) =>
        ingestOnce({
          ...{ store, locationOf, headOf, logger, receipts, tenants: () => names, clock: systemClock },
        }),
      receiptOf: (tenant, gateway) => readReceipt(store, receipts, tenant, gateway),
    });
  } finally {
    store.close();
  }
}

async function tenantsOf({ dataDir, tenantsDatabase }: CloudConfig): Promise<readonly TenantId[]> {
  await using store = await openTenantStore({ directory: dataDir, database: tenantsDatabase });
  return store.tenants();
}

/** The same work that a running cloud does; whoever is first commits, and the other finds it done. */
async function ingestOnce(options: IngestOptions): Promise<void> {
  await using ingest = startIngest(options);
  await ingest.pollNow();
}

async function readReceipt(
  store: ObjectStore,
  receipts: ReceiptForm,
  tenant: TenantId,
  gateway: string,
): Promise<ReceiptText | undefined> {
  const key = receiptKey(tenant, gateway);
  try {
    const text = Buffer.from((await store.get(key)).body).toString();
    const { epoch, number, refused } = receipts.parse(text, key, { tenant, gateway });
    return { epoch, number, refused, text };
  } catch (error) {
    // Or somebody else's, until the ingest has written its own over it.
    if (hasCode(error, 'not-found') || hasCode(error, 'denied') || hasCode(error, 'invalid'))
      return undefined;
    throw error;
  }
}

/** Good news on standard output, one line each; the rest on standard error. */
function print(directory: string, { bundles, receipts, problems }: ImportResult): void {
  if (bundles.length === 0) process.stdout.write(`there is no bundle on ${directory}\n`);
  for (const bundle of bundles)
    (bundle.outcome === 'committed' ? process.stdout : process.stderr).write(lineOf(bundle));
  for (const { gateway, number, file } of receipts)
    process.stdout.write(`${file}: receipt for gateway ${gateway} up to shipment ${number}; carry it back\n`);
  for (const problem of problems) process.stderr.write(`${problem}\n`);
}

function lineOf({ folder, outcome, shipments, reason, hint }: ImportedBundle): string {
  if (outcome === 'committed')
    return `${folder}: ${shipments === 0 ? 'was committed before' : `committed, ${shipments} shipments new`}\n`;
  return `${folder}: ${outcome}: ${reason}${hint === undefined ? '' : `\n  ${hint}`}\n`;
}

function noTenants(dataDir: string): FirnError {
  return new FirnError({
    code: 'invalid',
    operation: 'import stick',
    subject: dataDir,
    message: `there is no tenant in ${dataDir}`,
    hint: 'give the data folder of your cloud with --data-dir DIR (or --config FILE), and start the cloud once to make its tenants',
  });
}
