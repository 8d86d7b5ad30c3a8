import type { FieldCondition, LinesRequest } from '../../logql/source.ts';
import { trigramsNote } from '../../parquet/trigrams.ts';
import { chargeBytes } from '../charge-bytes.ts';
import type { AttributesReader, GroupAttributes } from './attributes.ts';
import { type FieldTest, surelyFails } from './json-fields.ts';
import type { LogGroup } from './log-file.ts';
import { compileSearch, type LineSearch } from './search.ts';
import type { Piece } from './select.ts';
import { entryOf, noEntry, type TextPage } from './text-page.ts';

// The rows of a piece whose lines pass what was pushed down.

export interface RowMatcher {
  /** Whether the row group may have any. */
  mayMatch(group: LogGroup): boolean;
  /** Rows of [from, to) of the piece that match; `page` is undefined where lines are not looked at. */
  rows(piece: Piece, page: TextPage | undefined, from: number, to: number): Uint32Array;
  /** Lines have to be read to know. */
  readonly readsLines: boolean;
}

export function rowMatcher(
  request: Pick<LinesRequest, 'lineFilters' | 'fieldConditions' | 'stats' | 'bytesMax'>,
  attributes: AttributesReader,
): RowMatcher {
  const { lineFilters, fieldConditions = [], stats } = request;
  const search = compileSearch(lineFilters);
  const fields = fieldConditions.map((condition) => ({ ...condition, fails: surelyFails(condition) }));
  return {
    readsLines: !search.passesAll || fields.length > 0,
    mayMatch: (group) => mayMatch(search, group),
    rows: (piece, page, from, to) => {
      stats.lines += to - from;
      if (page === undefined) return Uint32Array.from({ length: to - from }, (_, index) => from + index);
      chargeBytes(request, (page.entries.body.byteLength * (to - from)) / Math.max(1, page.rows));
      const rows = search.rows(page, from, to);
      // A stream's own label comes before a field of that name.
      const asked = fields.filter(({ field }) => !piece.stream.labels.has(field));
      if (asked.length === 0) return rows;
      const ofGroup = attributes.of(piece.group);
      return rows.filter((row) => !fieldsFail(asked, page, row, ofGroup));
    },
  };
}

function mayMatch(search: LineSearch, group: LogGroup): boolean {
  if (search.passesAll) return true;
  const trigrams = group.note('line', trigramsNote);
  return trigrams === undefined || search.mayPass(trigrams);
}

function fieldsFail(
  fields: readonly (FieldCondition & { readonly fails: FieldTest })[],
  page: TextPage,
  row: number,
  attributes: GroupAttributes,
): boolean {
  const { entries } = page;
  const entry = entryOf(page, row);
  if (entry === noEntry) return false;
  const starts = entries.starts();
  const [start, end] = [(starts[entry] ?? 0) + 4, starts[entry + 1] ?? 0];
  return fields.some(
    ({ field, fails }) => fails(entries.body, start, end) && !attributes.text(row)?.includes(`${field}"`),
  );
}
