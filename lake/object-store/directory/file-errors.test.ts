import { expect, test } from 'vitest';
import { fileError } from './file-errors.ts';

test.each([
  ['ENOSPC', 'write', 'unavailable', true],
  ['EIO', 'read', 'unavailable', true],
  ['ESTALE', 'stat', 'unavailable', false],
  ['ETIMEDOUT', 'open', 'unavailable', false],
  ['EACCES', 'open', 'denied', undefined],
  ['ENOTSUP', 'link', 'unsupported', undefined],
])('%s of %s is %s, answered: %s', (code, syscall, expected, answered) => {
  const error = Object.assign(new Error(code), { code, syscall });
  expect(fileError('put', 'k', error)).toMatchObject({ code: expected, answered });
});
