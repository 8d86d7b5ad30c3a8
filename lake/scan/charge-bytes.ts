import { limitError } from '../logql/errors.ts';
import type { LinesRequest } from '../logql/source.ts';

/** Counts bytes of lines that have been looked at; throws the limit that they meet. */
export function chargeBytes(
  { stats, bytesMax }: Pick<LinesRequest, 'stats' | 'bytesMax'>,
  bytes: number,
): void {
  stats.bytes += bytes;
  if (stats.bytes > bytesMax)
    throw limitError(
      'bytesMax',
      `the query would read too many bytes (${stats.bytes} > ${bytesMax}, bytesMax): consider adding more specific stream selectors or reduce the time range of the query`,
    );
}
