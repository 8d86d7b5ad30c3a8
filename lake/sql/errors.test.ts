import { expect, test } from 'vitest';
import { FirnError } from '../base/errors.ts';
import { SqlError, sqlstateOf } from './errors.ts';

test.each([
  [new SqlError('42P01', 'x'), '42P01'],
  [new FirnError({ code: 'limit', operation: 'x', subject: 'filesPerViewMax', message: 'x' }), '54000'],
  [new FirnError({ code: 'denied', operation: 'x', subject: 'x', message: 'x' }), '42501'],
  [new Error('x'), 'XX000'],
])('%s is said by its SQLSTATE', (error, sqlstate) => {
  expect(sqlstateOf(error)).toBe(sqlstate);
});
