import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, onTestFinished, test } from 'vitest';
import {
  contentsOf,
  draftOf,
  putBundle,
  type StickFixture,
  segmentsOf,
  stickFixture,
} from '../../test/contract/bundles.ts';
import { seededRandom, tenant } from '../../test/contract/lake-fixtures.ts';
import { type MadeShipment, madeShipment } from '../../test/contract/shipments.ts';
import { findProgram } from '../../test/harness/programs.ts';
import { FirnError, messageOf } from '../base/errors.ts';
import { printManifest } from '../model/manifest.ts';
import { bundleLimits, printBundleIndex } from './bundle-index.ts';
import { draftBundle } from './draft-bundle.ts';
import { type KeyOf, listBundles, readBundle } from './read-bundle.ts';
import { openReceiptFile, receiptFile, writeReceiptFile } from './receipt-file.ts';
import { loadOrMakeSigner, parsePublicKey } from './signing-key.ts';
import type { Stick } from './stick.ts';
import { spaceNeededBytes, writeBundle } from './write-bundle.ts';

async function fixture(): Promise<StickFixture> {
  const made = await stickFixture();
  onTestFinished(() => made[Symbol.asyncDispose]());
  return made;
}

const call = (program: string, ...args: readonly string[]): string => execFileSync(program, args).toString();

const trusting =
  ({ signer }: StickFixture): KeyOf =>
  () =>
    signer.publicKey;

const shipmentsOf = (...numbers: readonly number[]): MadeShipment[] =>
  numbers.map((number) => madeShipment({ gateway: 'gw-1', number, signals: ['metrics', 'logs'] }));

test('what is written is read, in bundles of bounded size', { timeout: 120_000 }, async () => {
  const made = await fixture();
  const runs = fc.array(
    fc.record({ first: fc.integer({ min: 1, max: 1e9 }), count: fc.integer({ min: 1, max: 6 }) }),
    {
      minLength: 1,
      maxLength: 3,
    },
  );
  await fc.assert(
    fc.asyncProperty(runs, fc.integer({ min: 1, max: 5000 }), async (ranges, bytesMax) => {
      const shipments = ranges.flatMap(({ first, count }, at) =>
        Array.from({ length: count }, (_, more) =>
          madeShipment({
            gateway: 'gw-1',
            epoch: at + 1,
            number: first + more,
            signals: ['metrics', 'logs'],
          }),
        ),
      );
      await rm(made.path, { recursive: true });
      await mkdir(made.path);
      for (let rest = shipments; rest.length > 0; ) {
        const draft = draftOf(rest, made.signer, bytesMax);
        const bytes = [...draft.index.manifests, ...draft.index.segments].reduce(
          (sum, each) => sum + each.bytes,
          0,
        );
        if (draft.manifests.length > 1) expect(bytes).toBeLessThanOrEqual(bytesMax);
        await writeBundle(made.stick, draft, segmentsOf(shipments));
        rest = rest.slice(draft.manifests.length);
      }
      const read = [];
      for (const name of await listBundles(made.path)) {
        const bundle = await readBundle(join(made.path, name), trusting(made));
        const uploads = bundle.shipments.map(({ body }) => body.toString());
        const segments = await Promise.all(
          bundle.segments.map(async ({ path, segment }) => [segment.key, (await readFile(path)).toString()]),
        );
        read.push(...uploads, ...segments);
      }
      const written = shipments.flatMap(({ manifest, uploads }) => [
        printManifest(manifest),
        ...uploads.slice(0, -1).map(({ key, body }) => [key, Buffer.from(body).toString()]),
      ]);
      const sorted = (list: readonly unknown[]): string[] => list.map((each) => JSON.stringify(each)).sort();
      expect(sorted(read)).toEqual(sorted(written));
    }),
    { numRuns: 10 },
  );
});

