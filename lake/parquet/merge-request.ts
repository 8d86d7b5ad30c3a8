import { FirnError } from '../base/errors.ts';
import type { Signal } from '../model/batch.ts';
import type { TableName } from '../model/table-name.ts';

export interface MergeRequest<Table extends TableName = Signal> {
  readonly signal: Table;
  /** Segments of one day, the oldest first: rows that are equal in the sort order stay in this order. */
  readonly paths: readonly string[];
  /** How many rows they hold together. */
  readonly rows: number;
  readonly path: string;
  readonly writerMemoryBytesMax: number;
  /** Where sorting spills when memory is short. */
  readonly spillDirectory: string;
}

/** The files do not hold what they should; `found` says what, for each day. */
export function otherRows(path: string, rows: number, found: readonly string[]): FirnError {
  return new FirnError({
    code: 'corrupt',
    operation: 'merge segments',
    subject: path,
    message: `${path} should hold ${rows} rows of one day, its parts hold ${found.join(', ') || 'none'}`,
  });
}
