import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openTable } from '../../cloud/catalog/table.ts';
import { importBundles, type ReceiptText } from '../../cloud/ingest/import-bundles.ts';
import { startIngest } from '../../cloud/ingest/ingest.ts';
import { startSealer } from '../../gateway/seal/sealer.ts';
import { createSegmentClaims } from '../../gateway/seal/segment-claims.ts';
import { cloudKeyFile, openLocalSource } from '../../gateway/ship/export/bundle-source.ts';
import { exportToStick } from '../../gateway/ship/export/export-to-stick.ts';
import { openWalLedger } from '../../gateway/ship/export/wal-ledger.ts';
import { createLink } from '../../gateway/ship/link.ts';
import { startShipper } from '../../gateway/ship/shipper.ts';
import { openWal } from '../../gateway/wal/open-wal.ts';
import { systemClock } from '../../lake/base/clock.ts';
import { FirnError, hasCode } from '../../lake/base/errors.ts';
import { createLogger } from '../../lake/base/log.ts';
import { loadOrMakeSigner } from '../../lake/bundle/signing-key.ts';
import { openStick, type Stick } from '../../lake/bundle/stick.ts';
import { gatewayId, siteId } from '../../lake/model/ids.ts';
import { receiptKey } from '../../lake/model/keys.ts';
import { parseReceipt } from '../../lake/model/receipt.ts';
import { waitFor } from '../harness/process.ts';
import { locationOf, seededRandom, tenant } from './lake-fixtures.ts';
import { memoryStore, watchedStore } from './memory-store.ts';
import { metricsBatch } from './rows.ts';

// One gateway whose rows reach the cloud by stick, by network and by both, in any order, with sticks that are pulled
// out and left lying, and a gateway and cloud that are both the real ones. In the end each row is there once.

const ids = { tenant, site: siteId('plant'), gateway: gatewayId('gw-1') };
const logger = createLogger('silent');
const clock = systemClock;
const noonUs = 1_728_043_200_000_000n;

interface World extends AsyncDisposable {
  append(rows: number): Promise<void>;
  exportTo(stick: Stick, onlyNew?: boolean): Promise<void>;
  importFrom(stick: Stick): Promise<void>;
  /** Lets the network work until it has nothing to do, or for so many requests. */
  goOnline(requestsMax: number): Promise<void>;
  stick(name: number): Promise<Stick>;
  appended(): number;
  committedRows(): Promise<number>;
  unreceipted(): number;
}

