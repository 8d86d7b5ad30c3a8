const byNumber = new Intl.Collator('en', { numeric: true });

/** Of names that differ in a version, that of the highest: `6.12.118` is above `6.12.9`. */
export const newest = (names: readonly string[]): string | undefined =>
  names.toSorted(byNumber.compare).at(-1);
