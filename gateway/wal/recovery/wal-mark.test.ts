import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openWalMark, type WalMark } from './wal-mark.ts';

let path: string;
beforeEach(() => {
  path = join(mkdtempSync(join(tmpdir(), 'firn-mark-')), 'wal.mark');
});
afterEach(() => rmSync(join(path, '..'), { recursive: true, force: true }));

const mark = (sealedSeq: number): WalMark => ({
  ...{ epoch: 1_700_000_000, sealedSeq, lastSeq: sealedSeq + 5, lastNumber: 3, open: true, condemned: false },
  unsealedSinceUs: 1_800_000_000_000_000,
  mixed: sealedSeq % 2 === 0,
});

function found(): WalMark | undefined {
  using file = openWalMark(path, 'boot');
  return file.found;
}

test('the newest mark is found again, over many openings', () => {
  expect(found()).toBeUndefined();
  for (let seq = 1; seq < 7; seq++) {
    using file = openWalMark(path, 'boot');
    file.write(mark(seq * 10));
    file.write(mark(seq * 10 + 1));
    if (seq % 2 === 0) file.write({ ...mark(seq * 10 + 2), open: false, condemned: true });
    const last = seq % 2 === 0 ? { ...mark(seq * 10 + 2), open: false, condemned: true } : mark(seq * 10 + 1);
    expect(found()).toEqual(last);
  }
});

test('a torn newest slot leaves the one before it, wherever it is torn', () => {
  {
    using file = openWalMark(path, 'boot');
    file.write(mark(1)); // block 1
    file.write(mark(2)); // block 0
  }
  const original = readFileSync(path);
  for (let at = 0; at < 64; at++) {
    const torn = Buffer.from(original);
    torn[at] = (torn[at] ?? 0) ^ 0x81;
    writeFileSync(path, torn);
    expect([at, found()]).toEqual([at, mark(1)]);
    // The next write goes over the torn one, not over the good one.
    using file = openWalMark(path, 'boot');
    file.write(mark(3));
    expect(readFileSync(path).subarray(4096, 4160)).toEqual(original.subarray(4096, 4160));
    expect(found()).toEqual(mark(3));
  }
});

test('garbage and a file cut short read as if there were none', () => {
  for (const bytes of [Buffer.alloc(9000, 7), Buffer.alloc(9000), Buffer.from('x'), Buffer.alloc(64)]) {
    writeFileSync(path, bytes);
    expect(found()).toBeUndefined();
  }
});

const progress = { epoch: 7, sealedSeq: 1, lastSeq: 99, lastNumber: 4 };

test('a note says what was committed last, and whether that is exact', () => {
  {
    using file = openWalMark(path, 'boot 1');
    file.write(mark(1));
    for (let seq = 2; seq < 100; seq++) file.writeNote({ ...progress, lastSeq: seq });
    expect(file.found).toBeUndefined(); // as it was at opening
  }
  const note = (bootId: string) => {
    using file = openWalMark(path, bootId);
    expect(file.found).toEqual(mark(1));
    return file.note;
  };
  expect(note('boot 1')).toEqual({ ...progress, exact: true });
  expect(note('boot 2')).toEqual({ ...progress, exact: false });
  expect(note('')).toEqual({ ...progress, exact: false });
});