test('every file that is flipped, cut, grown or gone is found, whichever it is', async () => {
  const made = await fixture();
  const name = await putBundle(made, shipmentsOf(1, 2));
  const path = join(made.path, name);
  const before = await contentsOf(path);
  expect([...before.keys()].sort()).toEqual([
    'bundle.json',
    'bundle.sig',
    'manifests/000001.json',
    'manifests/000002.json',
    ...[1, 2, 3, 4].map((number) => `segments/00000${number}.parquet`),
  ]);
  const seed = 1;
  const random = seededRandom(seed);
  const damages: Record<string, (file: string, body: Buffer) => Promise<void>> = {
    flipped: (file, body) => {
      const copy = Buffer.from(body);
      const at = Math.floor(random() * copy.length);
      copy[at] = (copy[at] ?? 0) ^ (1 << Math.floor(random() * 8));
      return writeFile(file, copy);
    },
    cut: (file, body) => truncate(file, body.length - 1),
    empty: (file) => truncate(file, 0),
    grown: (file, body) => writeFile(file, Buffer.concat([body, Buffer.from(' ')])),
    gone: (file) => rm(file),
    zeroed: (file, body) => writeFile(file, Buffer.alloc(body.length)),
  };
  for (const [file, body] of before) {
    for (const [how, damage] of Object.entries(damages)) {
      await damage(join(path, file), body);
      const error: unknown = await readBundle(path, trusting(made)).then(
        () => `${how} ${file} was not found`,
        (thrown: unknown) => thrown,
      );
      expect(error, `${how} ${file}, seed ${seed}`).toBeInstanceOf(FirnError);
      expect(['corrupt', 'invalid', 'denied'], `${how} ${file}, seed ${seed}`).toContain(
        (error as FirnError).code,
      );
      if (how === 'gone') expect(messageOf(error)).toBe(`it is incomplete: ${file} is missing`);
      await writeFile(join(path, file), body);
    }
  }
  expect((await readBundle(path, trusting(made))).shipments).toHaveLength(2);
});

test('only the trusted key counts, whatever the index says of itself', async () => {
  const made = await fixture();
  const other = await loadOrMakeSigner(join(made.path, '..', 'other', 'key.pem'));
  const path = join(made.path, await putBundle(made, shipmentsOf(1)));
  await expect(readBundle(path, () => other.publicKey)).rejects.toMatchObject({
    code: 'denied',
    message: `it is signed by the key ${made.signer.publicKey.fingerprint}, not by ${other.publicKey.fingerprint}, which is trusted for gateway gw-1`,
  });
  // Somebody else's signature under our fingerprint.
  const index = await readFile(join(path, 'bundle.json'));
  await writeFile(join(path, 'bundle.sig'), other.sign(index));
  await expect(readBundle(path, trusting(made))).rejects.toMatchObject({
    code: 'denied',
    message: expect.stringContaining('its signature is wrong'),
  });
  // The right signature of another bundle.
  const second = join(made.path, await putBundle(made, shipmentsOf(2)));
  await writeFile(join(path, 'bundle.sig'), await readFile(join(second, 'bundle.sig')));
  await expect(readBundle(path, trusting(made))).rejects.toMatchObject({ code: 'denied' });
});

/** A bundle whose index and manifest say what they like, properly signed: a gateway gone bad. */
async function evilBundle(
  { path, signer }: StickFixture,
  change: (shipment: MadeShipment) => MadeShipment['manifest'],
  key?: string,
): Promise<string> {
  const shipment = madeShipment({ gateway: 'gw-1', number: 1 });
  const manifest = change(shipment);
  const numbered = { epoch: 1, number: 1, manifest: printManifest(manifest) };
  const ids = { tenant, site: 'plant', gateway: 'gw-1' };
  const draft = draftBundle([numbered], { ...ids, signer, createdUs: 1, bytesMax: 1e9 });
  if (!draft) throw new Error('no draft');
  const segments = draft.index.segments.map((segment) => ({ ...segment, key: key ?? segment.key }));
  const indexText = printBundleIndex({ ...draft.index, segments });
  const folder = join(path, 'firn_acme_gw-1_1_1-1');
  await mkdir(join(folder, 'manifests'), { recursive: true });
  await mkdir(join(folder, 'segments'), { recursive: true });
  await writeFile(join(folder, 'manifests', '000001.json'), numbered.manifest);
  await writeFile(join(folder, 'segments', '000001.parquet'), shipment.uploads[0]?.body ?? '');
  await writeFile(join(folder, 'bundle.json'), indexText);
  await writeFile(join(folder, 'bundle.sig'), signer.sign(Buffer.from(indexText)));
  return folder;
}

