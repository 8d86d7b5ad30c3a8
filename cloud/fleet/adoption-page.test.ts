import { createHash } from 'node:crypto';
import { runInNewContext } from 'node:vm';
import { Hono } from 'hono';
import { expect, test } from 'vitest';
import { adoptionPage } from './adoption-page.ts';

const response = await new Hono().get('/adopt', adoptionPage).request('/adopt');
const page = await response.text();
const inner = (tag: string): string => new RegExp(`<${tag}>(.*?)</${tag}>`, 's').exec(page)?.[1] ?? '';

test('a browser runs what the page brings, and nothing else', () => {
  const policy = response.headers.get('content-security-policy');
  expect(policy).toMatch(/^default-src 'none';/);
  for (const tag of ['script', 'style'])
    expect(policy).toContain(
      `${tag}-src 'sha256-${createHash('sha256').update(inner(tag)).digest('base64')}'`,
    );
});

/** The page in a browser of which there is only what its script uses; gives what it asked the cloud for, and said. */
async function submit(address: string, typed: Readonly<Record<string, string>>, answer: object) {
  const url = new URL(address);
  const names = [...page.matchAll(/name="(\w+)"/g)].map(([, name = '']) => name);
  const elements = Object.fromEntries(
    names.map((name) => [name, { value: typed[name] ?? '', checked: false }]),
  );
  const [output, button, open] = [{ textContent: '' }, { disabled: false }, { hidden: true }];
  let run: ((event: object) => Promise<void>) | undefined;
  const addEventListener = (_: string, on: typeof run): void => {
    run = on;
  };
  const form = { elements, addEventListener };
  const asked: unknown[] = [];
  runInNewContext(inner('script'), {
    ...{ location: url, TextEncoder, btoa, encodeURIComponent, decodeURIComponent },
    document: {
      forms: [form],
      getElementById: () => open,
      querySelector: (name: string) => (name === 'output' ? output : button),
    },
    fetch: async (...args: unknown[]) => {
      asked.push(args);
      return Response.json(answer, { status: 'error' in answer ? 409 : 200 });
    },
  });
  await run?.({ preventDefault: () => undefined });
  return { asked, said: output.textContent, isOpen: !button.disabled, warns: !open.hidden };
}

const typed = { tenant: 'acme', site: 'plant-7', id: 'phone', secret: 'geheim-ü' };

test('the code of the address is adopted with the key that is typed', async () => {
  const address = 'https://lake.example.com/adopt#ABCD-1234-EFGH-5678';
  const { asked, said, isOpen, warns } = await submit(address, typed, { data: { seenAt: 'now' } });
  const authorization = `Basic ${Buffer.from('phone:geheim-ü').toString('base64')}`;
  const body = JSON.stringify({ code: 'ABCD-1234-EFGH-5678', site: 'plant-7', replace: false });
  expect(asked).toEqual([
    ['/api/v1/firn/admin/tenants/acme/adoptions', { method: 'POST', headers: { authorization }, body }],
  ]);
  expect([said, isOpen, warns]).toEqual([expect.stringMatching(/^Adopted\./), true, false]);
});

test('a refusal is shown; over plain HTTP the form stays closed', async () => {
  const refusal = await submit('http://localhost/adopt', typed, { error: 'this code is taken' });
  expect([refusal.said, refusal.isOpen]).toEqual(['Refused: this code is taken', true]);
  const plain = await submit('http://lake.example.com/adopt', typed, {});
  expect([plain.isOpen, plain.warns]).toEqual([false, true]);
});
