import type { FieldCondition, LinesRequest } from '../../logql/source.ts';
import { trigramsBytes, trigramsNote } from '../../parquet/trigrams.ts';
import { chargeBytes } from '../charge-bytes.ts';
import type { AttributesReader, GroupAttributes } from './attributes.ts';
import { type FieldTest, surelyFails } from './json-fields.ts';
import type { LogGroup } from './log-file.ts';
import { allRows, allTexts, compileSearch, type LineSearch } from './search.ts';
import type { Piece } from './select.ts';
import { bytesOfRows, type Entries, entryOf, noEntry, type TextPage } from './text-page.ts';

// The rows of a piece whose lines pass what was pushed down.

export interface RowMatcher {
  /** Whether the row group may have any. */
  mayMatch(group: LogGroup): boolean;
  /** Whether a page of its lines may, by its place among them. */
  pageMayMatch(group: LogGroup, page: number): boolean;
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
  const ofPages = textsOfPages(search);
  const fields = fieldConditions.map((condition) => ({ ...condition, fails: surelyFails(condition) }));
  return {
    readsLines: !search.passesAll || fields.length > 0,
    mayMatch: (group) => ofPages(group)?.some((texts) => texts !== 0) ?? true,
    pageMayMatch: (group, page) => ofPages(group)?.[page] !== 0,
    rows: (piece, page, from, to) => {
      stats.lines += to - from;
      if (page === undefined) return allRows(from, to);
      chargeBytes(request, bytesOfRows(page, from, to));
      const number = piece.group.pages('line').findIndex(({ firstRow }) => firstRow === page.firstRow);
      const rows = search.rows(page, from, to, ofPages(piece.group)?.[number] ?? allTexts);
      // A stream's own label comes before a field of that name.
      const asked = fields.filter(({ field }) => !piece.stream.labels.has(field));
      return asked.length === 0 ? rows : keptRows(rows, asked, page, attributes.of(piece.group));
    },
  };
}

/** For each page of a group's lines which texts it may have (LineSearch.textsOf); undefined where that is not known. */
function textsOfPages(search: LineSearch): (group: LogGroup) => Int32Array | undefined {
  const known = new WeakMap<LogGroup, { readonly pages: Int32Array | undefined }>();
  const read = (group: LogGroup): Int32Array | undefined => {
    const sets = search.passesAll ? undefined : group.note('line', trigramsNote);
    if (sets === undefined) return undefined;
    return Int32Array.from({ length: sets.byteLength / trigramsBytes }, (_, page) =>
      search.textsOf(sets.subarray(page * trigramsBytes, (page + 1) * trigramsBytes)),
    );
  };
  return (group) => {
    const found = known.get(group) ?? { pages: read(group) };
    known.set(group, found);
    return found.pages;
  };
}

interface AskedField extends FieldCondition {
  readonly fails: (entries: Entries) => FieldTest;
}

/** The rows whose fields do not surely fail. What their metadata has of such a name comes before a field. */
function keptRows(
  rows: Uint32Array,
  fields: readonly AskedField[],
  page: TextPage,
  attributes: GroupAttributes,
): Uint32Array {
  let kept = rows;
  for (const { field, fails: ofEntries } of fields) {
    const fails = ofEntries(page.entries);
    const left = new Uint32Array(kept.length);
    const inMetadata = metadataTest(attributes, `${field}"`);
    let count = 0;
    for (let index = 0; index < kept.length; index++) {
      const row = kept[index] ?? 0;
      const entry = entryOf(page, row);
      const failed = entry !== noEntry && fails(entry) && !inMetadata(row);
      if (!failed) left[count++] = row;
    }
    kept = left.subarray(0, count);
  }
  return kept;
}

/** Whether the metadata of a row has the text; many rows have the same metadata. */
function metadataTest(attributes: GroupAttributes, text: string): (row: number) => boolean {
  let of: Entries | undefined;
  let known: (boolean | undefined)[] = [];
  return (row) => {
    const page = attributes.page(row);
    const entry = page === undefined ? noEntry : entryOf(page, row);
    if (page === undefined || entry === noEntry) return false;
    if (page.entries !== of) [of, known] = [page.entries, []];
    known[entry] ??= attributes.text(row)?.includes(text) === true;
    return known[entry] === true;
  };
}
