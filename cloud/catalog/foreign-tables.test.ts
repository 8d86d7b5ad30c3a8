import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { hasCode } from '../../lake/base/errors.ts';
import { type ManifestEntry, parseManifestFile } from './manifest-file.ts';
import { type ManifestFile, parseManifestList } from './manifest-list.ts';
import { parseMetadata } from './metadata.ts';

// Tables that Spark, pyiceberg and others have written: versions 1 to 3, every kind of partition, deletes, no statistics.
// Everything that Firn can read of them has to add up; what it can't has to say so.

const corpus = join(
  import.meta.dirname,
  '../../../shared/corpora/iceberg/dev/duckdb-iceberg/data/persistent',
);

interface Found {
  readonly snapshots: number;
  readonly files: number;
  readonly deletes: number;
}

/** Reads the snapshots of a metadata file as far as its manifests are beside it. */
function readTable(path: string): Found {
  const metadata = parseMetadata(readFileSync(path, 'utf8'), path);
  const bytesOf = (location: string): Uint8Array | undefined => {
    const beside = join(dirname(path), basename(location));
    return existsSync(beside) ? readFileSync(beside) : undefined;
  };
  let [snapshots, files, deletes] = [0, 0, 0];
  for (const { manifestList } of metadata.snapshots) {
    const list = bytesOf(manifestList);
    if (!list) continue;
    snapshots++;
    for (const manifest of parseManifestList(list, manifestList)) {
      const bytes = bytesOf(manifest.path);
      if (!bytes) continue;
      if (manifest.content === 'deletes') deletes++;
      files += entriesOf(manifest, bytes).length;
    }
  }
  return { snapshots, files, deletes };
}

function entriesOf(manifest: ManifestFile, bytes: Uint8Array): readonly ManifestEntry[] {
  const inherited = { snapshotId: manifest.addedSnapshotId, sequenceNumber: manifest.sequenceNumber };
  try {
    const entries = parseManifestFile(bytes, manifest.path, inherited);
    expect(entries.length, manifest.path).toBe(manifest.addedFiles + manifest.existingFiles);
    const rows = entries.reduce((sum, { file }) => sum + file.rows, 0);
    expect(rows, manifest.path).toBe(manifest.addedRows + manifest.existingRows);
    for (const { file } of entries)
      expect(file).toMatchObject({ path: expect.stringContaining('/'), format: 'PARQUET' });
    return entries;
  } catch (error) {
    // Files of deletes are refused by name, never taken for data.
    if (manifest.content === 'deletes' && hasCode(error, 'unsupported')) return [];
    throw error;
  }
}

test.skipIf(!existsSync(corpus))(
  'tables of other engines are read, file by file (skipped without the corpora)',
  () => {
    const paths = readdirSync(corpus, { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.metadata.json') && !path.startsWith('bad_data'))
      .sort();
    expect(paths.length).toBeGreaterThan(40);
    const total = { snapshots: 0, files: 0, deletes: 0 };
    for (const path of paths) {
      if (readFileSync(join(corpus, path), 'utf8').includes('"manifests"')) {
        // Its snapshot has no manifest list, as only version 1 lets it.
        expect(() => readTable(join(corpus, path))).toThrow(expect.objectContaining({ code: 'unsupported' }));
        continue;
      }
      const found = readTable(join(corpus, path));
      total.snapshots += found.snapshots;
      total.files += found.files;
      total.deletes += found.deletes;
    }
    expect(total.snapshots).toBeGreaterThan(25);
    expect(total.files).toBeGreaterThan(40);
    expect(total.deletes).toBeGreaterThan(1);
  },
);
