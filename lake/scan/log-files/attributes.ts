import type { LogGroup } from './log-file.ts';
import { type Entries, entryOf, entryText, noEntry, type TextPage } from './text-page.ts';

/** Texts of a column that says much the same in many rows, made once a query for each that a file has. */
export interface AttributesReader {
  of(group: LogGroup): GroupAttributes;
}

/** Those of the rows of a group. It keeps the page of the row that was asked for last, whatever caches do meanwhile. */
export interface GroupAttributes {
  /** Null where the row has none. */
  text(row: number): string | null;
  /** The page that has the row; undefined where every row of the group is null. */
  page(row: number): TextPage | undefined;
}

export function attributesReader(): AttributesReader {
  const texts = new WeakMap<Entries, string[]>();
  const textOf = (entries: Entries, entry: number): string => {
    let known = texts.get(entries);
    if (known === undefined) {
      known = [];
      texts.set(entries, known);
    }
    known[entry] ??= entryText(entries, entry);
    return known[entry] ?? '';
  };
  return {
    of: (group) => {
      let last: TextPage | undefined;
      const page = (row: number): TextPage | undefined => {
        if (last !== undefined && row >= last.firstRow && row < last.firstRow + last.rows) return last;
        const ref = group
          .pages('attributes')
          .find(({ firstRow, values }) => row >= firstRow && row < firstRow + values);
        last = ref && group.textPage('attributes', ref);
        return last;
      };
      return {
        page,
        text: (row) => {
          const found = page(row);
          const entry = found === undefined ? noEntry : entryOf(found, row);
          return found === undefined || entry === noEntry ? null : textOf(found.entries, entry);
        },
      };
    },
  };
}
