import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { sharedFolder } from '../../../test/harness/programs.ts';

const root = join(import.meta.dirname, '../../..');
const { reasons, statements } = JSON.parse(
  readFileSync(join(import.meta.dirname, 'statements.json'), 'utf8'),
) as {
  reasons: Record<string, string>;
  statements: Record<string, string>;
};
const corpus = join(sharedFolder ?? '', 'corpora/wire/sparkplug/dev/normative_statements.jsonl');
const isThere = sharedFolder !== undefined && existsSync(corpus);

test('each answer to a statement of the specification is a test that exists, or a reason', () => {
  for (const [id, answer] of Object.entries(statements)) {
    const [, kind = '', rest = ''] = /^(test|reason): (.*)$/.exec(answer) ?? [];
    const [, file = '', name = ''] = /^(\S+): (.*)$/.exec(rest) ?? [];
    const isTest = kind === 'test' && readFileSync(join(root, file), 'utf8').includes(`test('${name}'`);
    expect([id, isTest || (kind === 'reason' && reasons[rest] !== undefined)]).toEqual([id, true]);
  }
});

test.skipIf(!isThere)('each statement has an answer (skipped: no corpus)', () => {
  const lines = readFileSync(corpus, 'utf8').trim().split('\n');
  const ids = lines.map((line) => (JSON.parse(line) as { id: string }).id);
  expect(Object.keys(statements).sort()).toEqual([...new Set(ids)].sort());
  expect(ids.length).toBeGreaterThan(170);
});
