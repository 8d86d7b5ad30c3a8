import type { LogGroup } from './log-file.ts';
import { type Entries, entryOf, entryText, noEntry, type TextPage } from './text-page.ts';

/** Texts of a column that says much the same in many rows, made once a query for each that a file has. */
export interface AttributesReader {
  /** Of a row; null where it has none. Rows of a group are best asked for in their order. */
  of(group: LogGroup, row: number): string | null;
  /** The page that has the row; undefined where every row of the group is null. */
  page(group: LogGroup, row: number): TextPage | undefined;
}

export function attributesReader(): AttributesReader {
  const texts = new WeakMap<Entries, string[]>();
  let last: { readonly group: LogGroup; readonly page: TextPage } | undefined;
  const page = (group: LogGroup, row: number): TextPage | undefined => {
    if (last?.group === group && row >= last.page.firstRow && row < last.page.firstRow + last.page.rows)
      return last.page;
    const ref = group
      .pages('attributes')
      .find(({ firstRow, values }) => row >= firstRow && row < firstRow + values);
    if (ref === undefined) return undefined;
    last = { group, page: group.textPage('attributes', ref) };
    return last.page;
  };
  return {
    page,
    of: (group, row) => {
      const found = page(group, row);
      const entry = found === undefined ? noEntry : entryOf(found, row);
      if (found === undefined || entry === noEntry) return null;
      let known = texts.get(found.entries);
      if (known === undefined) {
        known = [];
        texts.set(found.entries, known);
      }
      known[entry] ??= entryText(found.entries, entry);
      return known[entry] ?? null;
    },
  };
}
