/**
 * Which threads of a gateway used how much of the CPU time between two looks. WorkerThreads in the order in which they began:
 * the log, then sealing.
 */
export function threadShares(
  before: ReadonlyMap<string, number>,
  after: ReadonlyMap<string, number>,
): string {
  const used = [...after]
    .map(([thread, seconds]) => ({
      name: thread.split(' ')[0] ?? '',
      seconds: seconds - (before.get(thread) ?? 0),
    }))
    .filter(({ seconds }) => seconds > 0);
  const all = used.reduce((sum, { seconds }) => sum + seconds, 0);
  const share = (seconds: number): string => `${((100 * seconds) / all).toFixed(0)} %`;
  return used
    .filter(({ seconds }) => seconds >= all / 100)
    .map(({ name, seconds }) => `${name} ${share(seconds)}`)
    .join(', ');
}
