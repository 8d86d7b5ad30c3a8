/** Maps items with at most `concurrencyMax` calls under way; results keep the items' order. Rejects with the first error. */
export async function mapConcurrent<T, R>(
  items: readonly T[],
  concurrencyMax: number,
  fn: (item: T, index: number) => Promise<R>,
): Promise<R[]> {
  const results = new Array<R>(items.length);
  const queue = items.entries();
  const work = async (): Promise<void> => {
    for (const [index, item] of queue) results[index] = await fn(item, index);
  };
  await Promise.all(Array.from({ length: Math.min(concurrencyMax, items.length) }, work));
  return results;
}