async function openWorld(): Promise<World> {
  const folder = mkdtempSync(join(tmpdir(), 'firn-airgap-'));
  const dataDir = join(folder, 'gateway');
  for (const name of ['gateway/identity', 'cloud', 'stick0', 'stick1'])
    mkdirSync(join(folder, name), { recursive: true });
  const store = memoryStore();
  const wal = await openWal({ path: join(dataDir, 'wal.db'), clock, commitIntervalMs: 0 });
  const shared = { ...ids, wal, dataDir, clock, logger };
  const sealer = await startSealer({ ...shared, writer: 'duckdb', sealIntervalMs: 1_000_000 });
  const claims = createSegmentClaims();
  const ledger = openWalLedger({ ...shared, claims, sealNow: sealer.sealNow });
  const source = await openLocalSource({ ...shared, ledger });
  const signer = await loadOrMakeSigner(join(folder, 'cloud', 'receipt-key.pem'));
  writeFileSync(cloudKeyFile(dataDir), signer.publicKey.pem);
  const { publicKey } = await source.identity();
  const ingestNow = async (): Promise<void> => {
    await using ingest = startIngest({ store, locationOf, tenants: () => [tenant], clock, logger });
    await ingest.pollNow();
  };
  let rows = 0;
  return {
    append: async (count) => {
      const points = Array.from({ length: count }, (): [bigint, bigint, bigint] => [
        1n,
        noonUs + BigInt(rows++),
        0n,
      ]);
      await wal.append(metricsBatch(points));
    },
    exportTo: async (stick, onlyNew = false) => {
      const options = { source, stick, bundleBytesMax: 20_000, onlyNew, prune: false };
      expect((await exportToStick(options)).problems).toEqual([]);
    },
    importFrom: async (stick) => {
      const { bundles } = await importBundles({
        ...{ stick, store, tenants: [tenant], signer, workDirectory: join(folder, 'cloud'), clock },
        keyOf: () => publicKey,
        ...{ ingestNow, receiptOf: () => receiptIn(store), receiptWaitMs: 0 },
      });
      for (const { outcome, reason } of bundles)
        if (outcome === 'refused') expect(reason).toContain('it is incomplete: bundle.json is missing');
    },
    goOnline: async (requestsMax) => {
      let left = requestsMax;
      const away = (): void => {
        if (left-- <= 0)
          throw new FirnError({ code: 'unavailable', operation: '', subject: '', message: 'away' });
      };
      const link = createLink(
        { windows: [], bytesPerSecondMax: 0, bytesPerDayMax: 0, metered: false, meteredIntervalMs: 1 },
        clock,
        undefined,
      );
      await using shipper = startShipper({
        ...{ ...shared, store: watchedStore(store, away), claims, seals: sealer, link },
        ...{ retryMinMs: 1, retryMaxMs: 2, unreachedRetryMaxMs: 2, receiptIntervalMs: 1_000_000 },
      });
      await waitFor('the network', 20_000, async () =>
        left < 0 || shipper.status.backlog.segments === 0 ? true : undefined,
      );
      await shipper[Symbol.asyncDispose]();
      await ingestNow();
    },
    stick: (name) => openStick(join(folder, `stick${name}`)),
    appended: () => rows,
    committedRows: async () => {
      const table = openTable({ store, tenant, signal: 'metrics', locationOf, clock });
      const manifests = await table.manifestsOf(await table.load());
      const entries = (await Promise.all(manifests.map((manifest) => table.entriesOf(manifest)))).flat();
      expect(new Set(entries.map(({ file }) => file.path)).size).toBe(entries.length);
      return entries.reduce((sum, { file }) => sum + file.rows, 0);
    },
    unreceipted: () => [...ledger.shipments()].length,
    [Symbol.asyncDispose]: async () => {
      ledger[Symbol.dispose]();
      await sealer[Symbol.asyncDispose]();
      await wal[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function receiptIn(store: ReturnType<typeof memoryStore>): Promise<ReceiptText | undefined> {
  const key = receiptKey(tenant, ids.gateway);
  try {
    const text = Buffer.from((await store.get(key)).body).toString();
    const { epoch, number, refused } = parseReceipt(text, key);
    return { epoch, number, refused, text };
  } catch (error) {
    if (hasCode(error, 'not-found')) return undefined;
    throw error;
  }
}

/** The same stick, pulled out after so many writes. */
function pulledOutAfter(stick: Stick, writes: number): Stick {
  let left = writes;
  return {
    ...stick,
    write: async (name, chunks) => {
      if (left-- <= 0) throw new Error('pulled out');
      return stick.write(name, chunks);
    },
  };
}

const firstSeed = Number(process.env.FIRN_SEED ?? 1);
const runs = 6;

test('by stick, by network and by both, in any order: each row once', { timeout: 240_000 }, async () => {
  for (let seed = firstSeed; seed < firstSeed + runs; seed++) {
    const random = seededRandom(seed);
    const below = (limit: number): number => Math.floor(random() * limit);
    await using world = await openWorld();
    const steps: string[] = [];
    const say = `seed ${seed}: `;
    for (let step = 0; step < 14; step++) {
      const stick = await world.stick(below(2));
      const kinds = ['append', 'append', 'export', 'new', 'pulled', 'import', 'import', 'online'] as const;
      const kind = kinds[below(kinds.length)] ?? 'append';
      steps.push(kind);
      if (kind === 'append') await world.append(1 + below(400));
      if (kind === 'export') await world.exportTo(stick);
      if (kind === 'new') await world.exportTo(stick, true);
      if (kind === 'pulled')
        await world
          .exportTo(pulledOutAfter(stick, below(6)))
          .catch((error: unknown) => expect(String(error)).toContain('pulled out'));
      if (kind === 'import') await world.importFrom(stick);
      if (kind === 'online') await world.goOnline(below(8));
      expect(await world.committedRows(), say + steps).toBeLessThanOrEqual(world.appended());
    }
    await world.append(10);
    const [last, other] = [await world.stick(0), await world.stick(1)];
    await world.exportTo(last);
    await world.exportTo(other);
    await world.importFrom(last);
    await world.importFrom(other);
    expect(await world.committedRows(), say + steps).toBe(world.appended());
    await world.exportTo(last); // takes the receipt
    expect(world.unreceipted(), say + steps).toBe(0);
  }
  console.log(`air gap: ${runs} runs from seed ${firstSeed}`);
});
