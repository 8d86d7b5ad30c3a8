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

/** JSON.stringify that takes bigints. */
export function printExactJson(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === 'bigint' ? rawJSON(inner.toString()) : inner,
  );
}
