import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { type RecoveryRecord, recordAnomaly, recoveryJobs } from './damaged-folder.ts';

const dataDir = mkdtempSync(join(tmpdir(), 'firn-damaged-'));
afterAll(() => rmSync(dataDir, { recursive: true }));

const record: RecoveryRecord = {
  ...{
    state: 'pending',
    reasons: ['a page'],
    aside: true,
    migration: false,
    tailUnknown: false,
    mixed: true,
  },
  ...{ oldEpoch: 7, sealedSeq: 3, lastSeq: 9, fromUs: -1, toUs: 5 },
};
const job = recordAnomaly(dataDir, 8, record);
const path = join(job.folder, 'recovery.json');
const written = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;

/** The record that is read when the file has these fields. */
function readAs(fields: object): RecoveryRecord | undefined {
  writeFileSync(path, JSON.stringify(fields));
  return recoveryJobs(dataDir)[0]?.record;
}

test('a record is read as it was written; one of an earlier version is not mixed', () => {
  expect(readAs(written)).toEqual(record);
  const { mixed: _, ...earlier } = written;
  expect(readAs(earlier)).toEqual({ ...record, mixed: false });
});

test.each(Object.keys(written))('a record with a wrong %s is none', (name) => {
  for (const wrong of [null, -1.5, 'x', [1]]) expect(readAs({ ...written, [name]: wrong })).toBeUndefined();
});

test('nor is one with a field too many or too few', () => {
  expect(readAs({ ...written, more: 1 })).toBeUndefined();
  const { aside: _, ...fewer } = written;
  expect(readAs(fewer)).toBeUndefined();
});