const withKey =
  (from: string, to: string) =>
  ({ manifest }: MadeShipment): MadeShipment['manifest'] => ({
    ...manifest,
    segments: manifest.segments.map((segment) => ({ ...segment, key: segment.key.replace(from, to) })),
  });

const evil: Record<string, (made: StickFixture) => Promise<string>> = {
  'is not a segment below acme/inbox/gw-1/segments/metrics/': (made) =>
    evilBundle(made, withKey('metrics/', 'metrics/../../../../victim/inbox/gw-1/segments/metrics/')),
  'victim/inbox': (made) => evilBundle(made, withKey('acme/', 'victim/')),
  'gw-2/segments': (made) => evilBundle(made, withKey('gw-1/', 'gw-2/')),
  'is not a segment below acme/inbox/gw-1/segments': (made) =>
    evilBundle(made, withKey('segments/metrics/', 'manifests/')),
  'says tenant "victim", not "acme"': (made) =>
    evilBundle(made, ({ manifest }) => ({ ...manifest, tenant: 'victim' })),
  'says gateway "gw-2", not "gw-1"': (made) =>
    evilBundle(made, ({ manifest }) => ({ ...manifest, gateway: 'gw-2' })),
  'says number 2, not 1': (made) => evilBundle(made, ({ manifest }) => ({ ...manifest, number: 2 })),
  'says epoch 3, not 1': (made) => evilBundle(made, ({ manifest }) => ({ ...manifest, epoch: 3 })),
  'site id "../x" is not valid': (made) =>
    evilBundle(made, ({ manifest }) => ({ ...manifest, site: '../x' })),
  'which is not in the bundle like that': (made) => evilBundle(made, ({ manifest }) => manifest, '../../x'),
};

test.each(Object.entries(evil))('a signed bundle is refused when it %s', async (message, make) => {
  const made = await fixture();
  const folder = await make(made);
  await expect(readBundle(folder, trusting(made))).rejects.toMatchObject({
    code: 'invalid',
    message: expect.stringContaining(message),
  });
});

test('an index that is too large, or no index at all, is refused before it is believed', async () => {
  const made = await fixture();
  const path = join(made.path, await putBundle(made, shipmentsOf(1)));
  const index = await readFile(join(path, 'bundle.json'), 'utf8');
  const padded = index.trimEnd().padEnd(bundleLimits.indexBytesMax + 1);
  await writeFile(join(path, 'bundle.json'), padded);
  await writeFile(join(path, 'bundle.sig'), made.signer.sign(Buffer.from(padded)));
  await expect(readBundle(path, trusting(made))).rejects.toThrow(/4194305 bytes, more than 4194304/);
  for (const wrong of [
    index.replace('"format":1', '"format":2'),
    index.replace('"last":1', '"last":2'),
    index.replace(/"tenant":"[^"]+"/, '"tenant":"../x"'),
    index.replace('"kind"', '"kinds"'),
    'rubbish',
  ]) {
    await writeFile(join(path, 'bundle.json'), wrong);
    await writeFile(join(path, 'bundle.sig'), made.signer.sign(Buffer.from(wrong)));
    await expect(readBundle(path, trusting(made))).rejects.toMatchObject({ code: 'invalid' });
  }
});

