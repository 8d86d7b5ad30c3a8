import type { DuckDBConnection, DuckDBDataChunk, DuckDBListVector } from '@duckdb/node-api';

/** The chunks of a result, as they come. */
export async function* chunksOf(connection: DuckDBConnection, sql: string): AsyncGenerator<DuckDBDataChunk> {
  const result = await connection.stream(sql);
  for (;;) {
    const chunk = await result.fetchChunk();
    if (chunk === null || chunk.rowCount === 0) return;
    yield chunk;
  }
}

/** A column of lists of DOUBLE: their elements in one array, and where in it each row's are. */
export function listColumn(
  chunk: DuckDBDataChunk,
  column: number,
): { readonly items: Float64Array; bounds(row: number): [number, number] } {
  const list = chunk.getColumnVector(column) as DuckDBListVector;
  // The library keeps the array to itself; going through its accessors would make a number object a sample.
  const { items } = list.childVector as unknown as { readonly items?: unknown };
  if (!(items instanceof Float64Array)) throw new Error('a list of DOUBLE is not backed by a Float64Array');
  return {
    // Copied, because the memory is DuckDB's; once for all series of the chunk.
    items: items.slice(),
    bounds: (row) => {
      const from = list.getEntryOffset(row);
      return [from, from + list.getEntryLength(row)];
    },
  };
}
