import { cpuSeconds } from '../harness/process.ts';

// A panel over 6 hours that is refreshed each time its range has moved by a step: what that costs with answers remembered,
// and when each is evaluated anew.

const stepMs = 15_000;
const refreshes = 20;
const rangeMs = 5 * 3_600_000;

export async function measureRefresh(
  { base, pid }: { readonly base: string; readonly pid: number },
  questions: readonly (readonly [key: string, what: string, query: string, goal: number])[],
  endMs: number,
): Promise<void> {
  console.log(
    `\na panel of ${rangeMs / 3_600_000} hours at 15 s, refreshed ${refreshes} times, each a step later`,
  );
  for (const [key, what, query] of questions) {
    const cells: string[] = [];
    for (const cache of ['off', 'on']) {
      let reused = 0;
      const refresh = async (index: number): Promise<void> => {
        const toMs = endMs - (refreshes - index) * stepMs;
        const times = { start: String((toMs - rangeMs) / 1000), end: String(toMs / 1000), step: '15' };
        const body = new URLSearchParams({ query, cache, ...times });
        const response = await fetch(`${base}/api/v1/query_range`, { method: 'POST', body });
        if (!response.ok) throw new Error(await response.text());
        await response.arrayBuffer();
        reused += Number(response.headers.get('x-firn-cached-steps') ?? 0);
      };
      // The second time, parts of answers with annotations are remembered.
      for (let time = 0; time < 2; time++) await refresh(0);
      reused = 0;
      const [before, start] = [cpuSeconds(pid), performance.now()];
      for (let index = 1; index <= refreshes; index++) await refresh(index);
      const each = (total: number): string => (total / refreshes).toFixed(4);
      const spent = `${each(cpuSeconds(pid) - before)} CPU s, ${((performance.now() - start) / refreshes).toFixed(1)} ms`;
      cells.push(`cache ${cache}: ${spent}, ${Math.round(reused / refreshes)} steps remembered`);
    }
    console.log(`(${key}) ${what}`.padEnd(24) + cells.join('; '));
  }
}
