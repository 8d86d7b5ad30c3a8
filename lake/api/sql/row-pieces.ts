import { createByteWriter } from '../../sql/cells/byte-writer.ts';
import type { Field } from '../../sql/cells/fields.ts';
import { createRowsWriter, type RowFrame } from '../../sql/cells/rows.ts';
import type { RowChunk } from '../../sql/row-chunk.ts';
import type { SqlColumn, SqlResult } from '../../sql/sql-session.ts';

/** Bytes after which a piece ends within a chunk. */
const pieceBytes = 262_144;

/** The rows of a result in pieces of one chunk at most: what is there is sent before the next chunk is asked for. */
export async function* rowPieces(
  result: SqlResult,
  fieldOf: (chunk: RowChunk, column: SqlColumn, index: number) => Field,
  frame: RowFrame,
): AsyncGenerator<Uint8Array> {
  const out = createByteWriter();
  for await (const chunk of result.chunks()) {
    const fields = (result.columns ?? []).map((column, index) => fieldOf(chunk, column, index));
    const write = createRowsWriter(out, fields, frame);
    for (let row = chunk.start; row < chunk.end; ) {
      row = write({ start: row, end: chunk.end, bytesMax: pieceBytes });
      yield out.take();
    }
  }
}