test('links and pipes on a stick are not followed', async () => {
  const made = await fixture();
  const path = join(made.path, await putBundle(made, shipmentsOf(1)));
  const file = join(path, 'segments', '000001.parquet');
  await rename(file, join(made.path, 'elsewhere'));
  await symlink(join(made.path, 'elsewhere'), file);
  await expect(readBundle(path, trusting(made))).rejects.toThrow(/it is not a file/);
  await rm(file);
  call('mkfifo', file);
  await expect(readBundle(path, trusting(made))).rejects.toThrow(/it is not a file/);
  await symlink(made.path, join(made.path, 'firn_acme_gw-1_9_1-1'));
  expect(await listBundles(made.path)).toHaveLength(1);
});

/** A stick that is pulled out at a step; what was not flushed by then is gone or torn. */
function pulledOut(
  stick: Stick,
  step: number,
  how: 'before' | 'torn' | 'after',
): Stick & { readonly steps: () => number } {
  let at = 0;
  const call =
    <A extends unknown[], R>(fn: (...args: A) => Promise<R>, torn?: (...args: A) => Promise<unknown>) =>
    async (...args: A): Promise<R> => {
      const now = at++;
      if (now > step) throw new Error('no stick');
      if (now < step) return fn(...args);
      if (how === 'after') await fn(...args);
      if (how === 'torn') await torn?.(...args);
      throw new Error('pulled out');
    };
  return {
    path: stick.path,
    space: stick.space,
    steps: () => at,
    makeFolder: call(stick.makeFolder),
    write: call(stick.write, (name) => stick.write(name, [randomBytes(10)])),
    rename: call(stick.rename),
    syncFolder: call(stick.syncFolder),
    remove: call(stick.remove, (name) => stick.remove(`${name}/segments`)),
  };
}

test('a stick that is pulled out at any step shows no bundle that looks whole, and is written again', {
  timeout: 120_000,
}, async () => {
  const shipments = shipmentsOf(1, 2);
  const counting = await fixture();
  const whole = pulledOut(counting.stick, Number.POSITIVE_INFINITY, 'after');
  await writeBundle(whole, draftOf(shipments, counting.signer), segmentsOf(shipments));
  const steps = whole.steps();
  expect(steps).toBeGreaterThan(15);
  let incomplete = 0;
  for (const how of ['before', 'torn', 'after'] as const) {
    for (let step = 0; step < steps; step++) {
      await using made = await stickFixture();
      const draft = draftOf(shipments, made.signer);
      // Half of the time over an older bundle of the same name, whose segments are other ones.
      if (step % 2 === 0) await writeBundle(made.stick, draft, segmentsOf(shipments));
      const stick = pulledOut(made.stick, step, how);
      await expect(writeBundle(stick, draft, segmentsOf(shipments))).rejects.toThrow('pulled out');
      for (const name of await listBundles(made.path)) {
        const error = await readBundle(join(made.path, name), trusting(made)).catch(
          (thrown: unknown) => thrown,
        );
        // Whole: from the old bundle that was not touched yet, or because the index was there.
        if (error instanceof FirnError) incomplete++;
        else expect(error).toMatchObject({ shipments: [{}, {}] });
      }
      await writeBundle(made.stick, draft, segmentsOf(shipments));
      const [name = ''] = await listBundles(made.path);
      expect((await readBundle(join(made.path, name), trusting(made))).shipments).toHaveLength(2);
      expect(await made.files()).toHaveLength(8);
    }
  }
  expect(incomplete).toBeGreaterThan(steps);
});

test('a segment whose bytes are not those of its manifest never gets an index', async () => {
  const made = await fixture();
  const shipments = shipmentsOf(1);
  const draft = draftOf(shipments, made.signer);
  async function* wrong(): AsyncGenerator<Uint8Array> {
    yield Buffer.from('not what was sealed');
  }
  await expect(writeBundle(made.stick, draft, wrong)).rejects.toMatchObject({
    code: 'corrupt',
    subject: draft.index.segments[0]?.key,
  });
  expect(await made.files()).not.toContain('firn_acme_gw-1_1_1-1/bundle.json');
});

