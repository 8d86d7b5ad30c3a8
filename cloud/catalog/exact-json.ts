// Iceberg ids are 64-bit; JSON.parse would round them. Integers that a number cannot hold become bigints, and print as
// the digits they were.

type SourceReviver = (
  this: unknown,
  key: string,
  value: unknown,
  context: { readonly source?: string },
) => unknown;
const { rawJSON } = JSON as unknown as { rawJSON(text: string): unknown };

const exact: SourceReviver = (_key, value, { source }) =>
  typeof value === 'number' && !Number.isSafeInteger(value) && source !== undefined && /^-?\d+$/.test(source)
    ? BigInt(source)
    : value;

/** JSON.parse that keeps integers exact. Throws SyntaxError. */
export function parseExactJson(text: string): unknown {
  // Asking about every value takes longer than the parsing itself; mostly there is nothing to ask.
  const mayBeInexact =
    text.match(/\d{16,}/g)?.some((digits) => !Number.isSafeInteger(Number(digits))) ?? false;
  if (!mayBeInexact) return JSON.parse(text);
  return JSON.parse(text, exact as (key: string, value: unknown) => unknown);
}

/** JSON.stringify that takes bigints. A call for each value costs more than all the rest, so it is made only where there are some. */
export function printExactJson(value: unknown): string {
  try {
    return JSON.stringify(value);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return JSON.stringify(value, (_key, inner: unknown) =>
      typeof inner === 'bigint' ? rawJSON(inner.toString()) : inner,
    );
  }
}

/** An id in the form that is quickest to print. */
export const exactId = (id: bigint): number | bigint => (Number.isSafeInteger(Number(id)) ? Number(id) : id);
