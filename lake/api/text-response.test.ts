import { setImmediate as turn } from 'node:timers/promises';
import { gunzipSync } from 'node:zlib';
import { Hono } from 'hono';
import { expect, test } from 'vitest';
import { gzipAnswers, textResponse } from './text-response.ts';

const headers = { 'content-type': 'text/plain' };
const piece = 'x'.repeat(70_000);

const app = new Hono();
app.use(gzipAnswers());
let made = 0;
function* pieces(): Generator<string> {
  for (made = 0; made < 50; made++) yield piece;
}
app.get('/', () => textResponse(pieces(), headers));

test.each(['gzip', 'identity'])(
  'while a large answer is made, others have their turn between its pieces (%s)',
  async (encoding) => {
    const madeAtTurns = new Set<number>();
    let answered = false;
    const others = (async () => {
      for (; !answered; await turn()) madeAtTurns.add(made);
    })();
    const answer = await app.request('/', { headers: { 'accept-encoding': encoding } });
    const bytes = Buffer.from(await answer.arrayBuffer());
    answered = true;
    await others;
    expect((encoding === 'gzip' ? gunzipSync(bytes) : bytes).length).toBe(50 * piece.length);
    expect(madeAtTurns.size).toBeGreaterThan(40);
  },
);

test.each([1, 10, 15, 16, 40])(
  'an answer of %i pieces is whole, compressed at once or as it is made',
  async (count) => {
    const texts = Array.from({ length: count }, (_, index) => `${index}`.padEnd(70_000, 'x'));
    const ofSome = new Hono();
    ofSome.use(gzipAnswers());
    ofSome.get('/', () => textResponse(texts, headers));
    const answer = await ofSome.request('/', { headers: { 'accept-encoding': 'gzip' } });
    expect(answer.headers.get('content-encoding')).toBe('gzip');
    expect(gunzipSync(Buffer.from(await answer.arrayBuffer())).toString()).toBe(texts.join(''));
  },
);

test('an answer is its texts, one after the other', async () => {
  expect(await textResponse(['a', '', 'b'], headers).text()).toBe('ab');
  expect(await textResponse([], headers).text()).toBe('');
});