test('a bundle needs whole blocks, and no more files than FAT32 can list', async () => {
  const made = await fixture();
  const draft = draftOf(shipmentsOf(1), made.signer);
  expect(spaceNeededBytes(draft, 32_768)).toBe((3 + 1 + 5) * 32_768 + 1024 * 1024);
  const many = Array.from({ length: 2000 }, (_, at) =>
    madeShipment({ gateway: 'gw-1', number: at + 1, signals: ['metrics', 'logs'] }),
  );
  const { index } = draftOf(many, made.signer);
  expect(index.manifests.length + index.segments.length).toBe(Math.floor(bundleLimits.filesMax / 3) * 3);
  const large = madeShipment({ gateway: 'gw-1', number: 1 });
  const manifest = {
    ...large.manifest,
    segments: large.manifest.segments.map((segment) => ({ ...segment, bytes: 2 ** 32 })),
  };
  expect(() => draftOf([{ ...large, manifest }], made.signer)).toThrow(/larger than a file on FAT32/);
});

test('a key is made once, is private, and is read in each form that it is printed in', async () => {
  const made = await fixture();
  const path = join(made.path, '..', 'new', 'key.pem');
  const all = await Promise.all([1, 2, 3].map(() => loadOrMakeSigner(path)));
  const prints = all.map(({ publicKey }) => publicKey.fingerprint);
  expect(new Set(prints).size).toBe(1);
  expect(call('stat', '-c', '%a', path).trim()).toBe('600');
  const { pem, fingerprint } = all[0]?.publicKey ?? made.signer.publicKey;
  const base64 = pem.replace(/-----[^-]+-----|\s/g, '');
  const raw = Buffer.from(base64, 'base64').subarray(-32).toString('base64');
  for (const text of [pem, `\n${pem}`, base64, raw])
    expect(parsePublicKey(text, 'key').fingerprint).toBe(fingerprint);
  for (const text of ['', 'rubbish!', 'AAAA', await readFile(path, 'utf8')])
    expect(() => parsePublicKey(text, 'key'), text).toThrow(/doesn't hold an Ed25519 public key/);
  await writeFile(path, 'torn');
  await expect(loadOrMakeSigner(path)).rejects.toMatchObject({ code: 'corrupt' });
});

test.skipIf(findProgram('openssl') === undefined)('openssl agrees with the signature', async () => {
  const made = await fixture();
  const path = join(made.path, await putBundle(made, shipmentsOf(1)));
  const key = join(made.path, 'key.pem');
  await writeFile(key, made.signer.publicKey.pem);
  const args = ['pkeyutl', '-verify', '-pubin', '-inkey', key, '-rawin'];
  const files = ['-in', join(path, 'bundle.json'), '-sigfile', join(path, 'bundle.sig')];
  expect(call('openssl', ...args, ...files)).toContain('Signature Verified Successfully');
});

test('a receipt is believed only from the trusted cloud', async () => {
  const made = await fixture();
  const cloud = await loadOrMakeSigner(join(made.path, '..', 'cloud', 'receipt-key.pem'));
  const text = '{"number":5}\n';
  const name = await writeReceiptFile(made.stick, { tenant, gateway: 'gw-1', text }, cloud);
  expect([name, await made.files()]).toEqual([receiptFile(tenant, 'gw-1'), [name]]);
  const file = await readFile(join(made.path, name), 'utf8');
  expect(openReceiptFile(file, cloud.publicKey)).toBe(text);
  expect(() => openReceiptFile(file, undefined)).toThrow(/trusts no cloud yet/);
  expect(() => openReceiptFile(file, made.signer.publicKey)).toThrow(/but this gateway trusts/);
  const forged = file.replace(':5}', ':9}');
  expect(() => openReceiptFile(forged, cloud.publicKey)).toThrow(/its signature is wrong/);
  for (const rubbish of ['', '{}', file.slice(0, -20)])
    expect(() => openReceiptFile(rubbish, cloud.publicKey)).toThrow(/it is not a receipt/);
});
