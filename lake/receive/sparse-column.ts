/** A column that most batches do not have: absent while no row has a value. */
export interface SparseColumn<T> {
  /** Rows ascend. */
  add(row: number, value: T): void;
  /** All rows, null where nothing was added; it is empty afterwards. */
  finish(rows: number): (T | null)[] | undefined;
}

export function createSparseColumn<T>(): SparseColumn<T> {
  let rowsOf: number[] = [];
  let values: T[] = [];
  return {
    add: (row, value) => {
      rowsOf.push(row);
      values.push(value);
    },
    finish: (rows) => {
      if (values.length === 0) return undefined;
      const column = new Array<T | null>(rows).fill(null);
      for (const [index, row] of rowsOf.entries()) column[row] = values[index] ?? null;
      rowsOf = [];
      values = [];
      return column;
    },
  };
}
