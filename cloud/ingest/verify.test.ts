import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { signals } from '../../lake/model/batch.ts';
import { openDuckdbWriter } from '../../lake/parquet/duckdb-writer.ts';
import { type FooterColumn, footerColumns, footerLength } from '../../lake/parquet/parquet-footer.ts';
import { openParquetjsWriter } from '../../lake/parquet/parquetjs-writer.ts';
import { tableSchemas } from '../../lake/schema/tables.ts';
import { oneRow, seriesOf } from '../../test/contract/rows.ts';
import { whyNotColumns } from './verify.ts';

const folder = mkdtempSync(join(tmpdir(), 'firn-verify-'));
afterAll(() => rmSync(folder, { recursive: true }));

function columnsIn(path: string): readonly FooterColumn[] {
  const bytes = readFileSync(path);
  const length = footerLength(bytes) ?? 0;
  return footerColumns(bytes.subarray(-8 - length, -8));
}

test.each([
  ['parquetjs', async () => openParquetjsWriter()],
  ['DuckDB', async () => openDuckdbWriter({})],
])('what %s writes is what the tables have, column by column', async (_name, open) => {
  await using writer = await open();
  for (const signal of signals) {
    const [file] = await writer.write({
      signal,
      site: 'plant',
      batches: [oneRow(5n)[signal]],
      labelsOf: (ids) => new Map([...ids].map((id) => [id, seriesOf(id)])),
      pathOf: () => join(folder, `${signal}.parquet`),
    });
    const columns = columnsIn(file?.path ?? '');
    expect(columns.map(({ name, type }) => [name, type])).toEqual(
      tableSchemas[signal].columns.map(({ name, type }) => [name, type]),
    );
    expect(whyNotColumns(signal, columns)).toBeUndefined();
  }
});

const column = (name: string, type: FooterColumn['type'], fieldId?: number): FooterColumn => ({
  name,
  type,
  fieldId,
});

test.each<[string, FooterColumn, string | undefined]>([
  ['the same type', column('series_id', 'long', 2), undefined],
  ['a narrower integer', column('series_id', 'int', 2), undefined],
  ['a narrower float', column('value', 'float', 4), undefined],
  ['a column of a newer gateway', column('unit', 'string', 99), undefined],
  ['no field ids', column('value', 'double'), undefined],
  ['text for a number', column('value', 'string', 4), "can't be read as double"],
  ['an integer that a double may not hold', column('value', 'long', 4), "can't be read as double"],
  ['a float for an integer', column('series_id', 'double', 2), "can't be read as long"],
  ['an integer for a time', column('timestamp', 'long', 3), "can't be read as timestamptz"],
  ['something else altogether', column('value', undefined, 4), "can't be read as double"],
  ['a name with the id of another', column('value', 'double', 2), 'which is that of series_id'],
  ['a name with an id of its own', column('value', 'double', 77), "the table's is 4"],
])('%s', (_what, given, why) => {
  const reason = whyNotColumns('metrics', [given]);
  if (why === undefined) expect(reason).toBeUndefined();
  else expect(reason).toContain(why);
});
