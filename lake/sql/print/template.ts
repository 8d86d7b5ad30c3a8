import type { TableName } from '../../model/table-name.ts';

/**
 * DuckDB SQL with holes that are filled when a statement is described or run: tables (whose files are known only then)
 * and the statement's own time. It remembers which place of the client's text each part comes from.
 */
export interface Template {
  readonly parts: readonly (string | Hole)[];
  readonly marks: readonly Mark[];
}

export type Hole =
  /** One reference to a table, and its location in the syntax tree; `plain`: without second names of columns. */
  | {
      readonly kind: 'table';
      readonly table: TableName;
      readonly location?: number | undefined;
      readonly plain?: boolean;
    }
  /** A table that the tenant loaded itself. */
  | { readonly kind: 'user-table'; readonly name: string }
  /** A temporary table of the session. */
  | { readonly kind: 'temp-table'; readonly name: string }
  /** What a call of another language gives, by its place in the statement's list of them. */
  | { readonly kind: 'language'; readonly index: number }
  /** now(): the same instant everywhere in a statement, and in its pruning. */
  | { readonly kind: 'now' };

interface Mark {
  readonly part: number;
  readonly offset: number;
  /** Location in the syntax tree: a byte offset in the client's text. */
  readonly location: number;
}

export interface Filled {
  readonly sql: string;
  /** The location in the client's text of what stands at this offset of `sql`; undefined where that is unknown. */
  readonly locationAt: (offset: number) => number | undefined;
}

export interface Writer {
  text(text: string): void;
  hole(hole: Hole): void;
  /** What follows comes from this location of the client's text (ignored when it is unknown). */
  mark(location: number | undefined): void;
  done(): Template;
}

export function createWriter(): Writer {
  const parts: (string | Hole)[] = [''];
  const marks: Mark[] = [];
  const last = (): string => {
    const part = parts.at(-1);
    return typeof part === 'string' ? part : '';
  };
  return {
    text: (text) => {
      parts[parts.length - 1] = last() + text;
    },
    hole: (hole) => {
      parts.push(hole, '');
    },
    mark: (location) => {
      // Zero is left out of the tree, and -1 means unknown; the first token of a text needs no mark.
      if (location !== undefined && location > 0) {
        marks.push({ part: parts.length - 1, offset: last().length, location });
      }
    },
    done: () => ({ parts, marks }),
  };
}

export function fill(template: Template, fillOf: (hole: Hole) => string): Filled {
  const starts: number[] = [];
  let sql = '';
  for (const part of template.parts) {
    starts.push(sql.length);
    sql += typeof part === 'string' ? part : fillOf(part);
  }
  const marks = template.marks.map((mark) => ({
    offset: (starts[mark.part] ?? 0) + mark.offset,
    location: mark.location,
  }));
  return {
    sql,
    locationAt: (offset) => {
      const exact = marks.findLast((mark) => mark.offset === offset);
      // DuckDB points at operators and casts in places of its own; the nearest mark before is the best there is.
      return (exact ?? marks.findLast((mark) => mark.offset <= offset))?.location;
    },
  };
}
